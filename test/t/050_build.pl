#
# Builds: reproducible, by workers, cancelled, watched, and short of memory.
#
use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'max_wal_size = 1GB');
AnnTest->data($node);
my $data = $node->data_dir;

# A digest of an index's pages without what WAL and checksums leave in their headers.
sub pages
{
	my ($index) = @_;
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $path = $node->safe_psql('postgres', "SELECT pg_relation_filepath('$index')");
	my $bytes = slurp_file("$data/$path");

	return md5_hex(map { substr($_, 10) } unpack('(a8192)*', $bytes));
}

#
# The same rows, the same seed and no workers: the same pages
#
$node->safe_psql('postgres', q(
	CREATE TABLE items (id int, v vector(12));
	INSERT INTO items SELECT i, clustered(i % 2900, 12) FROM generate_series(1, 3000) i;
));
my %seeds = (first => 1, second => 1, other => 2);
foreach my $method ('hnsw (v vector_l2_ops)', 'hnsw (v vector_l2_ops) WITH (quantizer = rabitq)',
	'hnsw (v vector_l2_ops) WITH (quantizer = rabitq, rerank = index)', 'ivfflat (v vector_l2_ops)')
{
	foreach my $name (qw(first second other))
	{
		$node->safe_psql('postgres', qq(
			SET ann.seed = $seeds{$name};
			SET max_parallel_maintenance_workers = 0;
			CREATE INDEX $name ON items USING $method));
		AnnTest->index_ok($node, $name, 'when built');
	}
	is(pages('second'), pages('first'), "$method: the same seed makes the same pages");
	isnt(pages('other'), pages('first'), "$method: another seed makes others");
	$node->safe_psql('postgres', q(
		SET ann.seed = 1;
		SET max_parallel_maintenance_workers = 0;
		REINDEX INDEX other));
	is(pages('other'), pages('first'), "$method: and the first makes the first again");
	$node->safe_psql('postgres', 'DROP INDEX first, second, other');
}

#
# Workers
#
my $workers = q(
	SET min_parallel_table_scan_size = 0;
	SET max_parallel_maintenance_workers = 2;
	SET client_min_messages = debug1;);

# Builds an index, of an expression if one is given; one passing test if it says so.
sub build_ok
{
	my ($sql, $message, $when, $value) = @_;
	my $stderr;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->psql('postgres', $sql, stderr => \$stderr, on_error_die => 1);
	like($stderr, $message, "build $when");
	AnnTest->index_ok($node, 'items_idx', $when);
	AnnTest->complete_ok($node, 'items', $value // 'v', '<->', $when);
	is($node->safe_psql('postgres', q(SELECT reltuples FROM pg_class WHERE relname = 'items_idx')),
		'3000', "rows are counted $when");
}

build_ok("$workers CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops)",
	qr/using 2 parallel workers/, 'by workers');
build_ok("$workers REINDEX INDEX CONCURRENTLY items_idx", qr/using 2 parallel workers/, 'by workers, concurrently');
$node->safe_psql('postgres', 'DROP INDEX items_idx');
build_ok("$workers CREATE INDEX items_idx ON items USING ivfflat (v vector_l2_ops)",
	qr/using 2 parallel workers/, 'of lists by workers');
build_ok("$workers REINDEX INDEX CONCURRENTLY items_idx", qr/using 2 parallel workers/,
	'of lists by workers, concurrently');
$node->safe_psql('postgres', 'DROP INDEX items_idx');
# A table's own number of workers is not subject to the memory there is for each.
build_ok("$workers ALTER TABLE items SET (parallel_workers = 2);
		SET maintenance_work_mem = '1MB'; CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops)",
	qr/using 2 parallel workers.*no longer fits into maintenance_work_mem/s, 'by workers in little memory');
$node->safe_psql('postgres', 'DROP INDEX items_idx');
build_ok("$workers SET maintenance_work_mem = '1MB';
		CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops) WITH (quantizer = rabitq)",
	qr/using 2 parallel workers.*no longer fits into maintenance_work_mem/s, 'of codes by workers in little memory');
$node->safe_psql('postgres', 'DROP INDEX items_idx');
build_ok("$workers CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops) WITH (quantizer = rabitq, rerank = index)",
	qr/using 2 parallel workers/, 'of codes and values by workers');
$node->safe_psql('postgres', 'DROP INDEX items_idx');
build_ok("$workers SET maintenance_work_mem = '1MB';
		CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops) WITH (quantizer = rabitq, rerank = index)",
	qr/using 2 parallel workers.*no longer fits into maintenance_work_mem/s, 'of codes and values by workers in little memory');
$node->safe_psql('postgres', 'DROP INDEX items_idx');

# Without room for shared memory: a limit on the size of files is one on that of
# segments.  It must leave room for a segment of WAL, so values are large.
my $large = '(wide(v) || wide(v) || wide(v) || wide(v))::vector(768)';
my $postmaster = $node->safe_psql('postgres', q(SELECT pg_read_file('postmaster.pid'))) =~ s/\n.*//sr;
run_log([ 'prlimit', '--pid', $postmaster, '--fsize=17825792:unlimited' ]) or BAIL_OUT('prlimit does not work');
build_ok("$workers SET maintenance_work_mem = '1GB';
		CREATE INDEX items_idx ON items USING hnsw (($large) vector_l2_ops) WITH (quantizer = none, m = 100, ef_construction = 200)",
	qr/building without workers: could not resize shared memory/, 'without shared memory', $large);
run_log([ 'prlimit', '--pid', $postmaster, '--fsize=unlimited' ]);

#
# Watched and cancelled
#
$node->safe_psql('postgres', q(
	CREATE TABLE large (id int, v vector(12));
	INSERT INTO large SELECT i, clustered(i, 12) FROM generate_series(1, 20000) i;
	ANALYZE large;
));
foreach my $parallel (0, 2)
{
	my $how = $parallel ? 'by workers' : 'alone';
	my $builder = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $builder->query_safe('SELECT pg_backend_pid()');
	my $files = q(SELECT count(*) FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database WHERE datname = 'postgres')));
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $before = $node->safe_psql('postgres', $files);
	my $log = -s $node->logfile;

	$builder->query_safe(qq(
		SET min_parallel_table_scan_size = 0;
		SET max_parallel_maintenance_workers = $parallel));
	$builder->query_until(qr/begun/, qq(\\echo begun
		CREATE INDEX large_idx ON large USING hnsw (v vector_l2_ops) WITH (m = 32, ef_construction = 400);\n));
	my $progress = "FROM pg_stat_progress_create_index WHERE pid = $pid AND phase = 'building index: loading tuples'";
	ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT $progress AND tuples_done > 0)"),
		"progress is reported: built $how");
	my ($done, $total) = split /\|/,
		$node->safe_psql('postgres', "SELECT tuples_done, tuples_total $progress");
	cmp_ok($total, '>', 10000, "$total rows are expected: built $how");
	ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT $progress AND tuples_done > $done + 200)"),
		"progress moves on from $done: built $how");

	is($node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)"), 't', 'cancel the build');
	ok($node->poll_query_until('postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid"),
		"a build ends soon when cancelled: $how");
	like(slurp_file($node->logfile, $log), qr/canceling statement due to user request/, "it says so: $how");
	$builder->quit;
	$node->safe_psql('postgres', 'CHECKPOINT');
	is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_class WHERE relname = 'large_idx')), '0',
		"it leaves no index behind: $how");
	ok($node->poll_query_until('postgres', "SELECT ($files) <= $before"), "nor files: $how");
	ok($node->poll_query_until('postgres', q(
		SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker')), "nor workers: $how");
}

# More rows than memory: lists are written several times
foreach my $parallel (0, 2)
{
	foreach my $quantizer (qw(none rabitq))
	{
		$node->safe_psql('postgres', qq(
			SET maintenance_work_mem = '1MB';
			SET min_parallel_table_scan_size = 0;
			SET max_parallel_maintenance_workers = $parallel;
			ALTER TABLE large SET (parallel_workers = $parallel);
			CREATE INDEX large_idx ON large USING ivfflat (v vector_l2_ops) WITH (lists = 30, quantizer = $quantizer)));
		AnnTest->index_ok($node, 'large_idx', "built in little memory, $parallel workers, $quantizer");
		is($node->safe_psql('postgres', q(
			SET enable_seqscan = off;
			SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM large ORDER BY v <-> clustered(1, 12)::vector) s)),
			'20000|20000', "it has all rows, $parallel workers, $quantizer");
		$node->safe_psql('postgres', 'DROP INDEX large_idx');
	}
}
$node->safe_psql('postgres', 'ALTER TABLE large RESET (parallel_workers)');

my ($status, $out, $err) = $node->psql('postgres', q(
	SET statement_timeout = 500;
	CREATE INDEX large_idx ON large USING hnsw (v vector_l2_ops) WITH (m = 32, ef_construction = 400)));
like($err, qr/canceling statement due to statement timeout/, 'a build obeys statement_timeout');
foreach my $lists (500, 20000)
{
	($status, $out, $err) = $node->psql('postgres', qq(
		SET maintenance_work_mem = '1GB';
		SET statement_timeout = 60;
		CREATE INDEX large_idx ON large USING ivfflat (v vector_l2_ops) WITH (lists = $lists, quantizer = rabitq)));
	like($err, qr/canceling statement due to statement timeout/, "so does one of $lists lists");
}
# while it inserts into pages, too, which takes much longer than what comes before
for (my $timeout = 500;; $timeout *= 2)
{
	($status, $out, $err) = $node->psql('postgres', qq(
		SET maintenance_work_mem = '1MB';
		SET statement_timeout = $timeout;
		CREATE INDEX large_idx ON large USING hnsw (v vector_l2_ops) WITH (ef_construction = 200)));
	last if $err =~ /no longer fits/ || $err !~ /statement timeout/;
}
like($err, qr/no longer fits.*canceling statement due to statement timeout/s,
	'a build in little memory obeys statement_timeout');

done_testing();
