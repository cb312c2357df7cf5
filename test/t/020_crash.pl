#
# Crashes of builds, of unlogged indexes and of transactions.  After any of them the
# indexes must be sound, and find each row of the table once.  021_points.pl stops
# at each step that is logged; 022_kill.pl kills at random.
#
# Columns w and f have what v has, and other indexes: ivfflat, and hnsw of the fast
# layout; l is for lsh.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

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
	AnnTest->index_ok($node, "${table}_lsh", $when);
	AnnTest->complete_ok($node, $table, 'l', '<->', $when);
}

# Right after a build, logged in the end, and before any checkpoint
$node->safe_psql('postgres', q(
	CREATE TABLE built (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		l vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	INSERT INTO built SELECT i, clustered(i, 8) FROM generate_series(1, 1000) i;
	CHECKPOINT;
	CREATE INDEX built_idx ON built USING hnsw (v vector_l2_ops);
	CREATE INDEX built_fast ON built USING hnsw (f vector_l2_ops);
	CREATE INDEX built_ivf ON built USING ivfflat (w vector_l2_ops) WITH (quantizer = rabitq, rerank = index);
	CREATE INDEX built_lsh ON built USING lsh (l vector_l2_ops);
	CREATE TABLE empty (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		l vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	CREATE INDEX empty_idx ON empty USING hnsw (v vector_l2_ops);
	CREATE INDEX empty_fast ON empty USING hnsw (f vector_l2_ops);
	CREATE INDEX empty_ivf ON empty USING ivfflat (w vector_l2_ops);
	CREATE INDEX empty_lsh ON empty USING lsh (l vector_l2_ops);
));
# and of a table made in the same transaction, of which nothing is logged
$node->safe_psql('postgres', q(
	BEGIN;
	CREATE TABLE unlogged_build (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		l vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	INSERT INTO unlogged_build SELECT i, clustered(i, 8) FROM generate_series(1, 1000) i;
	CREATE INDEX unlogged_build_idx ON unlogged_build USING hnsw (v vector_l2_ops);
	CREATE INDEX unlogged_build_fast ON unlogged_build USING hnsw (f vector_l2_ops);
	CREATE INDEX unlogged_build_ivf ON unlogged_build USING ivfflat (w vector_l2_ops);
	CREATE INDEX unlogged_build_lsh ON unlogged_build USING lsh (l vector_l2_ops);
	INSERT INTO unlogged_build SELECT i, clustered(i, 8) FROM generate_series(1001, 1200) i;
	COMMIT;
));
$node->safe_psql('postgres', q(
	CREATE UNLOGGED TABLE unlogged (id int, v vector(8), w vector(8) GENERATED ALWAYS AS (v) STORED,
		l vector(8) GENERATED ALWAYS AS (v) STORED,
		f vector(128) GENERATED ALWAYS AS (wide(v)) STORED);
	INSERT INTO unlogged SELECT i, clustered(i, 8) FROM generate_series(1, 500) i;
	CREATE INDEX unlogged_idx ON unlogged USING hnsw (v vector_l2_ops);
	CREATE INDEX unlogged_fast ON unlogged USING hnsw (f vector_l2_ops);
	CREATE INDEX unlogged_ivf ON unlogged USING ivfflat (w vector_l2_ops);
	CREATE INDEX unlogged_lsh ON unlogged USING lsh (l vector_l2_ops);
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

done_testing();
