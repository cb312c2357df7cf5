#
# The next version of the extension, in place: tables, indexes and their answers
# stay.  An index of a format that is not known is refused, by all methods alike.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

# an installation of our own, as run.sh makes it
my $installation = $ENV{ANN_VECTOR_INSTALLATION}
  or plan skip_all => 'ANN_VECTOR_INSTALLATION names no installation';

my $node = PostgreSQL::Test::Cluster->new('upgrade', install_path => $installation);
$node->init;
$node->start;
my ($sharedir) = run_command([ "$installation/bin/pg_config", '--sharedir' ]);
append_to_file("$sharedir/extension/ann--1.0--test.sql",
	"CREATE FUNCTION ann_test() RETURNS int LANGUAGE sql RETURN 42;\n");

$node->safe_psql('postgres', 'CREATE EXTENSION ann');
AnnTest->data($node);
my @methods = qw(hnsw ivfflat lsh);
foreach my $method (@methods)
{
	$node->safe_psql('postgres', qq(
		CREATE TABLE $method (id int, v vector(60));
		INSERT INTO $method SELECT i, clustered(i, 60)::vector FROM generate_series(1, 500) i;
		CREATE INDEX ${method}_idx ON $method USING $method (v vector_l2_ops);));
}
my $answers = join "\n", map { qq(
	SET enable_seqscan = off;
	SELECT array_agg(id) FROM (SELECT id FROM $_ ORDER BY v <-> clustered(7, 60)::vector LIMIT 10) s;) } @methods;
my $before = $node->safe_psql('postgres', $answers);

$node->safe_psql('postgres', q(ALTER EXTENSION ann UPDATE TO 'test'));
is($node->safe_psql('postgres', q(SELECT extversion FROM pg_extension WHERE extname = 'ann')), 'test', 'updated');
is($node->safe_psql('postgres', 'SELECT ann_test()'), '42', 'what is new is there');
is($node->safe_psql('postgres', $answers), $before, 'the answers are the same');
foreach my $method (@methods)
{
	$node->safe_psql('postgres', "INSERT INTO $method SELECT id + 1000, v FROM $method WHERE id <= 20; VACUUM $method");
	AnnTest->index_ok($node, "${method}_idx", 'after the update');
}

# The version is the second word of the metapage.
my %files = map { $_ => $node->data_dir . '/' .
	  $node->safe_psql('postgres', "SELECT pg_relation_filepath('${_}_idx')") } @methods;
AnnTest->stop_for_damage($node);
foreach my $method (@methods)
{
	open my $file, '+<', $files{$method} or die "$files{$method}: $!";
	binmode $file;
	seek $file, 28, 0;
	print $file pack('L', 1000);
	close $file;
}
$node->start;
foreach my $method (@methods)
{
	foreach my $command ("SET enable_seqscan = off; SELECT id FROM $method ORDER BY v <-> clustered(7, 60)::vector LIMIT 1",
		"INSERT INTO $method SELECT * FROM $method LIMIT 1", "DELETE FROM $method WHERE id = 3; VACUUM $method",
		"SELECT * FROM ann_check('${method}_idx')")
	{
		my ($status, undef, $err) = $node->psql('postgres', $command);

		like($err, qr/ERROR:  index "${method}_idx" has format version 1000, but this version of ann reads version \d+\nHINT:  Please REINDEX it/,
			"$method refuses: " . substr($command, 0, 30));
	}
	$node->safe_psql('postgres', "REINDEX INDEX ${method}_idx");
	AnnTest->index_ok($node, "${method}_idx", 'after REINDEX');
}

done_testing();
