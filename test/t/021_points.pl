#
# Every step of the tables of WAL in the READMEs, section 7: a session stops right
# after it (src/am/am_point.h).  First others go on, and then it does; then the
# server is killed, all sessions being stopped at their points.
#
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

# an installation that has the points, as run.sh makes it
my $installation = $ENV{ANN_POINTS_INSTALLATION}
  or plan skip_all => 'ANN_POINTS_INSTALLATION names no installation';

# ANN_POINT_LOCK of am_point.c
my $lock = 26158;

my $node = AnnTest->prepare(PostgreSQL::Test::Cluster->new('points', install_path => $installation),
	'max_connections = 150', 'max_wal_size = 1GB', 'log_statement = none', 'ann.seed = 7');
AnnTest->data($node);

# Values of the tables are made by value(i), from a number.  Each index has rows 1
# to rows; those from 1000000 on are equal.
my %kinds = (
	hnsw => {
		rows => 400, operator => '<->', type => 'vector(64)',
		value => 'clustered(CASE WHEN i < 1000000 THEN i ELSE 0 END, 64)::vector',
		index => 'hnsw (v vector_l2_ops) WITH (m = 32, ef_construction = 64)' },
	# whose nodes of level 2 have links on other pages
	tall => {
		rows => 400, operator => '<->', type => 'vector(448)',
		value => 'clustered(CASE WHEN i < 1000000 THEN i ELSE 0 END, 448)::vector',
		index => 'hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 40, neighbor_bits = 4)' },
	# whose values take two pages each
	nodes => {
		rows => 100, operator => '<->', type => 'vector(2100)',
		value => 'clustered(CASE WHEN i < 1000000 THEN i ELSE 0 END, 2100)::vector',
		index => 'hnsw (v vector_l2_ops) WITH (layout = compact, rerank = index)' },
	ivfflat => {
		rows => 400, operator => '<->', type => 'vector(12)',
		value => 'clustered(CASE WHEN i < 1000000 THEN i ELSE 0 END, 12)::vector',
		index => 'ivfflat (v vector_l2_ops) WITH (lists = 4, quantizer = rabitq)' },
	# whose values take two pages each
	stored => {
		rows => 100, operator => '<->', type => 'vector(2100)',
		value => 'clustered(CASE WHEN i < 1000000 THEN i ELSE 0 END, 2100)::vector',
		index => 'ivfflat (v vector_l2_ops) WITH (lists = 4, quantizer = rabitq, rerank = index)' },
	# whose pages have four centres each
	grouped => {
		rows => 400, operator => '<->', type => 'vector(1800)',
		value => 'clustered(CASE WHEN i < 1000000 THEN i ELSE 0 END, 1800)::vector',
		index => 'ivfflat (v vector_l2_ops) WITH (lists = 8)' },
	lsh => {
		rows => 400, operator => '<->', type => 'vector(12)',
		value => 'clustered(CASE WHEN i < 1000000 THEN i ELSE 0 END, 12)::vector',
		index => 'lsh (v vector_l2_ops) WITH (tables = 2)' },
	# whose leaves have few rows, so that there are many
	forest => {
		rows => 1700, operator => '<~>', type => 'bit(15000)',
		value => q(('x' || (SELECT string_agg(md5(i || '.' || j), '') FROM generate_series(1, 118) j))::bit(15000)),
		index => 'lsh (v bit_hamming_ops) WITH (tables = 1)' });

# What passes a point: its name, how often it is passed before, the kind of table,
# what is done before, and by the session that stops.  VACUUM comes first, while
# no transaction is open that might see what it removes.
my $one = 'INSERT INTO TABLE SELECT 500000, KIND_value(500000)';
my $some = 'INSERT INTO TABLE SELECT i, KIND_value(i) FROM generate_series(500001, 500700) i';
my $equal = 'INSERT INTO TABLE SELECT i, KIND_value(i) FROM generate_series(1000000, 1000400) i';
my $more = 'INSERT INTO TABLE SELECT i, KIND_value(i) FROM generate_series(2001, 2700) i; REINDEX INDEX TABLE_idx';
# a list gets so many that its centre is made anew
my $few = 'INSERT INTO TABLE SELECT i, KIND_value(i) FROM generate_series(500001, 500150) i';
# too many for lists that were built of 400 rows
my $many = 'INSERT INTO TABLE SELECT i, KIND_value(i) FROM generate_series(500001, 502500) i';
my $copies = 'INSERT INTO TABLE SELECT i, KIND_value(i) FROM generate_series(1000000, 1001200) i';
my $delete = 'DELETE FROM TABLE WHERE id % 20 <> 0';
my $vacuum = 'VACUUM TABLE';
my @points = (
	[ 'hnsw W6', 0, 'hnsw', $delete, $vacuum ],
	[ 'hnsw W6', 1, 'hnsw', "$equal; $delete", $vacuum ],
	[ 'hnsw W7', 0, 'hnsw', $delete, $vacuum ],
	[ 'hnsw W7', 10, 'hnsw', $delete, $vacuum ],
	[ 'hnsw W8', 0, 'hnsw', $delete, $vacuum ],
	[ 'hnsw W9', 0, 'tall', $delete, $vacuum ],
	[ 'hnsw W10', 0, 'hnsw', $delete, $vacuum ],
	[ 'hnsw W10', 100, 'hnsw', $delete, $vacuum ],
	[ 'hnsw W13', 0, 'nodes', $delete, $vacuum ],
	[ 'hnsw W13', 10, 'nodes', $delete, $vacuum ],
	[ 'ivfflat W7', 0, 'ivfflat', $few, $vacuum ],
	[ 'ivfflat W9', 0, 'ivfflat', $delete, $vacuum ],
	[ 'ivfflat W14', 0, 'ivfflat', $few, $vacuum ],
	[ 'ivfflat W11', 0, 'stored', $delete, $vacuum ],
	[ 'ivfflat W11', 10, 'stored', $delete, $vacuum ],
	[ 'ivfflat W17', 0, 'grouped', 'DELETE FROM TABLE WHERE id > 2', $vacuum ],
	[ 'lsh W6', 0, 'lsh', $delete, $vacuum ],
	[ 'lsh W6', 1, 'lsh', $delete, $vacuum ],
	[ 'lsh W7', 0, 'lsh', "$some; DELETE FROM TABLE WHERE id > 3", $vacuum ],
	[ 'lsh W7', 1, 'lsh', "$some; $delete", $vacuum ],
	[ 'lsh W9', 0, 'lsh', 'INSERT INTO TABLE SELECT i, KIND_value(i) FROM generate_series(2001, 6000) i', $vacuum ],
	[ 'hnsw W1', 0, 'hnsw', '', $some ],
	[ 'hnsw W2', 0, 'hnsw', '', $one ],
	[ 'hnsw W3', 0, 'hnsw', '', $one ],
	[ 'hnsw W3', 5, 'hnsw', '', $one ],
	[ 'hnsw W4', 0, 'hnsw', 'TRUNCATE TABLE', $some ],
	[ 'hnsw W4', 1, 'hnsw', 'TRUNCATE TABLE', $some ],
	[ 'hnsw W5', 0, 'hnsw', '', $equal ],
	[ 'hnsw W5', 10, 'hnsw', '', $equal ],
	[ 'hnsw W11', 0, 'nodes', '', $one ],
	[ 'hnsw W11', 1, 'nodes', '', $one ],
	[ 'hnsw W12', 0, 'nodes', '', $one ],
	[ 'ivfflat W1', 0, 'ivfflat', '', $some ],
	[ 'ivfflat W2', 0, 'ivfflat', '', $some ],
	[ 'ivfflat W3', 0, 'ivfflat', '', $some ],
	[ 'ivfflat W4', 0, 'ivfflat', '', $many ],
	[ 'ivfflat W5', 0, 'ivfflat', '', $many ],
	[ 'ivfflat W5', 1, 'ivfflat', '', $many ],
	[ 'ivfflat W6', 0, 'ivfflat', '', $many ],
	[ 'ivfflat W7', 0, 'ivfflat', '', $many ],
	[ 'ivfflat W7', 1, 'ivfflat', '', $many ],
	[ 'ivfflat W8', 0, 'ivfflat', '', $many ],
	[ 'ivfflat W10', 0, 'stored', '', $one ],
	[ 'ivfflat W10', 1, 'stored', '', $one ],
	[ 'ivfflat W12', 0, 'ivfflat', '', $many ],
	[ 'ivfflat W13', 0, 'ivfflat', '', $copies ],
	[ 'ivfflat W14', 0, 'ivfflat', '', $many ],
	[ 'ivfflat W15', 0, 'grouped', '', $many ],
	[ 'ivfflat W16', 0, 'grouped', '', $many ],
	[ 'lsh W1', 0, 'lsh', '', $some ],
	[ 'lsh W2', 0, 'lsh', '', $one ],
	[ 'lsh W2', 1, 'lsh', '', $one ],
	[ 'lsh W3', 0, 'lsh', '', $some ],
	[ 'lsh W4', 0, 'forest', $more, $some ],
	[ 'lsh W5', 0, 'forest', '', $some ],
	[ 'lsh W8', 0, 'lsh', '', $some ]);

# Points that are common to all are called by what they are.
my %common = ('hnsw W11' => 'value put', 'ivfflat W10' => 'value put',
	'hnsw W13' => 'values removed', 'ivfflat W11' => 'values removed',
	map { ("$_ W1" => 'new page') } ('hnsw', 'ivfflat', 'lsh'));

# No step is forgotten: each of a table of WAL is a point.
my %tested = map { $_->[0] => 1 } @points;
foreach my $method ('hnsw', 'ivfflat', 'lsh')
{
	my @steps = slurp_file("$ENV{TESTDIR}/src/$method/README.md") =~ /^\| (W\d+) /mg;

	cmp_ok(scalar(@steps), '>', 5, "$method/README.md has a table of WAL");
	is(join(' ', grep { !$tested{"$method $_"} } @steps), '', "every step of $method is tested");
}

foreach my $kind (sort keys %kinds)
{
	my $k = $kinds{$kind};

	$node->safe_psql('postgres', qq(
		CREATE FUNCTION ${kind}_value(i int) RETURNS $k->{type} IMMUTABLE PARALLEL SAFE LANGUAGE sql
		RETURN $k->{value};
		CREATE TABLE ${kind}_rows AS SELECT i AS id, ${kind}_value(i) AS v FROM generate_series(1, $k->{rows}) i));
}

# One passing test if a search finds all rows.
sub found_ok
{
	my ($run, $when) = @_;
	my $kind = $kinds{ $run->{kind} };

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	AnnTest->complete_ok($node, $run->{table}, 'v', $kind->{operator}, $when);
}

# A table for each point, and a session that is stopped there: a list of hashes.
sub stop_all
{
	my ($prefix) = @_;
	my @runs;

	foreach my $i (0 .. $#points)
	{
		my ($point, $passes, $kind, $before, $deed) = @{ $points[$i] };
		my $table = "${prefix}_$i";

		s/TABLE/$table/g, s/KIND/$kind/g foreach ($before, $deed);
		$before =~ s/TRUNCATE /TRUNCATE TABLE /;
		$node->safe_psql('postgres', qq(
			CREATE TABLE $table (id int, v $kinds{$kind}{type});
			INSERT INTO $table SELECT * FROM ${kind}_rows;
			CREATE INDEX ${table}_idx ON $table USING $kinds{$kind}{index};
			$before));

		my $name = $common{$point} // $point;
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		$session->set_query_timer_restart;
		$session->query_safe(qq(
			SET application_name = '$table'; SET ann.point = '$name'; SET ann.point_passes = $passes));
		$session->query_until(qr/begun/, "\\echo begun\n$deed;\n");
		push @runs, { point => $point, passes => $passes, kind => $kind, table => $table, session => $session,
			when => "at point $point" . ($passes > 0 ? ", passed $passes times" : '') };

		# It is active while it is stopped, and idle when it has not come by.  It is
		# idle, too, before it has begun, and then the settings were its last query.
		my $activity = "FROM pg_stat_activity WHERE application_name = '$table'";
		$node->poll_query_until('postgres', qq(
			SELECT wait_event = 'advisory' OR state = 'idle' AND query !~ 'SET ann.point' $activity))
			or die "$point: timeout";
		is($node->safe_psql('postgres', "SELECT state $activity"), 'active', "stopped $runs[-1]{when}");
	}
	return @runs;
}

#
# Others go on
#
my $holder = $node->background_psql('postgres');
$holder->set_query_timer_restart;
$holder->query_safe("SELECT pg_advisory_lock($lock)");
my @runs = stop_all('paused');
foreach my $run (@runs)
{
	my $table = $run->{table};
	my ($out, $err) = ('', '');

	# who makes a new page has locked it, and whom it is for
	found_ok($run, "while a session is stopped $run->{when}") if $run->{point} !~ /W1$/;
	$run->{others} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', $node->connstr('postgres') ],
		'<', \"INSERT INTO $table SELECT i, $run->{kind}_value(i) FROM generate_series(600000, 600100) i;
			UPDATE $table SET v = $run->{kind}_value(id + 1) WHERE id % 40 = 0;
			VACUUM $table;", '>', \$out, '2>', \$err);
	$run->{err} = \$err;
}
$holder->query_safe("SELECT pg_advisory_unlock($lock)");
foreach my $run (@runs)
{
	$run->{others}->finish;
	is(${ $run->{err} }, '', "others went on $run->{when}");
	$run->{session}->query_safe('SELECT 1');
	is($run->{session}{stderr}, '', "the session went on $run->{when}");
	$run->{session}->quit;
	$node->safe_psql('postgres', "VACUUM $run->{table}");
	AnnTest->index_ok($node, "$run->{table}_idx", "after it had stopped $run->{when}");
	found_ok($run, "after it had stopped $run->{when}");
	$node->safe_psql('postgres', "DROP TABLE $run->{table}");
}

#
# The server is killed
#
$holder->query_safe("SELECT pg_advisory_lock($lock)");
@runs = stop_all('killed');
# A commit, so that what was logged before it is on disk
$node->safe_psql('postgres', 'SELECT pg_current_xact_id()');
AnnTest->crash($node);
$_->{session}{run}->kill_kill foreach @runs;
$holder->{run}->kill_kill;
foreach my $run (@runs)
{
	my ($table, $kind, $when) = ($run->{table}, $run->{kind}, "after a crash $run->{when}");

	# A VACUUM that was stopped leaves dead neighbours in hnsw, and dead rows without
	# values in ivfflat.
	is($node->safe_psql('postgres', qq(
			SELECT * FROM ann_check('${table}_idx') WHERE (split_part('$run->{point}', ' ', 1), invariant) NOT IN (('hnsw', 'I5'), ('ivfflat', 'I9')))),
		'', "the index is sound $when");
	found_ok($run, $when);
	$node->safe_psql('postgres', qq(
		INSERT INTO $table SELECT i, ${kind}_value(i) FROM generate_series(700000, 700100) i;
		DELETE FROM $table WHERE id % 7 = 0));
	$node->safe_psql('postgres', "VACUUM $table");
	AnnTest->index_ok($node, "${table}_idx", "written to and vacuumed $when");
	found_ok($run, "written to and vacuumed $when");
}

done_testing();
