#
# What a server may run into: settings beyond reason, memory and disks that are
# full, cancellation.  Each ends in an answer or in an error that says what is
# wrong; indexes stay sound, and nothing stays behind.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $node = AnnTest->primary('primary', 'work_mem = 64kB', 'maintenance_work_mem = 1MB',
	'max_parallel_maintenance_workers = 0');
AnnTest->data($node);
$node->safe_psql('postgres', q(
	CREATE TABLE items (id int, v vector(50));
	INSERT INTO items SELECT i, clustered(i, 50)::vector FROM generate_series(1, 4000) i;
	-- of the same, to be inserted
	CREATE TABLE more AS SELECT * FROM items;
));

my %methods = (
	hnsw => 'hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8)',
	ivfflat => 'ivfflat (v vector_l2_ops) WITH (lists = 30)',
	lsh => 'lsh (v vector_l2_ops) WITH (tables = 2)');

sub create
{
	my ($method, $name, $rest) = @_;
	return "CREATE INDEX $name ON items USING $methods{$method} " . ($rest // '') . ';';
}

# One passing test if a command fails like that.
sub fails_ok
{
	my ($command, $expected, $name) = @_;
	my ($status, undef, $err) = $node->psql('postgres', $command);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($err, $expected, $name);
}

#
# Little memory, and every setting at both ends
#
my @settings = map { chomp; [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', q(
	LOAD 'ann';
	SELECT name, unnest(coalesce(enumvals, ARRAY[min_val, max_val])) FROM pg_settings
	WHERE name ~ '^(ann|hnsw|ivfflat|lsh)\.' AND name <> 'ann.simd' AND vartype <> 'string' ORDER BY 1));
cmp_ok(scalar @settings, '>', 20, 'there are settings');

foreach my $method (sort keys %methods)
{
	$node->safe_psql('postgres', create($method, "items_$method"));
	AnnTest->index_ok($node, "items_$method", 'built in little memory');
	$node->safe_psql('postgres', q(
		INSERT INTO items SELECT id + 10000, v FROM more WHERE id <= 500;
		DELETE FROM items WHERE id % 7 = 0;
		VACUUM items;));
	AnnTest->index_ok($node, "items_$method", 'changed in little memory');
	AnnTest->complete_ok($node, 'items', 'v', '<->', "$method in little memory");

	my @short;
	foreach my $setting (grep { $_->[0] =~ /^(?:ann|$method)\./ } @settings)
	{
		my ($name, $value) = @$setting;
		my $rows = $node->safe_psql('postgres', qq(
			SET enable_seqscan = off;
			SET enable_sort = off;
			SET $name = '$value';
			SELECT count(*), count(DISTINCT row) FROM (SELECT ctid AS row FROM items ORDER BY v <-> clustered(1, 50)::vector LIMIT 300) s));
		push @short, "$name = $value: $rows" if $rows ne '300|300';
	}
	is(join("\n", @short), '', "$method: no setting makes an answer short");
	$node->safe_psql('postgres', "DROP INDEX items_$method");
}

#
# Cancelled anywhere: the time allowed goes up until the command is through
#
sub cancelled
{
	my ($what, $command, $after) = @_;
	my $timeouts = 0;
	my @wrong;

	for (my $timeout = 1;; $timeout = int($timeout * 1.7) + 1)
	{
		my ($status, undef, $err) = $node->psql('postgres', "SET statement_timeout = $timeout; $command");

		last if $status == 0;
		push @wrong, $err if $err !~ /canceling statement due to statement timeout/;
		last if @wrong;
		$timeouts++;
		$after->() if defined $after;
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join("\n", @wrong), '', "$what: cancelled, $timeouts times, or through");
}

my $large = q(
	DROP TABLE IF EXISTS large;
	CREATE TABLE large (id int, v vector(50));
	INSERT INTO large SELECT i, clustered(i, 50)::vector FROM generate_series(1, 3000) i;);
foreach my $method (sort keys %methods)
{
	my $create = "CREATE INDEX large_idx ON large USING $methods{$method}";

	$node->safe_psql('postgres', $large);
	cancelled("$method, build", $create);
	cancelled("$method, scan",
		'SET enable_seqscan = off; SELECT count(*) FROM (SELECT FROM large ORDER BY v <-> clustered(1, 50)::vector) s');
	cancelled("$method, ann_check", q(SELECT count(*) FROM ann_check('large_idx', true)));
	cancelled("$method, insert", 'INSERT INTO large SELECT id + 10000, v FROM more WHERE id <= 300');
	$node->safe_psql('postgres', 'DELETE FROM large WHERE id % 3 = 0');
	cancelled("$method, VACUUM", 'VACUUM large');
	$node->safe_psql('postgres', 'VACUUM large');
	AnnTest->index_ok($node, 'large_idx', 'after all that was cancelled');
	AnnTest->complete_ok($node, 'large', 'v', '<->', "$method, after all that was cancelled");
}

#
# A full disk: a small file system, which only root can have
#
SKIP:
{
	my $disk = $ENV{ANN_TEST_SMALL_DISK}
	  or skip 'ANN_TEST_SMALL_DISK names no small file system', 1;

	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk'");
	my $empty = $node->safe_psql('postgres', q(SELECT pg_tablespace_size('small')));
	foreach my $method (sort keys %methods)
	{
		fails_ok(create($method, 'too_large', 'TABLESPACE small'), qr/No space left on device/,
			"$method: a build on a full disk fails");
		$node->safe_psql('postgres', 'CHECKPOINT');
		ok($node->poll_query_until('postgres', "SELECT pg_tablespace_size('small') <= $empty + 8192"),
			"$method: it leaves nothing behind");

		$node->safe_psql('postgres', 'TRUNCATE items; ' . create($method, 'growing', 'TABLESPACE small') .
			"CREATE TABLE filler TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 20)");
		fails_ok('INSERT INTO items SELECT * FROM more', qr/No space left on device/,
			"$method: an insert into a full disk fails");
		AnnTest->index_ok($node, 'growing', 'with no room to grow');
		$node->safe_psql('postgres', $_) foreach 'DROP TABLE filler', 'VACUUM items',
			'INSERT INTO items SELECT * FROM more WHERE id <= 50';
		AnnTest->index_ok($node, 'growing', 'when there is room again');
		$node->safe_psql('postgres', 'DROP INDEX growing; INSERT INTO items SELECT * FROM more');
	}
}

done_testing();
