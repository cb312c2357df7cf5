#
# lsh: recall against the recall asked for, crashes (lsh/README.md section 7),
# a standby, and many clients at once.
#
# Data and indexes are the same each time; only what clients do at once, and the
# moments of crashes, are random.
#
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use AnnTest;

my $seed = $ENV{ANN_TEST_SEED} // time;
note("ANN_TEST_SEED=$seed");
srand($seed);

my $node = AnnTest->primary('primary', 'shared_buffers = 32MB', 'log_statement = none',
	"wal_consistency_checking = 'generic'", 'max_connections = 30', 'max_wal_size = 1GB', 'ann.seed = 1');
AnnTest->data($node);

#
# Recall: is what was asked for found?  Rows at the same distance as the tenth
# are as good as it.
#

my $rows = 6000;
my $queries = 50;
my $last = 2 * $rows + $queries;
$node->safe_psql('postgres', qq(
	-- without clusters: what is near shares few digits
	CREATE TABLE dense AS SELECT id, ARRAY(SELECT noise(id, j) + noise(id / 8, -j) FROM generate_series(1, 12) j)::real[] AS v
	FROM generate_series(1, $last) id;
	-- sets of which families of eight share most
	CREATE TABLE bits AS
	SELECT id, string_agg(CASE WHEN noise(CASE WHEN noise(id, j) > 0.7 THEN id ELSE -(id / 8) END, j) > 0.8
		THEN '1' ELSE '0' END, '' ORDER BY j) AS v
	FROM generate_series(1, $last) id, generate_series(1, 256) j GROUP BY id;
));

# operator class, type, operator, source of the values
my @classes = (
	[ 'vector_l2_ops', 'vector(12)', '<->', 'dense' ],
	[ 'vector_ip_ops', 'vector(12)', '<#>', 'dense' ],
	[ 'vector_cosine_ops', 'vector(12)', '<=>', 'dense' ],
	[ 'halfvec_l2_ops', 'halfvec(12)', '<->', 'dense' ],
	[ 'halfvec_ip_ops', 'halfvec(12)', '<#>', 'dense' ],
	[ 'halfvec_cosine_ops', 'halfvec(12)', '<=>', 'dense' ],
	[ 'bit_hamming_ops', 'bit(256)', '<~>', 'bits' ],
	[ 'bit_jaccard_ops', 'bit(256)', '<%>', 'bits' ]);

# What happens to a table t, to which the phase before has happened; what psql has
# to say; and how much less than was asked for may be found.  An index that began
# empty has not been measured.
my @phases = (
	[ 'built', qq(
		CREATE TABLE t AS SELECT id, v FROM source WHERE id <= $rows;
		SET max_parallel_maintenance_workers = 0;
		CREATE INDEX idx ON t USING lsh (v :class)), undef, 0.05 ],
	[ 'built by workers in little memory', qq(
		DROP INDEX idx;
		SET min_parallel_table_scan_size = 0;
		SET max_parallel_maintenance_workers = 2;
		SET maintenance_work_mem = '1MB';
		ALTER TABLE t SET (parallel_workers = 2);
		SET client_min_messages = debug1;
		CREATE INDEX idx ON t USING lsh (v :class)), qr/using 2 parallel workers/, 0.05 ],
	[ 'half deleted', q(
		DELETE FROM t WHERE id % 2 = 0;
		VACUUM t), undef, 0.05 ],
	[ 'replaced', qq(
		DELETE FROM t;
		VACUUM t;
		INSERT INTO t SELECT id, v FROM source WHERE id > $rows AND id <= 2 * $rows), undef, 0.12 ],
	[ 'inserted', qq(
		TRUNCATE t;
		INSERT INTO t SELECT id, v FROM source WHERE id <= $rows), undef, 0.12 ]);

foreach my $row (@classes)
{
	my ($class, $type, $operator, $kind) = @$row;
	my $tenth = qq(
		SET enable_indexscan = off;
		CREATE TEMP TABLE tenth AS SELECT v, (SELECT max(d)
			FROM (SELECT t.v $operator q.v AS d FROM t ORDER BY 1 LIMIT 10) s) AS worst FROM q;
		RESET enable_indexscan;
		SET enable_seqscan = off;);
	my $found = qq(
		SELECT round(sum(good) / (10.0 * count(*)), 4), sum(10 - rows) FROM tenth q, LATERAL (
			SELECT count(*) AS rows, count(*) FILTER (WHERE d <= q.worst) AS good
			FROM (SELECT t.v $operator q.v AS d FROM t ORDER BY t.v $operator q.v LIMIT 10) s) a;);

	$node->safe_psql('postgres', qq(
		DROP TABLE IF EXISTS t, q, source;
		CREATE TABLE source AS SELECT id, v::$type FROM $kind ORDER BY id;
		CREATE TABLE q AS SELECT id, v FROM source WHERE id > 2 * $rows;
		UPDATE q SET v = (SELECT v FROM source s WHERE s.id = q.id * 7 % $rows);
	));
	foreach my $phase (@phases)
	{
		my ($name, $sql, $message, $tolerance) = @$phase;
		my $stderr;

		$sql =~ s/:class/$class/g;
		$node->psql('postgres', $sql, stderr => \$stderr, on_error_die => 1);
		like($stderr, $message, "$class, $name: as said") if defined $message;

		my @targets = (0.8, 0.95, 1);
		my $measure = join '', map { "SET lsh.target_recall = $_; $found" } @targets;

		foreach my $answer (split /\n/, $node->safe_psql('postgres', "$tenth $measure"))
		{
			my ($recall, $short) = split /\|/, $answer;
			my $target = shift @targets;

			is($short, 0, "$class, $name: the limit is filled");
			cmp_ok($recall, '>=', $target == 1 ? 0.995 : $target - $tolerance,
				"$class, $name: recall $recall for $target");
		}
		AnnTest->index_ok($node, 'idx', "$class, $name");
	}
	my ($few) = split /\|/, $node->safe_psql('postgres', "$tenth SET lsh.max_probes = 16; $found");
	cmp_ok($few, '>=', 0.5, "$class, inserted: recall $few in 16 pages");
	like($node->safe_psql('postgres', qq(SET enable_seqscan = off;
			EXPLAIN SELECT FROM t ORDER BY v $operator (SELECT v FROM q LIMIT 1) LIMIT 10)),
		qr/Index Scan using idx/, "$class: it was the index");
}

#
# Rows that are met early
#
$node->safe_psql('postgres', q(
	DROP TABLE t;
	-- most are equal, and all are near each other
	CREATE TABLE alike AS
	SELECT id, string_agg(CASE WHEN id % 2 = 0 OR (noise(id, j) > -0.994 AND noise(id / 8, -j) > -0.98)
		THEN '1' ELSE '0' END, '' ORDER BY j)::bit(256) AS v
	FROM generate_series(1, 6000) id, generate_series(1, 256) j GROUP BY id;
	CREATE INDEX ON alike USING lsh (v bit_hamming_ops);
	-- sets with little in common
	CREATE TABLE sets AS
	SELECT id, string_agg(CASE WHEN noise(id, j) > 0.7 THEN '1' ELSE '0' END, '' ORDER BY j)::bit(256) AS v
	FROM generate_series(1, 6000) id, generate_series(1, 256) j GROUP BY id;
	CREATE INDEX ON sets USING lsh (v bit_jaccard_ops);
	CREATE FUNCTION nearest(wanted bit, OUT id int, OUT pages int) LANGUAGE plpgsql AS $$
	BEGIN
		SELECT s.id INTO nearest.id FROM sets s ORDER BY v <%> wanted LIMIT 1;
		SELECT l.pages INTO nearest.pages FROM ann_last_scan() l;
	END $$;
));
cmp_ok($node->safe_psql('postgres', q(
		SET enable_indexscan = off;
		CREATE TEMP TABLE tenth AS SELECT v, (SELECT max(d)
			FROM (SELECT t.v <~> q.v AS d FROM alike t ORDER BY 1 LIMIT 10) s) AS worst FROM alike q WHERE id % 60 = 7;
		RESET enable_indexscan;
		SET enable_seqscan = off;
		SELECT avg((SELECT count(*) FILTER (WHERE d <= worst)
			FROM (SELECT t.v <~> q.v AS d FROM alike t ORDER BY t.v <~> q.v LIMIT 10) s)) / 10 FROM tenth q)),
	'>=', 0.93, 'rows that are all near each other are found');
my ($found, $pages) = split /\|/, $node->safe_psql('postgres', q(
		SET enable_seqscan = off;
		-- about half of what either set has
		SELECT avg((n.id = q.id)::int), avg(n.pages) FROM sets q, LATERAL nearest(
			(SELECT string_agg(CASE WHEN noise(-id, j) > 0.3 THEN (noise(-id, 256 + j) > 0.7)::int::text
				ELSE substring(v FROM j FOR 1)::text END, '' ORDER BY j)::bit(256) FROM generate_series(1, 256) j)) n
		WHERE q.id % 60 = 7));
cmp_ok($found, '>=', 0.98, "the sets most like others are found: $found");
cmp_ok($pages, '<=', 22, "in few pages: $pages");

#
# A standby
#
my $standby = AnnTest->standby($node);
my $answers = q(
	SET enable_seqscan = off;
	SELECT q, (SELECT string_agg(id::text, ',') FROM
		(SELECT id FROM items ORDER BY v <-> clustered(q, 8)::vector LIMIT 10) s)
	FROM generate_series(50001, 50030) q);
my @load = (
	[ 'after a build', q(
		CREATE TABLE items (id int, v vector(8));
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1, 1000) i;
		CREATE INDEX items_idx ON items USING lsh (v vector_l2_ops) WITH (tables = 3)) ],
	[ 'after inserts, which split leaves and roots', q(
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1001, 20000) i) ],
	[ 'after inserts of equal values', q(
		INSERT INTO items SELECT i, clustered(i % 5, 8) FROM generate_series(20001, 22000) i) ],
	[ 'after VACUUM of most', q(DELETE FROM items WHERE id % 50 <> 0; ), q(VACUUM items) ],
	[ 'after inserts into space freed', q(
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(30001, 35000) i) ],
	[ 'emptied and vacuumed', q(DELETE FROM items), q(VACUUM items) ],
	[ 'filled from nothing', q(
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1, 3000) i) ]);
foreach my $step (@load)
{
	my ($when, @sql) = @$step;

	$node->safe_psql('postgres', $_) foreach @sql;
	my $expected = $node->safe_psql('postgres', $answers);
	$node->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', $answers), $expected, "the standby has the same answers $when");
	AnnTest->index_ok($_, 'items_idx', $when) foreach ($node, $standby);
	AnnTest->complete_ok($standby, 'items', 'v', '<->', $when);
}
$standby->promote;
$standby->safe_psql('postgres', q(INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(3001, 3500) i));
AnnTest->index_ok($standby, 'items_idx', 'promoted and written to');
$standby->stop;

#
# Many clients, and crashes among them
#
$node->safe_psql('postgres', q(
	CREATE TABLE busy (id serial, v vector(8));
	CREATE INDEX busy_idx ON busy USING lsh (v vector_l2_ops) WITH (tables = 3);
	INSERT INTO busy (v) SELECT clustered(i, 8) FROM generate_series(1, 500) i;
));
my $value = 'clustered(CASE WHEN random() < 0.25 THEN (random() * 50)::int ELSE (random() * 1000000)::int END, 8)';
my %clients = (
	insert => "INSERT INTO busy (v) SELECT $value FROM generate_series(1, 20);",
	update => "UPDATE busy SET v = $value WHERE id = (SELECT id FROM busy OFFSET (random() * 200)::int LIMIT 1);",
	delete => 'DELETE FROM busy WHERE id < (SELECT max(id) - 2000 FROM busy);',
	vacuum => 'VACUUM busy;',
	# an error if rows are missing or disordered
	search => q(
		\set i random(1, 1000000)
		SET enable_seqscan = off;
		SELECT 1 / (count(*) = 10 AND bool_and(d >= previous IS NOT FALSE))::int FROM (
			SELECT d, lag(d) OVER () AS previous FROM (
				SELECT v <-> clustered(:i, 8)::vector AS d FROM busy
				ORDER BY v <-> clustered(:i, 8)::vector LIMIT 10) s) s;
	),
	# an error if a sound index seems broken
	check => q(SELECT 1 / (count(*) = 0)::int FROM ann_check('busy_idx');));
my $scripts = PostgreSQL::Test::Utils::tempdir;
append_to_file("$scripts/$_", $clients{$_}) foreach keys %clients;

my @running = map { my $name = $_; my $err = ''; [ $name, \$err, IPC::Run::start(
	[ 'pgbench', '-n', '-T', '10', '-f', "$scripts/$name", $node->connstr('postgres') ],
	'>', '/dev/null', '2>', \$err) ] } qw(insert insert update delete vacuum search check);
foreach my $run (@running)
{
	my ($name, $err, $handle) = @$run;
	$handle->finish;
	ok($handle->result(0) == 0 && $$err !~ /ERROR|FATAL|PANIC|aborted/, "$name: no error") or diag($$err);
}
AnnTest->index_ok($node, 'busy_idx', 'after a mixed load');
AnnTest->complete_ok($node, 'busy', 'v', '<->', 'after a mixed load');

foreach my $round (1 .. 8)
{
	my $moment = int(rand(600_000));
	my $begun = $node->safe_psql('postgres', q(SELECT nextval('busy_id_seq') + 20));
	my @killed = map { IPC::Run::start(
		[ 'pgbench', '-n', '-T', '100', '-f', "$scripts/$_", $node->connstr('postgres') ],
		'>', '/dev/null', '2>', '/dev/null') } qw(insert insert update delete vacuum);

	$node->poll_query_until('postgres', "SELECT last_value > $begun FROM busy_id_seq")
		or die 'nothing was inserted';
	usleep($moment);
	AnnTest->crash($node);
	$_->finish foreach @killed;

	my $when = "in round $round, killed $moment us after its beginning";
	AnnTest->index_ok($node, 'busy_idx', $when);
	AnnTest->complete_ok($node, 'busy', 'v', '<->', $when);
	$node->safe_psql('postgres', 'VACUUM busy');
	AnnTest->index_ok($node, 'busy_idx', "after VACUUM $when");
	AnnTest->complete_ok($node, 'busy', 'v', '<->', "after VACUUM $when");
}

done_testing();
