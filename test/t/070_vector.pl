#
# The extension under the name of pgvector: beside ann, in schemas, dumped and
# restored; and its files beside pgvector's own.
#
use strict;
use warnings;

use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# an installation that has both, as run.sh makes it
my $installation = $ENV{ANN_VECTOR_INSTALLATION}
  or plan skip_all => 'ANN_VECTOR_INSTALLATION names no installation';

my $node = PostgreSQL::Test::Cluster->new('vector', install_path => $installation);
$node->init;
$node->start;

my $objects = q(
	SELECT extname, count(objid) FROM pg_extension e LEFT JOIN pg_depend d
		ON refclassid = 'pg_extension'::regclass AND refobjid = e.oid AND d.deptype = 'e'
	WHERE extname <> 'plpgsql' GROUP BY 1 ORDER BY 1);
my $leftovers = q(
	SELECT count(*) FROM pg_proc WHERE probin = '$libdir/ann' UNION ALL
	SELECT count(*) FROM pg_type WHERE typname IN ('vector', 'halfvec', 'sparsevec') UNION ALL
	SELECT count(*) FROM pg_am WHERE amname = 'hnsw');
my $identity = q(
	SELECT extversion, extnamespace::regnamespace, extrelocatable FROM pg_extension WHERE extname = 'vector');
my $nearest = q(SELECT id FROM items ORDER BY v OPERATOR(app.<=>) '[1,0]' LIMIT 2);

sub database { my ($name) = @_; $node->safe_psql('postgres', "CREATE DATABASE $name"); return $name; }

sub fails
{
	my ($db, $command, $expected, $name) = @_;
	my ($status, undef, $err) = $node->psql($db, $command);

	isnt($status, 0, $name);
	like($err, $expected, "$name: message");
}

# what clients say, in one go
my $db = database('alone');
$node->safe_psql($db, q(
	CREATE SCHEMA app;
	SELECT pg_advisory_xact_lock(1573678846307946496);CREATE EXTENSION IF NOT EXISTS "vector" WITH SCHEMA "app";
	DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN CREATE EXTENSION vector; END IF; END $$;
	CREATE EXTENSION IF NOT EXISTS vector;
	CREATE TABLE items (id int, v "app"."vector"(2));
	INSERT INTO items VALUES (1, '[1,0]'), (2, '[0,1]'), (3, '[1,1]');
	CREATE INDEX ON items USING hnsw (v app.vector_cosine_ops);
));
is($node->safe_psql($db, $identity), '0.8.6|app|t', 'version and schema');
is($node->safe_psql($db, q(SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'vector')),
	'0.8.6|0.8.6', 'version as available');
is($node->safe_psql($db, $nearest), "1\n3", 'it answers');
my $all = $node->safe_psql($db, $objects);
like($all, qr/^vector\|[1-9]\d\d$/, 'it owns everything');

# ann joins it
$node->safe_psql($db, 'CREATE EXTENSION ann');
is($node->safe_psql($db, $objects), "ann|0\n$all", 'ann adds its name');
fails($db, 'DROP EXTENSION vector', qr/extension ann depends on extension vector/, 'the owner is not dropped alone');

# the schema of the one that has all is the one that counts, in any order of names
my ($dump, $err) = run_command([ 'env', "PATH=$installation/bin:$ENV{PATH}", 'pg_dump', '-d', $node->connstr($db) ]);
is($err, '', 'dumped');
my $copy = database('restored');
is($node->psql($copy, $dump, on_error_die => 1), 0, 'restored');
is($node->safe_psql($copy, $objects), "ann|0\n$all", 'restored with the same owner');
is($node->safe_psql($copy, "SET enable_seqscan = off; $nearest"), "1\n3", 'and it answers');

$node->safe_psql($db, 'DROP EXTENSION ann');
is($node->safe_psql($db, $nearest), "1\n3", 'ann goes and takes nothing along');
$node->safe_psql($db, 'CREATE SCHEMA elsewhere; ALTER EXTENSION vector SET SCHEMA elsewhere');
is($node->safe_psql($db, $nearest =~ s/app/elsewhere/r), "1\n3", 'moved to another schema');
$node->safe_psql($db, 'DROP EXTENSION vector CASCADE');
is($node->safe_psql($db, $leftovers), "0\n0\n0", 'nothing stays behind');

# and the other way round
$db = database('ann_first');
$node->safe_psql($db, 'CREATE EXTENSION ann; CREATE EXTENSION IF NOT EXISTS vector');
is($node->safe_psql($db, $objects), ($all =~ s/vector/ann/r) . "\nvector|0", 'vector adds its name');
is($node->safe_psql($db, $identity), '0.8.6|public|t', 'and its version');
fails($db, 'DROP EXTENSION ann', qr/extension vector depends on extension ann/, 'the owner is not dropped alone');
$node->safe_psql($db, 'DROP EXTENSION ann CASCADE');
is($node->safe_psql($db, $leftovers), "0\n0\n0", 'nothing stays behind');

# The migration leaves alone what needs none
$db = database('migrated');
$node->safe_psql($db, q(CREATE EXTENSION vector; ALTER EXTENSION vector UPDATE TO 'ann'; ALTER EXTENSION vector UPDATE));
is($node->safe_psql($db, $objects), $all, 'a migration from ann to ann');
is($node->safe_psql($db, $identity), '0.8.6|public|t', 'which leads to the same version');

# nor takes over what belongs to nobody, or to somebody else
foreach my $object ('OPERATOR <~> (bit, bit)', 'OPERATOR || (vector, vector)', 'TYPE halfvec', 'FUNCTION l2_norm(vector)')
{
	$node->safe_psql($db, "ALTER EXTENSION vector DROP $object");
	fails($db, q(ALTER EXTENSION vector UPDATE TO 'ann'), qr/has the place of|is not a member of extension/, "not taken over: $object");
	$node->safe_psql($db, "ALTER EXTENSION vector ADD $object");
}

# Files: pgvector's, a module that must stay, and those of another extension
my $dir = PostgreSQL::Test::Utils::tempdir;
my %theirs = (
	'vector.control' => "module_pathname = '\$libdir/vector'\n",
	'vector--0.8.6.sql' => "theirs\n",
	'vector--0.8.5--0.8.6.sql' => "theirs\n",
	'vectorize.control' => "another's\n");
append_to_file("$dir/$_", $theirs{$_}) foreach keys %theirs;

sub files { return { map { (s/.*\///r, slurp_file($_)) } grep { -f } glob "$dir/*" }; }
sub install { my $action = shift; return system_log('env', @_, 'sh', 'install/vector.sh', $action, $dir); }

isnt(install('install'), 0, "pgvector's files are not overwritten");
isnt(install('uninstall'), 0, 'nor removed');
is_deeply(files(), \%theirs, 'nor touched');
is(install('install', 'FORCE=1'), 0, 'but set aside when told to');
my $ours = files();
like($ours->{'vector.control'}, qr/libdir\/ann/, 'the control file is ours');
like($ours->{'vector--0.8.6.sql'}, qr/ann_vector_in/, 'and the script');
is($ours->{'vector--0.8.5--0.8.6.sql'}, undef, 'no script of theirs is left');
is(install('install'), 0, 'ours are overwritten');
is_deeply(files(), $ours, 'with themselves');
is(install('uninstall'), 0, 'and removed');
is_deeply(files(), \%theirs, "which gives pgvector's back");

done_testing();
