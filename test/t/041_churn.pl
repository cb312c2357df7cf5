#
# Every row is replaced twice: recall and size are near those of a fresh index.
# One session, seeded data: the same each time.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'log_statement = none', 'max_wal_size = 1GB',
	'ann.seed = 1', 'max_parallel_maintenance_workers = 0');
AnnTest->data($node);

# By how much recall may be less, and the size more, than when fresh.  Of ivfflat's
# 20 pages, a few are a great share.
my %limits = (hnsw => [ 0.01, 1.5 ], ivfflat => [ 0.01, 1.6 ], lsh => [ 0.01, 1.5 ]);

my $rows = 4000;
my $dim = 48;

# The share of the ten nearest that is found, over 200 queries.
sub recall
{
	my ($table) = @_;

	return $node->safe_psql('postgres', qq(
		CREATE TEMP TABLE q AS SELECT clustered(i, $dim)::vector AS v FROM generate_series(2000001, 2000200) i;
		SET enable_indexscan = off;
		CREATE TEMP TABLE tenth AS SELECT v, (SELECT max(d)
			FROM (SELECT t.v <-> q.v AS d FROM $table t ORDER BY 1 LIMIT 10) s) AS worst FROM q;
		RESET enable_indexscan;
		SET enable_seqscan = off;
		SET ivfflat.probes = 8;
		SELECT sum(good) / (10.0 * count(*)) FROM tenth q, LATERAL (
			SELECT count(*) FILTER (WHERE d <= q.worst) AS good
			FROM (SELECT t.v <-> q.v AS d FROM $table t ORDER BY t.v <-> q.v LIMIT 10) s) a));
}

sub size
{
	my ($index) = @_;
	return $node->safe_psql('postgres', "SELECT pg_relation_size('$index')");
}

foreach my $method ('hnsw', 'ivfflat', 'lsh')
{
	$node->safe_psql('postgres', qq(
		CREATE TABLE $method (id int PRIMARY KEY, v vector($dim));
		INSERT INTO $method SELECT i, clustered(i, $dim) FROM generate_series(1, $rows) i;
		CREATE INDEX ${method}_v ON $method USING $method (v vector_l2_ops)));
	foreach my $part (0 .. 9, 0 .. 9)
	{
		$node->safe_psql('postgres', qq(
			UPDATE $method SET v = clustered(id + CASE WHEN v = clustered(id, $dim)::vector THEN 100000 ELSE 200000 END, $dim) WHERE id % 10 = $part));
		$node->safe_psql('postgres', "VACUUM $method");
	}
	AnnTest->index_ok($node, "${method}_v", 'when every row was replaced twice');

	my ($loss, $growth) = @{ $limits{$method} };
	my $recall = recall($method);
	my $size = size("${method}_v");
	$node->safe_psql('postgres', "REINDEX INDEX ${method}_v");
	my $fresh = recall($method);
	my $fresh_size = size("${method}_v");
	note("$method: recall $recall, fresh $fresh; size $size, fresh $fresh_size");
	cmp_ok($recall, '>=', $fresh - $loss, "$method: recall when every row was replaced twice");
	cmp_ok($size, '<=', $growth * $fresh_size, "$method: size when every row was replaced twice");
}

done_testing();
