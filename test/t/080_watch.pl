#
# Watching: builds as other sessions see them, cancelled measurements, a standby,
# and an index of another format.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $node = AnnTest->primary('primary');
AnnTest->data($node);

# A value that makes a build wait for us: when the row with the number wanted is
# added, that is in a phase whose name is like this, unlike when it is sampled.
$node->safe_psql('postgres', q(
	CREATE FUNCTION gate(id int, v vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_stat_clear_snapshot() WHERE id = 1200;
		IF id = 1200 AND EXISTS (SELECT FROM pg_stat_progress_create_index
				WHERE pid = pg_backend_pid() AND phase ~ 'loading tuples|assigning tuples') THEN
			PERFORM pg_advisory_lock_shared(1);
			PERFORM pg_advisory_unlock_shared(1);
		END IF;
		RETURN v;
	END $$;
	CREATE TABLE items (id int, v vector(12));
	INSERT INTO items SELECT i, clustered(i, 12) FROM generate_series(1, 2000) i;
	CREATE ROLE nobody;
	CREATE ROLE watcher IN ROLE pg_monitor;
));

#
# Progress of a build
#
foreach my $method (qw(hnsw ivfflat lsh))
{
	my $gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	my $builder = $node->background_psql('postgres');
	my $pid = $builder->query_safe('SELECT pg_backend_pid()');
	$builder->query_until(qr/begun/, qq(\\echo begun
		SET max_parallel_maintenance_workers = 0;
		CREATE INDEX items_idx ON items USING $method ((gate(id, v)::vector(12)) vector_l2_ops);\n));

	ok($node->poll_query_until('postgres', qq(
		SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $pid)), "$method: the build waits");
	is($node->safe_psql('postgres', qq(
		SELECT method, datname, relid, phase ~ 'tuples', tuples_done BETWEEN 1000 AND 1199, tuples_total,
			percent BETWEEN 25 AND 95, started < clock_timestamp(), remaining >= '0 s'
		FROM ann_build_progress WHERE pid = $pid)),
		"$method|postgres|items|t|t|2000|t|t|t", "$method: progress in the middle of it");
	is($node->safe_psql('postgres', qq(
		SET ROLE nobody; SELECT count(*) FROM ann_build_progress;
		SET ROLE watcher; SELECT pid, method FROM ann_build_progress)),
		"0\n$pid|$method", "$method: who may watch others sees the build");

	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	$gate->quit;
	$builder->query_safe('SELECT 1');
	$builder->quit;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM ann_build_progress'), '0', "$method: it has ended");
	AnnTest->index_ok($node, 'items_idx', "after a watched build");
	$node->safe_psql('postgres', 'DROP INDEX items_idx');
}

#
# What takes long can be cancelled
#
$node->safe_psql('postgres', q(
	CREATE TABLE large (id int, v vector(12));
	INSERT INTO large SELECT i, clustered(i, 12) FROM generate_series(1, 20000) i;
	CREATE INDEX large_idx ON large USING ivfflat (v vector_l2_ops);
));
foreach my $command ("ann_recall('large_idx', 10, 20000)", "ann_build_estimate('large', 'v', 'hnsw', 'm=100,ef_construction=1000')")
{
	my ($status, $out, $err) = $node->psql('postgres', "SET statement_timeout = 100; SELECT $command");
	like($err, qr/canceling statement due to statement timeout/, "cancelled: $command");
}
is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_class WHERE relname ~ 'ann_build_sample')), '0',
	'nothing is left of it');

#
# A build that will not fit says so at once, and what would do
#
my $memory = $node->safe_psql('postgres', q(
	SELECT (memory / 1024)::int FROM ann_build_estimate('large', 'v', 'hnsw', 'm = 4, ef_construction = 8')));
foreach my $share (0.75, 1.1)
{
	my ($status, $out, $err) = $node->psql('postgres', sprintf(q(
		SET maintenance_work_mem = %d;
		CREATE INDEX small_idx ON large USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
		DROP INDEX small_idx;), $memory * $share));
	if ($share > 1)
	{
		is($err, '', 'what is estimated is enough');
		next;
	}
	like($err, qr/will not fit into maintenance_work_mem.*About \d+ tuples take \d+ MB.*HINT: .*no longer fits/s,
		'three quarters of it are not');
}

#
# Sessions count for themselves
#
is($node->safe_psql('postgres', q(
	SET enable_seqscan = off;
	SELECT count(*) FROM (SELECT id FROM large ORDER BY v <-> clustered(1, 12)::vector LIMIT 5) s;
	SELECT index, returned FROM ann_last_scan())), "5\nlarge_idx|5", 'a session knows its last scan');
is($node->safe_psql('postgres', q(SELECT count(*) FROM ann_last_scan())), '0', 'another does not');
ok($node->poll_query_until('postgres', q(
	SELECT scans > 0 AND returned > 0 AND session_scans = 0 FROM ann_stat_indexes WHERE indexrelname = 'large_idx')),
	'but sees that there was one');

#
# EXPLAIN, where it asks
#
my $explain = q(SET enable_seqscan = off; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF));
my $scan = $node->safe_psql('postgres', "$explain SELECT id FROM large ORDER BY v <-> clustered(1, 12)::vector LIMIT 5");
my $never = $node->safe_psql('postgres', "$explain SELECT FROM generate_series(1, 0) i,
	LATERAL (SELECT FROM large ORDER BY v <-> clustered(i, 12)::vector LIMIT 5) s");
if ($node->pg_version >= 18)
{
	like($scan, qr/Index Scan using large_idx .*Candidates Scored: [1-9]\d*\n *Rows Re-ranked: \d+\n *Index Pages: [1-9]\d*\n *Further Rounds: \d+\n *Full Reads: 0\n/s,
		'EXPLAIN tells of a scan');
}
else
{
	unlike($scan, qr/Candidates/, 'EXPLAIN does not tell of a scan');
}
like($never, qr/Index Scan using large_idx .*never executed/, 'there is nothing to tell of one that did not begin');
unlike($never, qr/Candidates/, 'and nothing is told');

#
# On a standby everything that does not write
#
my $standby = AnnTest->standby($node);
is($standby->safe_psql('postgres', q(
	SELECT value FROM ann_index_info('large_idx') WHERE name IN ('method', 'rows'))), "ivfflat\n20000", 'info on a standby');
is($standby->safe_psql('postgres', q(
	SET ivfflat.probes = 1000; SELECT recall FROM ann_recall('large_idx', 10, 5))), '1', 'recall on a standby');
my ($status, $out, $err) = $standby->psql('postgres', q(SELECT ann_build_estimate('large', 'v', 'hnsw')));
like($err, qr/during recovery|read-only transaction/, 'no estimate on a standby');

#
# An index of a later version says which
#
my $path = $node->safe_psql('postgres', q(SELECT pg_relation_filepath('large_idx')));
AnnTest->stop_for_damage($node);
open my $file, '+<', $node->data_dir . "/$path" or die "$path: $!";
binmode $file;
# behind the page header and the magic number
seek $file, 24 + 4, 0;
print $file pack('L', 99);
close $file;
$node->start;
foreach my $command ("ann_index_info('large_idx')", "ann_recall('large_idx')")
{
	($status, $out, $err) = $node->psql('postgres', "SELECT $command");
	like($err, qr/index "large_idx" has format version 99, but this version of ann reads version \d/,
		"a version that is not known: $command");
}

done_testing();
