#
# What VACUUM costs, and whom it delays: for each access method, of a table of
# ANN_TEST_ROWS rows (200000) shares are deleted and vacuumed, while a client searches
# and inserts.
# Figures are printed; the tests are of what must hold on any machine.
#
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use AnnTest;

my $rows = $ENV{ANN_TEST_ROWS} // 200_000;
my $dim = 64;

# numbers of rows that are inserted meanwhile
my $others = 10_000_000;

# of a thousand rows
my @shares = (1, 10, 100);

my $node = AnnTest->primary('primary', 'shared_buffers = 512MB', 'maintenance_work_mem = 512MB',
	'max_wal_size = 4GB', 'log_statement = none', 'fsync = on', 'ann.seed = 1');
AnnTest->data($node);

my $scripts = PostgreSQL::Test::Utils::tempdir;

sub size
{
	my ($index) = @_;
	return $node->safe_psql('postgres', "SELECT pg_relation_size('$index')");
}

# The 99th percentiles of searches and of inserts, in ms, by one client for so long
# or until a function is done; and how long that took.
sub p99
{
	my ($table, $work) = @_;
	my ($out, $err) = ('', '');
	my $log = "$scripts/log_$table";

	unlink glob "$log*";
	my $client = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 1, '-T', 100000, '-l', '--log-prefix', $log, '-f', "$scripts/$table.search",
			'-f', "$scripts/$table.insert", $node->connstr('postgres') . ' application_name=client' ], '>', \$out, '2>', \$err);
	my $begun = time;
	$work->();
	my $lasted = time - $begun;

	# enough of them for a percentile
	usleep(50_000) while time - $begun < 6;
	# pgbench writes its log when it ends by itself
	$node->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'client'));
	$client->finish;
	unlike($err, qr/ERROR/, "searches of $table and inserts have no error");

	my @times;
	foreach (map { split /\n/, slurp_file($_) } glob "$log*")
	{
		my (undef, undef, $us, $script) = split / /;
		push @{$times[$script]}, $us / 1000;
	}
	my @p99 = map { (sort { $a <=> $b } @$_)[ int(@$_ * 0.99) ] } @times;
	cmp_ok(scalar(@p99), '==', 2, "$table was searched and inserted into");
	return (@p99, $lasted);
}

# Rows of the tables, those to be inserted when so many are deleted, and others.
$node->safe_psql('postgres', qq(
	CREATE TABLE data AS SELECT id, clustered(id, $dim)::vector($dim) AS v FROM (
		SELECT generate_series(1, $rows + $rows / 10) UNION ALL SELECT generate_series($others + 1, $others + 50000)) n (id);
	ALTER TABLE data ADD PRIMARY KEY (id);
	ANALYZE data));

foreach my $method ('hnsw', 'ivfflat', 'lsh')
{
	$node->safe_psql('postgres', qq(
		CREATE TABLE $method (id int PRIMARY KEY, v vector($dim));
		INSERT INTO $method SELECT id, v FROM data WHERE id <= $rows;
		CREATE SEQUENCE ${method}_next;
		CREATE INDEX ${method}_v ON $method USING $method (v vector_l2_ops)));
	my $size = size("${method}_v");
	append_to_file("$scripts/$method.search", qq(
		\\set i random(1, 1000)
		SET enable_seqscan = off;
		SELECT id FROM $method ORDER BY v <-> (SELECT v FROM data WHERE id = $others + :i) LIMIT 10;
	));
	append_to_file("$scripts/$method.insert", qq(
		INSERT INTO $method SELECT id, v FROM data WHERE id = $others + (SELECT nextval('${method}_next'));
	));

	my @before = p99($method, sub { });
	my %lasted;
	foreach my $share (@shares)
	{
		my $deleted = $node->safe_psql('postgres', qq(
			WITH d AS (DELETE FROM $method WHERE abs(hashint4(id + $share)) % 1000 < $share RETURNING 1) SELECT count(*) FROM d));
		my @during = p99($method, sub { $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $method") });

		my $lasted = $lasted{$share} = pop @during;
		diag(sprintf('%s: VACUUM of %d of %d rows: %.2f s; p99 of a search %.2f ms, before %.2f ms; of an insert %.2f ms, before %.2f ms',
				$method, $deleted, $rows, $lasted, $during[0], $before[0], $during[1], $before[1]));
		AnnTest->index_ok($node, "${method}_v", "after VACUUM of $share in 1000 rows");
	}
	cmp_ok($lasted{1}, '<', 0.5 + $lasted{100}, "$method: VACUUM costs what was deleted");

	# Space is used again.
	$node->safe_psql('postgres', qq(
		INSERT INTO $method SELECT id, v FROM data WHERE id BETWEEN $rows + 1 AND $rows + $rows / 10));
	my $grown = size("${method}_v") / $size;
	diag(sprintf('%s: size %.3f of what it was, as many rows inserted as were deleted', $method, $grown));
	cmp_ok($grown, '<=', 1.5, "$method: space is used again");

	# VACUUM is cancelled at once, and what it leaves is good for the next.
	$node->safe_psql('postgres', "DELETE FROM $method WHERE id % 3 = 0");
	my ($out, $err) = ('', '');
	# slow enough to be caught
	my $vacuum = IPC::Run::start([ 'psql', '-XAtq', '-c', 'SET vacuum_cost_delay = 10', '-c', "VACUUM $method",
			$node->connstr('postgres') ], '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', q(SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE phase = 'vacuuming indexes')))
		or die 'VACUUM did not come to the index';
	my $begun = time;
	$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_progress_vacuum));
	$vacuum->finish;
	my $lasted = time - $begun;
	diag(sprintf('%s: VACUUM was cancelled in %.3f s', $method, $lasted));
	like($err, qr/canceling statement/, "$method: VACUUM was cancelled");
	cmp_ok($lasted, '<', 5, "$method: at once");
	AnnTest->complete_ok($node, $method, 'v', '<->', 'after a VACUUM that was cancelled');
	$node->safe_psql('postgres', "VACUUM $method");
	AnnTest->index_ok($node, "${method}_v", 'after the VACUUM that follows one that was cancelled');
	$node->safe_psql('postgres', "DROP TABLE $method");
}

done_testing();
