#
# Crashes: section 7 of hnsw/README.md and ivfflat/README.md.  After any of them
# the indexes must be sound, and find each row of the table once.
#
# The rounds kill a server that inserts (W1 to W5; W1 to W8, W10), updates and vacuums
# (W6 to W9; W4 to W11) at moments drawn from a seed.  Columns w and f
# have what v has, and other indexes: ivfflat, and hnsw of the fast layout.
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
my $rounds = 10;

note("ANN_TEST_SEED=$seed");
srand($seed);

my $node = AnnTest->primary('primary', 'shared_buffers = 16MB', 'wal_level = minimal',
	'max_wal_senders = 0', 'max_prepared_transactions = 4', 'log_statement = none');
AnnTest->data($node);

sub check
{
	my ($table, $index, $when) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	AnnTest->index_ok($node, $index, $when);
	AnnTest->complete_ok($node, $table, 'v', '<->', $when);
	AnnTest->index_ok($node, "${table}_fast", $when);
	AnnTest->complete_ok($node, $table, 'f', '<->', $when);
	AnnTest->index_ok($node, "${table}_ivf", $when);
	AnnTest->complete_ok($node, $table, 'w', '<->', $when);
}

#
# Moments we can choose
#

# Right after a build, logged in the end, and before any checkpoint
$node->safe_psql('postgres', q(
	CREATE TABLE built (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	INSERT INTO built SELECT i, clustered(i, 8) FROM generate_series(1, 1000) i;
	CHECKPOINT;
	CREATE INDEX built_idx ON built USING hnsw (v vector_l2_ops);
	CREATE INDEX built_fast ON built USING hnsw (f vector_l2_ops);
	CREATE INDEX built_ivf ON built USING ivfflat (w vector_l2_ops) WITH (quantizer = rabitq, rerank = index);
	CREATE TABLE empty (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	CREATE INDEX empty_idx ON empty USING hnsw (v vector_l2_ops);
	CREATE INDEX empty_fast ON empty USING hnsw (f vector_l2_ops);
	CREATE INDEX empty_ivf ON empty USING ivfflat (w vector_l2_ops);
));
# and of a table made in the same transaction, of which nothing is logged
$node->safe_psql('postgres', q(
	BEGIN;
	CREATE TABLE unlogged_build (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	INSERT INTO unlogged_build SELECT i, clustered(i, 8) FROM generate_series(1, 1000) i;
	CREATE INDEX unlogged_build_idx ON unlogged_build USING hnsw (v vector_l2_ops);
	CREATE INDEX unlogged_build_fast ON unlogged_build USING hnsw (f vector_l2_ops);
	CREATE INDEX unlogged_build_ivf ON unlogged_build USING ivfflat (w vector_l2_ops);
	INSERT INTO unlogged_build SELECT i, clustered(i, 8) FROM generate_series(1001, 1200) i;
	COMMIT;
));
$node->safe_psql('postgres', q(
	CREATE UNLOGGED TABLE unlogged (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	INSERT INTO unlogged SELECT i, clustered(i, 8) FROM generate_series(1, 500) i;
	CREATE INDEX unlogged_idx ON unlogged USING hnsw (v vector_l2_ops);
	CREATE INDEX unlogged_fast ON unlogged USING hnsw (f vector_l2_ops);
	CREATE INDEX unlogged_ivf ON unlogged USING ivfflat (w vector_l2_ops);
));
AnnTest->crash($node);
check('built', 'built_idx', 'after a crash that follows its build');
check('empty', 'empty_idx', 'after a crash that follows its build');
check('unlogged_build', 'unlogged_build_idx', 'after a crash that follows a build that is not logged');
is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged'), '0', 'an unlogged table is empty');
check('unlogged', 'unlogged_idx', 'after a crash, emptied');
$node->safe_psql('postgres', q(
	INSERT INTO unlogged SELECT i, clustered(i, 8) FROM generate_series(1, 500) i;
	INSERT INTO built SELECT i, clustered(i, 8) FROM generate_series(1001, 1200) i;
	INSERT INTO empty SELECT i, clustered(i, 8) FROM generate_series(1, 200) i;
));
check('unlogged', 'unlogged_idx', 'filled again');
AnnTest->crash($node);
check('built', 'built_idx', 'after a crash that follows inserts');
check('empty', 'empty_idx', 'after a crash that follows the first inserts');

# Rows of transactions that never ended stay in the index until VACUUM, and are
# not found; those of a prepared one are when it commits
my $open = $node->background_psql('postgres');
$open->query_safe(q(
	BEGIN;
	INSERT INTO empty SELECT -i, clustered(i + 50000, 8) FROM generate_series(1, 200) i));
$node->safe_psql('postgres', q(
	BEGIN;
	INSERT INTO built SELECT -i, clustered(i + 50000, 8) FROM generate_series(1, 50) i;
	PREPARE TRANSACTION 'later';
));
AnnTest->crash($node);
$open->{run}->kill_kill;
check('empty', 'empty_idx', 'with rows of a transaction that crashed');
$node->safe_psql('postgres', q(COMMIT PREPARED 'later'));
check('built', 'built_idx', 'with rows of a transaction prepared before the crash');
$node->safe_psql('postgres', 'VACUUM empty');
check('empty', 'empty_idx', 'after VACUUM of what crashed');

#
# Moments drawn
#
$node->safe_psql('postgres', q(
	CREATE TABLE items (id serial, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 32);
	CREATE INDEX items_fast ON items USING hnsw (f vector_l2_ops);
	CREATE INDEX items_ivf ON items USING ivfflat (w vector_l2_ops) WITH (quantizer = rabitq, rerank = index);
	INSERT INTO items (v) SELECT clustered(i, 8) FROM generate_series(1, 500) i;
));

# What a client does, over and over.  Every fourth value is one of 50, so that
# equal ones meet.
my $value = 'clustered(CASE WHEN random() < 0.25 THEN (random() * 50)::int ELSE (random() * 1000000)::int END, 8)';
my %clients = (
	insert => "INSERT INTO items (v) SELECT $value FROM generate_series(1, 5);",
	update => "UPDATE items SET v = $value WHERE id = (SELECT id FROM items OFFSET (random() * 200)::int LIMIT 1);",
	delete => 'DELETE FROM items WHERE id IN (SELECT id FROM items ORDER BY random() LIMIT 6);',
	vacuum => 'VACUUM items;');

my $scripts = PostgreSQL::Test::Utils::tempdir;
append_to_file("$scripts/$_", $clients{$_}) foreach keys %clients;

foreach my $round (1 .. $rounds)
{
	my @running;
	my $moment = int(rand(600_000));
	my $begun = $node->safe_psql('postgres', q(SELECT nextval('items_id_seq') + 20));

	foreach my $name (qw(insert insert update delete vacuum))
	{
		push @running, IPC::Run::start(
			[ 'pgbench', '-n', '-T', '100', '-f', "$scripts/$name", $node->connstr('postgres') ],
			'>', '/dev/null', '2>', '/dev/null');
	}
	$node->poll_query_until('postgres', "SELECT last_value > $begun FROM items_id_seq")
		or die 'nothing was inserted';
	usleep($moment);
	AnnTest->crash($node);
	$_->finish foreach @running;

	my $when = "in round $round, killed $moment us after its beginning";
	# A VACUUM may have been stopped between marking the dead and its end.
	foreach my $graph ('items_idx', 'items_fast')
	{
		is($node->safe_psql('postgres', qq(SELECT * FROM ann_check('$graph') WHERE invariant <> 'I5')),
			'', "$graph is sound but for dead neighbours $when");
	}
	AnnTest->complete_ok($node, 'items', 'v', '<->', $when);
	AnnTest->index_ok($node, 'items_ivf', $when);
	AnnTest->complete_ok($node, 'items', $_, '<->', $when) foreach ('w', 'f');
	$node->safe_psql('postgres', 'VACUUM items');
	check('items', 'items_idx', "after VACUUM $when");
}

done_testing();
