#
# AnnTest.pm
#	  What the TAP tests share, on top of PostgreSQL::Test::Cluster.
#
package AnnTest;

=pod

=head1 SYNOPSIS

  use AnnTest;

  # a server that has the extension in database postgres
  my $primary = AnnTest->primary;
  my $primary = AnnTest->primary('name', 'work_mem = 1MB', ...);

  # the same of a new node
  AnnTest->prepare($node, 'work_mem = 1MB', ...);

  # a streaming standby of it, caught up
  my $standby = AnnTest->standby($primary);

  # a crash, and recovery
  AnnTest->crash($primary);

  # stopped, so that its files can be damaged without checksums to tell
  AnnTest->stop_for_damage($primary);

  # one passing test if ann_check finds nothing wrong
  AnnTest->index_ok($primary, 'items_v_idx', 'after the crash');

  # one passing test if an index scan finds every row of the heap once, in order
  # but for one step back, where rows begin that were found too late to come in
  # order, and a few more: bounds of codes hold for all but one row in 200, or so
  AnnTest->complete_ok($primary, 'items', 'v', '<->', 'after the crash');

  # functions for data: clustered(i, dim) is the i-th of a sequence of real[]
  # that form 20 clusters and are always the same
  AnnTest->data($primary);

=cut

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

sub primary
{
	my ($class, $name, @settings) = @_;

	return $class->prepare(PostgreSQL::Test::Cluster->new($name // 'primary'), @settings);
}

sub prepare
{
	my ($class, $node, @settings) = @_;

	$node->init(allows_streaming => 1);
	$node->append_conf('postgresql.conf', join("\n", 'autovacuum = off', @settings));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION ann');
	return $node;
}

sub standby
{
	my ($class, $primary, $name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name // $primary->name . '_standby');

	$primary->backup($node->name);
	$node->init_from_backup($primary, $node->name, has_streaming => 1);
	$node->start;
	$primary->wait_for_catchup($node);
	return $node;
}

# Kills all processes of the server at once, as a loss of power would, and
# restarts it.  PostgreSQL::Test::Cluster's kill9 leaves the backends to finish
# what they do, and to keep the server from being started until then.
sub crash
{
	my ($class, $node) = @_;
	my $postmaster = $node->{_pid};
	my @doomed = ($postmaster);

	kill 'STOP', $postmaster;
	foreach my $file (glob '/proc/[0-9]*/stat')
	{
		open my $stat, '<', $file or next;
		my $line = <$stat> // next;
		push @doomed, $1 if $line =~ /^(\d+) \(.*\) \S $postmaster /;
	}
	kill 'KILL', @doomed;
	$node->kill9;

	# The new server would take them for living.
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	usleep(10_000) while (kill 0, @doomed) && time < $deadline;
	$node->start;
}

sub stop_for_damage
{
	my ($class, $node) = @_;

	$node->stop;
	run_log([ 'pg_checksums', '--disable', '-D', $node->data_dir ]);
}

sub data
{
	my ($class, $node) = @_;

	$node->safe_psql('postgres', q(
		-- from -1 to 1
		CREATE FUNCTION noise(i int, j int) RETURNS float8 IMMUTABLE PARALLEL SAFE LANGUAGE sql
		RETURN (hashint8extended(i::bigint * 4096 + j, 42) >> 11) / 2.0 ^ 52;
		CREATE FUNCTION clustered(i int, dim int) RETURNS real[] IMMUTABLE PARALLEL SAFE LANGUAGE sql
		RETURN ARRAY(SELECT (noise(-(1 + abs(hashint4(i) % 20)), j) + noise(i, j) * 0.3)::real
			FROM generate_series(1, dim) j);
		CREATE FUNCTION wide(v vector) RETURNS vector IMMUTABLE PARALLEL SAFE LANGUAGE sql
		RETURN ARRAY(SELECT x FROM generate_series(1, 16), unnest(v::real[]) x)::vector;
	));
}

sub index_ok
{
	my ($class, $node, $index, $when) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', "SELECT * FROM ann_check('$index', heapallindexed => true)"),
		'', "$index on " . $node->name . " is sound $when");
}

sub complete_ok
{
	my ($class, $node, $table, $column, $operator, $when) = @_;
	my $distance = "$column $operator (SELECT $column FROM $table WHERE $column IS NOT NULL ORDER BY ctid LIMIT 1)";

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', qq(
		SET enable_seqscan = off;
		SET enable_sort = off;
		WITH found AS MATERIALIZED (
			SELECT ctid AS row, distance, lag(distance) OVER () AS previous
			FROM (SELECT ctid, $distance AS distance FROM $table ORDER BY $distance) s)
		SELECT count(*) FILTER (WHERE f.row IS NULL) AS missing,
			count(f.row) - count(DISTINCT f.row) AS twice,
			count(*) FILTER (WHERE previous > distance) > 5 + count(*) / 50 AS disordered
		FROM found f FULL JOIN (SELECT ctid AS row FROM $table WHERE $column IS NOT NULL) t USING (row))),
		'0|0|f', "a scan of $table finds each row once, in order, $when");
}

1;
