#
# Recall@10 of the index, by operator class and by the way the index came to be.
#
# Data and levels are deterministic, so serial phases measure the same value each
# time; the threshold of a row is a little below the lowest of them, and that of a
# build by workers, which is never the same, some more.  Rows at the same distance
# as the tenth are as good as it.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $rows = 1000;
my $queries = 30;
my $seed = 7;

# The effort of a search, and two measures of it.
my %efforts = (
	hnsw => [ 'hnsw.ef_search', 40, 100 ],
	ivfflat => [ 'ivfflat.probes', 3, 6 ]);

# access method, operator class, column type, operator, source of the value, the
# least recall at the two efforts, and options if not the default ones
my @classes = (
	[ 'hnsw', 'vector_l2_ops', 'vector(16)', '<->', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'vector_ip_ops', 'vector(16)', '<#>', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'vector_cosine_ops', 'vector(16)', '<=>', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'vector_l1_ops', 'vector(16)', '<+>', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'halfvec_l2_ops', 'halfvec(16)', '<->', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'halfvec_ip_ops', 'halfvec(16)', '<#>', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'halfvec_cosine_ops', 'halfvec(16)', '<=>', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'halfvec_l1_ops', 'halfvec(16)', '<+>', 'dense', 0.98, 0.99 ],
	[ 'hnsw', 'sparsevec_l2_ops', 'sparsevec(200)', '<->', 'sparse', 0.98, 0.99 ],
	[ 'hnsw', 'sparsevec_ip_ops', 'sparsevec(200)', '<#>', 'sparse', 0.98, 0.99 ],
	[ 'hnsw', 'sparsevec_cosine_ops', 'sparsevec(200)', '<=>', 'sparse', 0.98, 0.99 ],
	[ 'hnsw', 'sparsevec_l1_ops', 'sparsevec(200)', '<+>', 'sparse', 0.98, 0.99 ],
	[ 'hnsw', 'bit_hamming_ops', 'bit(96)', '<~>', 'bits', 0.98, 0.99 ],
	[ 'hnsw', 'bit_jaccard_ops', 'bit(96)', '<%>', 'bits', 0.98, 0.99 ],
	[ 'hnsw', 'vector_l2_ops', 'vector(128)', '<->', 'long', 0.98, 0.99 ],
	[ 'hnsw', 'halfvec_ip_ops', 'halfvec(128)', '<#>', 'long', 0.98, 0.99 ],
	[ 'hnsw', 'vector_cosine_ops', 'vector(128)', '<=>', 'long', 0.98, 0.99 ],
	[ 'hnsw', 'vector_l2_ops', 'vector(128)', '<->', 'long', 0.98, 0.99, 'layout = compact' ],
	[ 'hnsw', 'vector_l2_ops', 'vector(128)', '<->', 'long', 0.98, 0.99, 'quantizer = none' ],
	[ 'hnsw', 'halfvec_l2_ops', 'halfvec(128)', '<->', 'long', 0.98, 0.99, 'rerank = index' ],
	[ 'ivfflat', 'vector_l2_ops', 'vector(16)', '<->', 'dense', 0.97, 0.98 ],
	[ 'ivfflat', 'vector_ip_ops', 'vector(16)', '<#>', 'dense', 0.97, 0.98 ],
	[ 'ivfflat', 'vector_cosine_ops', 'vector(16)', '<=>', 'dense', 0.97, 0.98 ],
	[ 'ivfflat', 'halfvec_l2_ops', 'halfvec(48)', '<->', 'wide', 0.97, 0.98 ],
	[ 'ivfflat', 'halfvec_ip_ops', 'halfvec(48)', '<#>', 'wide', 0.97, 0.98 ],
	[ 'ivfflat', 'halfvec_cosine_ops', 'halfvec(16)', '<=>', 'dense', 0.97, 0.98 ],
	[ 'ivfflat', 'bit_hamming_ops', 'bit(96)', '<~>', 'bits', 0.97, 0.98 ],
	[ 'ivfflat', 'vector_l2_ops', 'vector(128)', '<->', 'long', 0.97, 0.98, 'quantizer = sq8' ],
	[ 'ivfflat', 'halfvec_ip_ops', 'halfvec(48)', '<#>', 'wide', 0.97, 0.98, 'quantizer = sq8' ]);

# What happens in each phase, to a table t that holds what the phase before left
# there, what psql has to say, and the methods and classes it is for if not for all.
my @phases = (
	[ 'inserted', qq(
		TRUNCATE t;
		CREATE INDEX idx ON t USING :method (v :class):with;
		INSERT INTO t SELECT id, v FROM source WHERE id <= $rows) ],
	[ 'built', q(
		DROP INDEX idx;
		SET max_parallel_maintenance_workers = 0;
		CREATE INDEX idx ON t USING :method (v :class):with) ],
	[ 'built by workers', q(
		DROP INDEX idx;
		SET min_parallel_table_scan_size = 0;
		SET max_parallel_maintenance_workers = 2;
		SET client_min_messages = debug1;
		CREATE INDEX idx ON t USING :method (v :class):with), qr/using 2 parallel workers/ ],
	[ 'built in little memory', qq(
		DROP INDEX idx;
		INSERT INTO t SELECT id, v FROM source WHERE id > $rows AND id <= 2 * $rows;
		SET max_parallel_maintenance_workers = 0;
		SET maintenance_work_mem = '1MB';
		CREATE INDEX idx ON t USING :method (v :class) WITH (m = 40, ef_construction = 80:more)), qr/no longer fits into maintenance_work_mem/, qr/hnsw .*(l2|hamming)/ ],
	[ 'half built, half inserted', qq(
		DROP INDEX idx;
		DELETE FROM t WHERE id > $rows / 2;
		VACUUM t;
		CREATE INDEX idx ON t USING :method (v :class):with;
		INSERT INTO t SELECT id, v FROM source WHERE id > $rows / 2 AND id <= $rows) ],
	[ 'half deleted', q(
		DELETE FROM t WHERE id % 2 = 0;
		VACUUM t) ],
	[ 'replaced twice', qq(
		DELETE FROM t;
		INSERT INTO t SELECT id, v FROM source WHERE id > $rows AND id <= 1.5 * $rows;
		VACUUM t;
		DELETE FROM t;
		INSERT INTO t SELECT id, v FROM source WHERE id > 1.5 * $rows AND id <= 2 * $rows;
		VACUUM t) ]);

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', "ann.seed = $seed");
AnnTest->data($node);
note("ann.seed = $seed");

# Values, the last of which are queries: the same for all types of a kind.
my $last = 2 * $rows + $queries;
$node->safe_psql('postgres', qq(
	CREATE TABLE dense AS SELECT id, clustered(id, 16) AS v FROM generate_series(1, $last) id;
	CREATE TABLE long AS SELECT id, clustered(id, 128) AS v FROM generate_series(1, $last) id;
	CREATE TABLE wide AS SELECT id, clustered(id, 48) AS v FROM generate_series(1, $last) id;

	-- 16 of 200 dimensions, of which members of a cluster share most
	CREATE TABLE sparse AS
	SELECT id, '{' || string_agg(j || ':' || w, ',') || '}/200' AS v
	FROM (SELECT DISTINCT ON (id, j) id,
			1 + abs(hashint8(CASE WHEN k % 4 < 3 THEN hashint4(id) % 20 ELSE id + 100 END * 64 + k)) % 200 AS j,
			(1.2 + noise(id, k))::real AS w
		FROM generate_series(1, $last) id, generate_series(1, 16) k) s
	GROUP BY id;

	-- a cluster's bits, one in eight of them turned
	CREATE TABLE bits AS
	SELECT id, string_agg(CASE WHEN (noise(-(1 + abs(hashint4(id) % 20)), j) > 0) <> (noise(id, j) > 0.75)
		THEN '1' ELSE '0' END, '' ORDER BY j) AS v
	FROM generate_series(1, $last) id, generate_series(1, 96) j
	GROUP BY id;
));

foreach my $row (@classes)
{
	my ($method, $class, $type, $operator, $kind, @least) = @$row[0 .. 6];
	my $options = $row->[7] // '';
	my $what = "$method $class $type" . ($options && " with $options");
	my ($setting, @measures) = @{ $efforts{$method} };

	$node->safe_psql('postgres', qq(
		DROP TABLE IF EXISTS t, q, source;
		CREATE TABLE source AS SELECT id, v::$type FROM $kind ORDER BY id;
		CREATE TABLE t (id int, v $type);
		CREATE TABLE q AS SELECT id, v FROM source WHERE id > 2 * $rows;
	));

	foreach my $phase (@phases)
	{
		my ($name, $sql, $message, $which) = @$phase;
		my $slack = $name =~ /by workers/ ? 0.03 : 0;
		my $stderr;

		next if defined $which && "$method $class" !~ $which;

		$sql =~ s/:with/$options ? " WITH ($options)" : ''/ge;
		$sql =~ s/:more/$options ? ", $options" : ''/ge;
		$sql =~ s/:method/$method/g;
		$sql =~ s/:class/$class/g;
		$node->psql('postgres', $sql, stderr => \$stderr, on_error_die => 1);
		like($stderr, $message, "$what, $name: as said") if defined $message;

		# The distance of the tenth row, from sorting; then the answers.
		my @recall;
		my $short = 0;
		my $exact = qq(
			SET enable_indexscan = off;
			CREATE TEMP TABLE tenth AS SELECT v, (SELECT max(d)
				FROM (SELECT t.v $operator q.v AS d FROM t ORDER BY 1 LIMIT 10) s) AS worst FROM q;
			RESET enable_indexscan;
			SET enable_seqscan = off;);
		foreach my $effort (@measures)
		{
			$exact .= qq(
				SET $setting = $effort;
				SELECT round(sum(good) / (10.0 * count(*)), 4), sum(10 - rows) FROM tenth q, LATERAL (
					SELECT count(*) AS rows, count(*) FILTER (WHERE d <= q.worst) AS good
					FROM (SELECT t.v $operator q.v AS d FROM t ORDER BY t.v $operator q.v LIMIT 10) s) a;);
		}
		foreach my $answer (split /\n/, $node->safe_psql('postgres', $exact))
		{
			my ($r, $s) = split /\|/, $answer;
			push @recall, $r;
			$short += $s;
		}
		# With a filter a scan goes on and on, and must not lose what it finds late.
		if ($method eq 'hnsw')
		{
			my $where = 't.id % 10 = 3';
			my $r = $node->safe_psql('postgres', qq(
				SET enable_seqscan = off;
				SELECT sum(good) / sum(possible) FROM q, LATERAL (
					SELECT count(*) AS possible, max(d) AS worst
					FROM (SELECT t.v $operator q.v AS d FROM t WHERE $where ORDER BY (t.v $operator q.v) + 0 LIMIT 10) s) a, LATERAL (
					SELECT count(*) FILTER (WHERE d <= worst) AS good
					FROM (SELECT t.v $operator q.v AS d FROM t WHERE $where ORDER BY t.v $operator q.v LIMIT 10) s) b));
			cmp_ok($r, '>=', 0.95 - $slack, "$what, $name: recall $r with a filter");
		}

		is($short, 0, "$what, $name: the limit is filled");
		cmp_ok($recall[0], '>=', $least[0] - $slack, "$what, $name: recall $recall[0] at $setting $measures[0]");
		cmp_ok($recall[1], '>=', $least[1] - $slack, "$what, $name: recall $recall[1] at $setting $measures[1]");
		AnnTest->index_ok($node, 'idx', "$what, $name");
	}

	like($node->safe_psql('postgres', qq(SET enable_seqscan = off;
			EXPLAIN SELECT FROM t ORDER BY v $operator (SELECT v FROM q LIMIT 1) LIMIT 10)),
		qr/Index Scan using idx/, "$what: it was the index");
}

done_testing();
