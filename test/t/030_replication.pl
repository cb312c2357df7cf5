#
# A streaming standby: every page that WAL replay makes is compared with the
# primary's, and the index answers there as it does on the primary.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $primary = AnnTest->primary('primary', 'shared_buffers = 32MB', 'log_statement = none',
	"wal_consistency_checking = 'generic'");
AnnTest->data($primary);
my $standby = AnnTest->standby($primary);

# What a scan gives, in its order; the graph is the same on both.
my $answers = q(
	SET enable_seqscan = off;
	SELECT q, (SELECT string_agg(id::text, ',') FROM
		(SELECT id FROM items ORDER BY v <-> clustered(q, 8)::vector LIMIT 10) s)
	FROM generate_series(5001, 5030) q);

sub same_ok
{
	my ($when) = @_;
	my $expected = $primary->safe_psql('postgres', $answers);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$primary->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', $answers), $expected, "the standby has the same answers $when");
	foreach my $node ($primary, $standby)
	{
		AnnTest->index_ok($node, $_, $when) foreach ('items_idx', 'items_fast', 'items_ivf');
	}
	AnnTest->complete_ok($standby, 'items', 'v', '<->', $when);
	AnnTest->complete_ok($standby, 'items', $_, '<->', $when) foreach ('w', 'f');
}

my @load = (
	[ 'after a build', q(
		CREATE TABLE items (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
			f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1, 1000) i;
		CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops);
		CREATE INDEX items_fast ON items USING hnsw (f vector_l2_ops);
		CREATE INDEX items_ivf ON items USING ivfflat (w vector_l2_ops)) ],
	[ 'after inserts', q(
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1001, 1500) i) ],
	[ 'after inserts of equal values', q(
		INSERT INTO items SELECT i, clustered(i % 5, 8) FROM generate_series(1501, 2500) i) ],
	[ 'after updates', q(
		UPDATE items SET v = clustered(id + 10000, 8) WHERE id % 7 = 0) ],
	[ 'after deletions', q(DELETE FROM items WHERE id % 2 = 0) ],
	[ 'after VACUUM', q(VACUUM items) ],
	[ 'after inserts into space freed', q(
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(2501, 3500) i) ],
	[ 'emptied', q(DELETE FROM items) ],
	[ 'emptied and vacuumed', q(VACUUM items) ],
	[ 'filled from nothing', q(
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1, 500) i) ],
	[ 'after REINDEX CONCURRENTLY', q(REINDEX INDEX CONCURRENTLY items_idx) ],
	[ 'after another', q(REINDEX INDEX CONCURRENTLY items_ivf) ],
	[ 'after TRUNCATE', q(
		TRUNCATE items;
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1, 500) i) ]);
foreach my $step (@load)
{
	my ($when, $sql) = @$step;
	$primary->safe_psql('postgres', $sql);
	same_ok($when);
}

# Emptied tables have no answers; be sure that others had.
like($standby->safe_psql('postgres', $answers), qr/^5001\|\d+(,\d+){9}$/m, 'there were answers');

# A scan on the standby goes on while replay removes the rows it has not seen,
# puts others in their place, and does not return these.  (Without feedback
# from the standby, VACUUM on the primary would end the query.)
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->reload;
my $reader = $standby->background_psql('postgres');
$reader->query_safe(q(
	SET enable_seqscan = off;
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	DECLARE c CURSOR FOR SELECT id FROM items ORDER BY v <-> clustered(5001, 8)::vector;
	FETCH 5 FROM c));
$primary->safe_psql('postgres', q(
	UPDATE items SET v = clustered(id + 20000, 8) WHERE id % 3 = 0;
	INSERT INTO items SELECT -i, clustered(i + 30000, 8) FROM generate_series(1, 300) i));
$primary->wait_for_catchup($standby);
my @rest = split /\n/, $reader->query_safe('FETCH ALL FROM c');
is(scalar(@rest), 495, 'a scan on the standby keeps to its snapshot');
is(scalar(grep { $_ < 0 } @rest), 0, 'and sees no row from after it');
$reader->query_safe('COMMIT');
$reader->quit;
same_ok('with rows of the time of a scan');

$standby->promote;
$standby->safe_psql('postgres', q(
	INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(3001, 3500) i;
	DELETE FROM items WHERE id % 4 = 0;
	VACUUM items;
	INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(3501, 4000) i;
));
foreach my $index ('items_idx', 'items_fast', 'items_ivf')
{
	AnnTest->index_ok($standby, $index, 'promoted and written to');
	$standby->safe_psql('postgres', "REINDEX INDEX $index");
	AnnTest->index_ok($standby, $index, 'reindexed after promotion');
}
AnnTest->complete_ok($standby, 'items', 'v', '<->', 'promoted and written to');
AnnTest->complete_ok($standby, 'items', $_, '<->', 'promoted and written to') foreach ('w', 'f');

done_testing();
