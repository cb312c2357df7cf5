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

  # a streaming standby of it, caught up
  my $standby = AnnTest->standby($primary);

  # a crash: PostgreSQL::Test::Cluster does the rest
  $primary->kill9;
  $primary->start;

  # one passing test if ann_check finds nothing wrong
  AnnTest->index_ok($primary, 'items_v_idx', 'after the crash');

=cut

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More;

sub primary
{
	my ($class, $name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name // 'primary');

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

sub index_ok
{
	my ($class, $node, $index, $when) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', "SELECT * FROM ann_check('$index')"),
		'', "$index on " . $node->name . " is sound $when");
}

1;
