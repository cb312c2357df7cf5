#
# Many clients at once: inserts, updates, deletions, searches and VACUUM.
#
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'max_connections = 30',
	'log_statement = none', 'max_wal_size = 1GB');
AnnTest->data($node);

my $scripts = PostgreSQL::Test::Utils::tempdir;

# Runs pgbench with each of the scripts, given as [ name, clients, options, SQL ],
# side by side; one passing test for each that ends without an error.  Who changes
# several rows may meet another who does, in another order: it tries again.
sub together_ok
{
	my (@roles) = @_;
	my @running;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $role (@roles)
	{
		my ($name, $clients, $options, $sql) = @$role;
		my ($out, $err) = ('', '');

		PostgreSQL::Test::Utils::append_to_file("$scripts/$name", $sql);
		push @running, [ $name, \$out, \$err, IPC::Run::start(
			[ 'pgbench', '-n', '-c', $clients, '--max-tries', 100, split(/ /, $options), '-f', "$scripts/$name",
				$node->connstr('postgres') ], '>', \$out, '2>', \$err) ];
	}
	foreach my $run (@running)
	{
		my ($name, $out, $err, $handle) = @$run;

		$handle->finish;
		ok($handle->result(0) == 0 && $$err !~ /ERROR|FATAL|PANIC|aborted/, "$name: no error") or diag($$err);
		my ($done) = $$out =~ /actually processed: (\d+)/;
		cmp_ok($done // 0, '>', 0, "$name: was done");
		note("$name: $done times") if defined $done;
	}
}

# A load for an ivfflat index, which splits and merges its lists meanwhile.
sub lists_ok
{
	my ($name, $dim, $seconds) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->safe_psql('postgres', qq(
		CREATE TABLE $name (id serial PRIMARY KEY, v vector($dim));
		CREATE INDEX ${name}_idx ON $name USING ivfflat (v vector_l2_ops);
	));
	together_ok(
		[ "$name insert", 3, "-T $seconds", qq(
			\\set i random(1, 1000000)
			INSERT INTO $name (v) SELECT clustered(:i + k, $dim) FROM generate_series(1, 20) k;
		) ],
		[ "$name delete", 1, "-T $seconds", qq(
			DELETE FROM $name WHERE id <= (SELECT last_value - 5000 FROM ${name}_id_seq);
		) ],
		[ "$name update", 1, "-T $seconds", qq(
			UPDATE $name SET v = clustered(id + 100, $dim) WHERE id % 500 = (random() * 499)::int;
		) ],
		# an error if a row comes twice, or one is missing that is there all the time
		[ "$name search", 2, "-T $seconds", qq(
			SET enable_seqscan = off;
			SET ivfflat.iterative_scan = strict_order;
			SELECT 1 / (count(*) = count(DISTINCT id) AND count(*) = (SELECT count(*) FROM $name WHERE id > 0))::int
			FROM (SELECT id FROM $name ORDER BY v <-> clustered(7, $dim)::vector) s;
		) ],
		[ "$name vacuum", 1, "-T $seconds", "VACUUM $name;" ]);
	$node->safe_psql('postgres', "VACUUM $name");
	AnnTest->index_ok($node, "${name}_idx", 'after inserts, updates and deletions');
}

# The share of the ten nearest that is found, over 50 queries.
sub recall
{
	my ($table, $where, $dim) = @_;

	$dim //= 12;
	return $node->safe_psql('postgres', qq(
		CREATE TEMP TABLE q AS SELECT clustered(i, $dim)::vector AS v FROM generate_series(2000001, 2000050) i;
		SET enable_indexscan = off;
		CREATE TEMP TABLE tenth AS SELECT v, (SELECT max(d)
			FROM (SELECT t.v <-> q.v AS d FROM $table t WHERE $where ORDER BY 1 LIMIT 10) s) AS worst FROM q;
		RESET enable_indexscan;
		SET enable_seqscan = off;
		SET ivfflat.probes = 10;
		SELECT sum(good) / (10.0 * count(*)) FROM tenth q, LATERAL (
			SELECT count(*) FILTER (WHERE d <= q.worst) AS good
			FROM (SELECT t.v <-> q.v AS d FROM $table t WHERE $where ORDER BY t.v <-> q.v LIMIT 10) s) a));
}

sub size
{
	my ($index) = @_;
	return $node->safe_psql('postgres', "SELECT pg_relation_size('$index')");
}

#
# A mixed load, at full precision and with codes
#
my ($recall, $size, $fresh, $fresh_size);

# What clients do, and how far VACUUM is behind them, is not the same each time:
# 041_churn.pl has narrower limits.
my $loss = 0.05;
my $growth = 2;

# In many dimensions clusters are far apart, and a query that does not get to its
# own finds nothing.
foreach my $load ([ 'items', 12 ], [ 'long', 112 ])
{
	my ($table, $dim) = @$load;

	$node->safe_psql('postgres', qq(
		CREATE TABLE $table (id serial PRIMARY KEY, v vector($dim));
		INSERT INTO $table (v) SELECT clustered(i, $dim) FROM generate_series(1, 5000) i;
		CREATE INDEX ${table}_idx ON $table USING hnsw (v vector_l2_ops);
	));
	together_ok(
		[ "$table insert", 2, '-T 10', qq(
			\\set i random(3000, 1000000)
			INSERT INTO $table (v) VALUES (clustered(:i, $dim));
		) ],
		[ "$table update", 1, '-T 10', qq(
			\\set i random(3000, 1000000)
			UPDATE $table SET v = clustered(:i, $dim)
				WHERE id = (SELECT id FROM $table WHERE id >= random() * (SELECT last_value FROM ${table}_id_seq) ORDER BY id LIMIT 1);
		) ],
		[ "$table delete", 1, '-T 10', qq(
			DELETE FROM $table WHERE id <= (SELECT last_value - 5000 FROM ${table}_id_seq);
		) ],
		# an error if rows are missing or disordered
		[ "$table search", 2, '-T 10', qq(
			\\set i random(1, 1000000)
			SET enable_seqscan = off;
			SELECT 1 / (count(*) = 10 AND bool_and(d >= previous IS NOT FALSE))::int FROM (
				SELECT d, lag(d) OVER () AS previous FROM (
					SELECT v <-> clustered(:i, $dim)::vector AS d FROM $table
					ORDER BY v <-> clustered(:i, $dim)::vector LIMIT 10) s) s;
		) ],
		[ "$table vacuum", 1, '-T 10', "VACUUM $table;" ]);
	AnnTest->complete_ok($node, $table, 'v', '<->', 'after a mixed load');
	$node->safe_psql('postgres', "VACUUM $table");
	AnnTest->index_ok($node, "${table}_idx", 'after a mixed load');

	$recall = recall($table, 'true', $dim);
	$size = size("${table}_idx");
	$node->safe_psql('postgres', "REINDEX INDEX ${table}_idx");
	$fresh = recall($table, 'true', $dim);
	$fresh_size = size("${table}_idx");
	cmp_ok($recall, '>=', $fresh - $loss, "recall $recall after a mixed load, $fresh after REINDEX");
	cmp_ok($size, '<=', $growth * $fresh_size, "size $size after a mixed load, $fresh_size after REINDEX");
}

#
# All are the first
#
$node->safe_psql('postgres', q(
	CREATE TABLE fresh (id serial, v vector(12));
	CREATE INDEX fresh_idx ON fresh USING hnsw (v vector_l2_ops);
));
foreach my $time (1 .. 5)
{
	$node->safe_psql('postgres', 'TRUNCATE fresh');
	together_ok([ "first inserts $time", 8, '-j 2 -t 5', q(
		\set i random(1, 1000000)
		INSERT INTO fresh (v) VALUES (clustered(:i, 12));
	) ]);
	AnnTest->index_ok($node, 'fresh_idx', 'after concurrent first inserts');
	AnnTest->complete_ok($node, 'fresh', 'v', '<->', 'after concurrent first inserts');
}

# and first again, as VACUUM takes the last away
together_ok(
	[ 'insert into none', 3, '-T 3', q(
		\set i random(1, 1000000)
		INSERT INTO fresh (v) VALUES (clustered(:i, 12));
	) ],
	[ 'delete all', 1, '-T 3', q(DELETE FROM fresh;) ],
	[ 'vacuum all', 1, '-T 3', q(VACUUM fresh;) ]);
AnnTest->complete_ok($node, 'fresh', 'v', '<->', 'after it was emptied again and again');
$node->safe_psql('postgres', 'VACUUM fresh');
AnnTest->index_ok($node, 'fresh_idx', 'after it was emptied again and again');

#
# Duplicates
#
$node->safe_psql('postgres', q(
	CREATE TABLE copies (id serial, i int, v vector(12));
	CREATE INDEX copies_idx ON copies USING hnsw (v vector_l2_ops);
));
together_ok(
	[ 'same', 4, '-j 2 -t 25', q(
		INSERT INTO copies (i, v) SELECT 0, clustered(0, 12) FROM generate_series(1, 100);
	) ],
	[ 'others', 2, '-t 50', q(
		INSERT INTO copies (i, v)
			SELECT i, clustered(i, 12) FROM (SELECT (random() * 1000000)::int AS i FROM generate_series(1, 10)) r;
	) ]);
AnnTest->index_ok($node, 'copies_idx', 'after inserts of equal values');
AnnTest->complete_ok($node, 'copies', 'v', '<->', 'after inserts of equal values');
is($node->safe_psql('postgres', q(
		SET enable_seqscan = off;
		SELECT count(*), count(*) FILTER (WHERE i = 0)
		FROM (SELECT i FROM copies ORDER BY v <-> clustered(0, 12)::vector LIMIT 10000) s)),
	'10000|10000', 'a large LIMIT returns all that are equal');
$size = size('copies_idx');
$recall = recall('copies', 'i <> 0');
$node->safe_psql('postgres', q(
	CREATE TABLE others AS SELECT DISTINCT ON (i) * FROM copies;
	CREATE INDEX others_idx ON others USING hnsw (v vector_l2_ops);
));
$fresh = recall('others', 'i <> 0');
$fresh_size = size('others_idx');
cmp_ok($recall, '>=', $fresh - $loss, "recall $recall among equal values, $fresh without them");
# a heap TID has 6 bytes; half of them may be room
cmp_ok($size, '<=', 1.5 * $fresh_size + 10000 * 12, "size $size with equal values, $fresh_size without them");

$node->safe_psql('postgres', q(
	DELETE FROM copies WHERE i = 0 AND id % 100 <> 0;
	VACUUM copies;
));
AnnTest->index_ok($node, 'copies_idx', 'when most equal values were deleted');
AnnTest->complete_ok($node, 'copies', 'v', '<->', 'when most equal values were deleted');

#
# Lists
#
lists_ok('coded', 32, 8);
lists_ok('whole', 8, 5);
AnnTest->complete_ok($node, 'whole', 'v', '<->', 'after inserts, updates and deletions');

$recall = recall('coded', 'true', 32);
$node->safe_psql('postgres', 'REINDEX INDEX coded_idx');
$fresh = recall('coded', 'true', 32);
cmp_ok($recall, '>=', $fresh - $loss, "recall $recall of lists that changed, $fresh after REINDEX");

done_testing();
