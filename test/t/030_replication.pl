#
# A streaming standby: every page that WAL replay makes is compared with the
# primary's, and the indexes answer there as they do on the primary, when it is
# quiet and under load.  Then the other ways in which WAL is replayed: a base
# backup recovered to a point in time, promotion, and pg_rewind.
#
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $primary = PostgreSQL::Test::Cluster->new('primary');
AnnTest->prepare($primary, 'shared_buffers = 32MB', 'log_statement = none', "wal_consistency_checking = 'all'",
	'wal_log_hints = on', 'wal_keep_size = 1GB', 'archive_mode = on', "archive_command = 'true'");
AnnTest->data($primary);
my $standby = AnnTest->standby($primary);

# Columns that have the same vectors, and their indexes; f is longer, so that its
# index has the other layout
my %indexes = (v => 'hnsw', f => 'hnsw', w => 'ivfflat', l => 'lsh');
my $columns = q(v vector(8), f vector(128) GENERATED ALWAYS AS (wide(v)) STORED,
	w vector(8) GENERATED ALWAYS AS (v) STORED, l vector(8) GENERATED ALWAYS AS (v) STORED);

# What scans give, in their order; the indexes are the same everywhere.
my $answers = 'SET enable_seqscan = off; ' . join('; ', map { qq(
	SELECT '$_', q, (SELECT string_agg(id::text, ',') FROM
		(SELECT id FROM items ORDER BY $_ <-> (SELECT $_ FROM queries WHERE queries.id = q) LIMIT 10) s)
	FROM generate_series(1, 30) q) } sort keys %indexes);

# The indexes of a node are sound, and find all rows.
sub sound_ok
{
	my ($node, $when) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $column (sort keys %indexes)
	{
		AnnTest->index_ok($node, "items_$column", $when);
		AnnTest->complete_ok($node, 'items', $column, '<->', $when);
	}
}

sub same_ok
{
	my ($when) = @_;
	my $expected = $primary->safe_psql('postgres', $answers);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$primary->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', $answers), $expected, "the standby has the same answers $when");
	sound_ok($_, $when) foreach ($primary, $standby);
}

my @load = (
	[ 'after a build', qq(
		CREATE TABLE items (id int, $columns);
		INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(1, 1000) i;
		CREATE TABLE queries (id int, $columns);
		INSERT INTO queries SELECT i, clustered(5000 + i, 8) FROM generate_series(1, 30) i;
	) . join('', map { "CREATE INDEX items_$_ ON items USING $indexes{$_} ($_ vector_l2_ops);" } sort keys %indexes) ],
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
	[ 'after REINDEX CONCURRENTLY', q(REINDEX TABLE CONCURRENTLY items) ],
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
like($standby->safe_psql('postgres', $answers), qr/^$_\|1\|\d+(,\d+){9}$/m, "there were answers of $_")
	foreach (sort keys %indexes);

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

# Under load, searches on the standby see the rows of their snapshot.
my $scripts = PostgreSQL::Test::Utils::tempdir;
append_to_file("$scripts/load", q(
	\set i random(10000, 1000000)
	INSERT INTO items SELECT :i + k, clustered(:i + k, 8) FROM generate_series(1, 20) k;
	UPDATE items SET v = clustered(:i + id, 8) WHERE id % 50 = :i % 50;
	DELETE FROM items WHERE id % 200 = :i % 200;
));
append_to_file("$scripts/vacuum", 'VACUUM items;');
my ($out, $err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 4, '-T', 6, '--max-tries', 100, '-f', "$scripts/load\@9", '-f', "$scripts/vacuum\@1",
		$primary->connstr('postgres') ], '>', \$out, '2>', \$err);
$primary->poll_query_until('postgres', q(SELECT count(*) > 100 FROM items WHERE id > 10000)) or die 'there is no load';
$primary->append_conf('postgresql.conf', "archive_command = 'cp \"%p\" \"" . $primary->archive_dir . "/%f\"'");
$primary->reload;
$primary->backup('under_load');
foreach my $time (1 .. 3)
{
	AnnTest->complete_ok($standby, 'items', $_, '<->', "under load, time $time") foreach (sort keys %indexes);
}
$load->finish;
is($load->result(0), 0, 'a load on the primary') or diag($err);
$primary->safe_psql('postgres', 'VACUUM items');
same_ok('after a load');

# A point in time, from the backup that was taken meanwhile
my $then = $primary->safe_psql('postgres', $answers);
$primary->safe_psql('postgres', q(
	SELECT pg_create_restore_point('then');
	DELETE FROM items WHERE id % 2 = 0;
	INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(4001, 4500) i));
$primary->safe_psql('postgres', 'VACUUM items');
my $archived = $primary->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal())');
$primary->poll_query_until('postgres', "SELECT last_archived_wal >= '$archived' FROM pg_stat_archiver")
	or die 'WAL was not archived';
my $past = PostgreSQL::Test::Cluster->new('past');
$past->init_from_backup($primary, 'under_load', has_restoring => 1, standby => 0);
$past->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_name = 'then'\nrecovery_target_action = promote");
$past->start;
$past->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery did not end';
is($past->safe_psql('postgres', $answers), $then, 'recovered to a point in time, it has the answers of that time');
sound_ok($past, 'recovered to a point in time');
$past->safe_psql('postgres', q(
	INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(5001, 5200) i;
	DELETE FROM items WHERE id % 5 = 0));
$past->safe_psql('postgres', 'VACUUM items');
sound_ok($past, 'recovered and written to');
$past->stop;

# The standby is promoted, and the primary goes on for a while.
same_ok('before promotion');
$_->append_conf('postgresql.conf', "wal_consistency_checking = ''") foreach ($primary, $standby);
$_->reload, $_->safe_psql('postgres', 'CHECKPOINT') foreach ($primary, $standby);
$standby->promote;
$standby->safe_psql('postgres', q(
	INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(3001, 3500) i;
	DELETE FROM items WHERE id % 4 = 0));
$standby->safe_psql('postgres', 'VACUUM items');
$standby->safe_psql('postgres', 'INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(3501, 4000) i');
sound_ok($standby, 'promoted and written to');
$primary->safe_psql('postgres', q(
	INSERT INTO items SELECT i, clustered(i + 7, 8) FROM generate_series(6001, 6400) i;
	DELETE FROM items WHERE id % 3 = 0));
$primary->safe_psql('postgres', 'VACUUM items');

# pg_rewind makes it a standby of the new primary
$primary->stop;
$standby->safe_psql('postgres', 'CHECKPOINT');
my $conf = slurp_file($primary->data_dir . '/postgresql.conf');
command_ok([ 'pg_rewind', '--source-server', $standby->connstr('postgres'), '--target-pgdata', $primary->data_dir,
	'--config-file', $primary->data_dir . '/postgresql.conf', '--no-sync' ], 'pg_rewind');
unlink $primary->data_dir . '/postgresql.conf';
append_to_file($primary->data_dir . '/postgresql.conf', $conf);
$primary->append_conf('postgresql.conf', "primary_conninfo = '" . $standby->connstr . " application_name=" . $primary->name . "'");
$primary->set_standby_mode;
$primary->start;
$standby->safe_psql('postgres', q(
	INSERT INTO items SELECT i, clustered(i, 8) FROM generate_series(7001, 7300) i;
	DELETE FROM items WHERE id % 5 = 1));
$standby->safe_psql('postgres', 'VACUUM items');
($primary, $standby) = ($standby, $primary);
same_ok('after pg_rewind');

$primary->safe_psql('postgres', 'REINDEX TABLE items');
sound_ok($primary, 'reindexed after promotion');

done_testing();
