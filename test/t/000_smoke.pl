#
# The extension loads, answers, and survives a crash, a backup and a promotion:
# what the other tests take for granted.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

my $primary = AnnTest->primary;
my $nearest = q(SELECT id FROM items ORDER BY v <-> '[0,0]' LIMIT 3);

$primary->safe_psql('postgres', q(
	CREATE TABLE items (id int, v vector(2));
	INSERT INTO items SELECT i, ARRAY[i, i] FROM generate_series(1, 9) i;
));
is($primary->safe_psql('postgres', $nearest), "1\n2\n3", 'nearest rows');

AnnTest->crash($primary);
is($primary->safe_psql('postgres', $nearest), "1\n2\n3", 'the same after a crash');

my $standby = AnnTest->standby($primary);
$primary->safe_psql('postgres', q(INSERT INTO items VALUES (0, '[0,0]')));
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $nearest), "0\n1\n2", 'a standby sees new rows');

$standby->promote;
$standby->safe_psql('postgres', q(DELETE FROM items WHERE id = 1));
is($standby->safe_psql('postgres', $nearest), "0\n2\n3", 'and can be written to when promoted');

my $session = $primary->background_psql('postgres');
is($session->query(q(SELECT '[1,2]'::vector)), '[1,2]', 'a session in the background');
$session->quit;

done_testing();
