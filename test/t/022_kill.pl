#
# A server is killed at moments drawn from a seed, again and again, while for each
# access method clients insert, update, delete, search and vacuum.  After each
# recovery the indexes must be sound, and find each row of the table once.
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
my $kills = $ENV{ANN_TEST_KILLS} // 10;

note("ANN_TEST_SEED=$seed");
srand($seed);

my $node = AnnTest->primary('primary', 'shared_buffers = 16MB', 'wal_level = minimal',
	'max_wal_senders = 0', 'log_statement = none', 'deadlock_timeout = 100ms');
AnnTest->data($node);

# Tables, by what they test: dimensions and the index.  Small nodes and lists, so
# that everything happens often.
my %tables = (
	graph => [ 8, 'hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 32)' ],
	codes => [ 64, 'hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 32)' ],
	lists => [ 12, 'ivfflat (v vector_l2_ops) WITH (quantizer = rabitq)' ],
	forest => [ 12, 'lsh (v vector_l2_ops) WITH (tables = 2)' ]);

# What clients do, over and over.  Every fourth value is one of 50, so that equal
# ones meet.  Now and then a third of the rows go at once.
my $value = 'clustered(CASE WHEN random() < 0.25 THEN (random() * 50)::int ELSE (random() * 1000000)::int END, DIM)';
my %clients = (
	insert => "INSERT INTO TABLE (v) SELECT $value FROM generate_series(1, 20);",
	change => q(
		UPDATE TABLE SET v = VALUE WHERE id % 40 = (random() * 40)::int;
		DELETE FROM TABLE WHERE id % 30 = (random() * 30)::int;
		DELETE FROM TABLE WHERE random() < 0.1 AND id % 3 = 0;
	) =~ s/VALUE/$value/r,
	vacuum => 'VACUUM TABLE;',
	search => 'SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM TABLE ORDER BY v <-> clustered(7, DIM)::vector LIMIT 50) s;');
my $scripts = PostgreSQL::Test::Utils::tempdir;

foreach my $table (sort keys %tables)
{
	my ($dim, $index) = @{ $tables{$table} };

	$node->safe_psql('postgres', qq(
		CREATE TABLE $table (id serial, v vector($dim));
		CREATE INDEX ${table}_idx ON $table USING $index;
		INSERT INTO $table (v) SELECT clustered(i, $dim) FROM generate_series(1, 500) i));
	append_to_file("$scripts/$table.$_", $clients{$_} =~ s/TABLE/$table/gr =~ s/DIM/$dim/gr) foreach keys %clients;
}

# Rows added to a table so far, whoever has
my $added = 'SELECT sum(last_value) FROM pg_sequences';

foreach my $kill (1 .. $kills)
{
	my $moment = int(rand(600_000));
	my $begun = $node->safe_psql('postgres', $added);
	my @running;

	foreach my $table (sort keys %tables)
	{
		my $err = '';
		push @running, [ \$err, IPC::Run::start(
			[ 'pgbench', '-n', '-c', 4, '-T', 1000, '--max-tries', 100,
				map({ ('-f', "$scripts/$table.$_") } sort keys %clients), $node->connstr('postgres') ],
			'>', '/dev/null', '2>', \$err) ];
	}
	$node->poll_query_until('postgres', "SELECT ($added) > $begun + 100") or die 'nothing was inserted';
	usleep($moment);
	AnnTest->crash($node);
	$_->[1]->finish foreach @running;

	my $when = "after kill $kill, $moment us after the beginning";
	is(join('', grep { /ERROR: |PANIC: / } map { split /^/, ${ $_->[0] } } @running), '', "no client had an error before kill $kill");
	foreach my $table (sort keys %tables)
	{
		# A VACUUM may have been stopped between marking the dead and its end.
		is($node->safe_psql('postgres', qq(
				SELECT * FROM ann_check('${table}_idx') WHERE NOT ('$tables{$table}[1]' LIKE 'hnsw%' AND invariant = 'I5'))),
			'', "${table}_idx is sound $when");
		AnnTest->complete_ok($node, $table, 'v', '<->', $when);
		$node->safe_psql('postgres', "VACUUM $table");
		AnnTest->index_ok($node, "${table}_idx", "vacuumed $when");

		# so that tables stay small
		$node->safe_psql('postgres', qq(
			DELETE FROM $table WHERE id IN (SELECT id FROM $table ORDER BY id DESC OFFSET 500)));
	}
}

done_testing();
