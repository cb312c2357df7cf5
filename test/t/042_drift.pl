#
# An ivfflat index of which the data change: rows of one kind come first and another
# later, or all after the index, or rows take the place of others.  After VACUUM a
# search finds as many of the ten nearest as in a fresh index, with as many lists,
# where it reads as many pages.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'log_statement = none', 'max_wal_size = 1GB',
	'ann.seed = 1', 'max_parallel_maintenance_workers = 0');

# By how much recall may be less.
my $loss = 0.01;

my @probes = (3, 4, 6, 9, 14, 20);

# Recall, and pages read by a search, for each number of probes.
sub measure
{
	my ($queries) = @_;
	my @points;

	foreach my $probes (@probes)
	{
		my $found = $node->safe_psql('postgres', qq(
			SET enable_seqscan = off;
			SET ivfflat.probes = $probes;
			SELECT sum(good) / (10.0 * count(*)) FROM $queries q, LATERAL (
				SELECT count(*) FILTER (WHERE d <= q.worst + 1e-9) AS good
				FROM (SELECT t.v <-> q.v AS d FROM t ORDER BY t.v <-> q.v LIMIT 10) s) a;
			SELECT (pages + table_pages) / (SELECT count(*)::float8 FROM $queries) FROM ann_last_scan()));
		my ($recall, $pages) = split /\n/, $found;

		push @points, { recall => $recall, pages => $pages };
	}
	note(join ', ', map { sprintf('%.4f at %.1f', $_->{recall}, $_->{pages}) } @points);
	return @points;
}

# The recall where so many pages are read, between two points or on the line beyond.
sub recall_at
{
	my ($pages, @points) = @_;
	my $i = 1;

	$i++ while ($i < $#points && $points[$i]{pages} < $pages);
	my ($low, $high) = @points[ $i - 1, $i ];

	return $low->{recall} +
		($high->{recall} - $low->{recall}) * ($pages - $low->{pages}) / ($high->{pages} - $low->{pages});
}

# Compares the index with a fresh one, and drops the table.
sub compare
{
	my ($name, $queries) = @_;

	AnnTest->index_ok($node, 't_v', "after $name");
	$node->safe_psql('postgres', qq(
		SET enable_indexscan = off;
		UPDATE $queries q SET worst = (SELECT max(d) FROM (SELECT t.v <-> q.v AS d FROM t ORDER BY 1 LIMIT 10) s)));
	my @changed = measure($queries);
	my $lists = $node->safe_psql('postgres', "SELECT value FROM ann_index_info('t_v') WHERE name = 'lists'");
	$node->safe_psql('postgres', "DROP INDEX t_v; CREATE INDEX t_v ON t USING ivfflat (v vector_l2_ops) WITH (lists = $lists)");
	my @fresh = measure($queries);

	# with the fewest probes it may read fewer pages than the fresh one does
	foreach my $i (1 .. $#probes)
	{
		my $point = $changed[$i];

		cmp_ok($point->{recall}, '>=', recall_at($point->{pages}, @fresh) - $loss,
			"$name: recall with $probes[$i] probes");
	}
	$node->safe_psql('postgres', 'DROP TABLE t');
}

# Word vectors, and one in twenty of them to search for that is not in the table.
# They drift from those that are like frequent words to those that are not.
my $words = "$ENV{TESTDIR}/examples/words";
$node->safe_psql('postgres', slurp_file("$words/words.sql"));
$node->safe_psql('postgres', "COPY words (word, embedding) FROM PROGRAM 'gzip -dc $words/words.tsv.gz'");
$node->safe_psql('postgres', q(
	CREATE TABLE word_queries AS SELECT l2_normalize(embedding) AS v, 0::float8 AS worst FROM words WHERE id % 20 = 0;
	CREATE TABLE word_rows AS SELECT l2_normalize(embedding) AS v,
		ntile(2) OVER (ORDER BY embedding <=> (SELECT avg(embedding) FROM words WHERE id < 100)) = 2 AS later
		FROM words WHERE id % 20 <> 0 ORDER BY md5(word)));

foreach my $case ([ 'drift', 'NOT later' ], [ 'growth from nothing', 'false' ])
{
	my ($name, $first) = @$case;

	$node->safe_psql('postgres', qq(
		CREATE TABLE t (v vector(100));
		INSERT INTO t SELECT v FROM word_rows WHERE $first;
		CREATE INDEX t_v ON t USING ivfflat (v vector_l2_ops);
		INSERT INTO t SELECT v FROM word_rows WHERE NOT ($first)));
	$node->safe_psql('postgres', 'VACUUM t');
	compare($name, 'word_queries');
}

# Random vectors, of which a tenth is replaced at a time, until all have been twice.  The
# condition on i makes each row's different.
$node->safe_psql('postgres', q(
	SELECT setseed(0.5);
	CREATE TABLE random_rows AS SELECT i / 500 AS part, ARRAY(SELECT random() FROM generate_series(1, 16) WHERE i >= 0)::vector(16) AS v
		FROM generate_series(0, 14999) i;
	CREATE TABLE random_queries AS SELECT ARRAY(SELECT random() FROM generate_series(1, 16) WHERE i >= 0)::vector(16) AS v,
		0::float8 AS worst FROM generate_series(1, 500) i;
	CREATE TABLE t (part int, v vector(16));
	INSERT INTO t SELECT part, v FROM random_rows WHERE part < 10;
	CREATE INDEX t_v ON t USING ivfflat (v vector_l2_ops)));
foreach my $part (10 .. 29)
{
	$node->safe_psql('postgres', qq(
		DELETE FROM t WHERE part = $part - 10;
		INSERT INTO t SELECT part, v FROM random_rows WHERE part = $part));
	$node->safe_psql('postgres', 'VACUUM t');
}
compare('replacement', 'random_queries');

done_testing();
