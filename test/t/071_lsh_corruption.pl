#
# Damage to an lsh index: whatever is on the pages, ann_check names it by its
# number in lsh/README.md section 3, and everybody else gives an answer or an
# error, but neither crashes nor hangs.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnDamage;
use AnnTest;

use constant {
	BLCKSZ => 8192,
	NODE => 24,		# offset of a node's contents
	ENTRIES => 56 };

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'log_statement = none',
	'statement_timeout = 10min', 'restart_after_crash = on');
AnnTest->data($node);

$node->safe_psql('postgres', q(
	CREATE TABLE source AS SELECT i AS id, hashint8(i)::bit(32) || hashint8(-i)::bit(32) AS v FROM generate_series(1, 2500) i));

# Two tables of some leaves each, split and unlinked.
my $test = AnnDamage->new($node, q(
	CREATE TABLE t%1$d (id int, v bit(64));
	INSERT INTO t%1$d SELECT id, v FROM source WHERE id <= 1000;
	CREATE INDEX t%1$d_idx ON t%1$d USING lsh (v bit_jaccard_ops) WITH (tables = 2);
	INSERT INTO t%1$d SELECT id, v FROM source WHERE id > 1000;
	DELETE FROM t%1$d WHERE id %% 10 = 1;
	VACUUM t%1$d;
));

sub put { $test->put(@_); }
sub get { return $test->get(@_); }

# Leaves of the first table: the first, which has a right sibling, and that.
sub leaf { return get(1, ENTRIES + 12, 'L', 4); }
sub right { return get(leaf(), NODE + 4, 'L', 4); }
# places and codes of rows, of 20 bytes
sub row { return ENTRIES + 20 * $_[0]; }

# name, the damage, what ann_check must say
my @damages = (
	[ 'magic', sub { put(0, 24, pack('L', 0x12345678)) }, qr/XX002.*block 0\b.*not that of this access method/s ],
	[ 'version', sub { put(0, 28, pack('L', 9)) }, qr/0A000.*format version 9/s ],
	[ 'dimensions', sub { put(0, 32, pack('L', 7)) }, qr/XX002.*block 0\b/s ],
	[ 'bits', sub { put(0, 36, pack('S', 9)) }, qr/XX002.*block 0\b/s ],
	[ 'tables', sub { put(0, 38, pack('S', 200)) }, qr/XX002.*block 0\b/s ],
	[ 'size of the centre', sub { put(0, 48, pack('L', 100)) }, qr/XX002.*block 0\b/s ],
	[ 'patience', sub { put(0, 52, pack('f', -1)) }, qr/XX002.*block 0\b/s ],
	[ 'metapage zeroed', sub { put(0, 0, "\0" x BLCKSZ) }, qr/XX002.*block 0\b/s ],

	[ 'page id', sub { put(leaf(), BLCKSZ - 2, pack('S', 0)) }, qr/^I2\|/m ],
	[ 'page kind', sub { put(leaf(), BLCKSZ - 4, pack('S', 77)) }, qr/^I2\|/m ],
	[ 'leaf freed', sub { put(leaf(), BLCKSZ - 4, pack('S', 3)) }, qr/^I2\|/m ],
	[ 'root freed', sub { put(1, BLCKSZ - 4, pack('S', 3)) }, qr/^I2\|/m ],
	[ 'table of a leaf', sub { put(leaf(), NODE, pack('S', 1)) }, qr/^I2\|/m ],
	[ 'level of a leaf', sub { put(leaf(), NODE + 2, pack('S', 1)) }, qr/^I2\|/m ],
	[ 'level of a root', sub { put(1, NODE + 2, pack('S', 0)) }, qr/^I2\|/m ],
	[ 'great level of a root', sub { put(1, NODE + 2, pack('S', 60000)) }, qr/^I2\|/m ],
	[ 'half an entry', sub { put(leaf(), 12, pack('S', get(leaf(), 12, 'S', 2) - 7)) }, qr/^I2\|/m ],
	[ 'no room for the node', sub { put(leaf(), 12, pack('S', 30)) }, qr/^I2\|/m ],
	[ 'empty root', sub { put(1, 12, pack('S', ENTRIES)) }, qr/^I2\|/m ],
	[ 'leaf zeroed', sub { put(leaf(), 0, "\0" x BLCKSZ) }, qr/^I2\|/m ],

	[ 'no sibling', sub { put(leaf(), NODE + 4, pack('L', 0xFFFFFFFF)) }, qr/^I3\|/m ],
	[ 'its own sibling', sub { put(leaf(), NODE + 4, pack('L', leaf())) }, qr/^I3\|/m ],
	[ 'another sibling', sub { put(leaf(), NODE + 4, pack('L', get(3, ENTRIES + 12, 'L', 4))) }, qr/^I3\|/m ],
	[ 'sibling nowhere', sub { put(leaf(), NODE + 4, pack('L', 4000000)) }, qr/^I3\|/m ],
	[ 'high place', sub { put(leaf(), NODE + 20, pack('L', 0xFFFFFFFF)) }, qr/^I3\|/m ],
	[ 'high place below the low one', sub { put(right(), NODE + 20, pack('L', 0)) }, qr/^I3\|/m ],

	[ 'low place', sub { put(right(), NODE + 8, pack('L', get(right(), NODE + 8, 'L', 4) + 1)) }, qr/^I4\|/m ],
	[ 'downlink nowhere', sub { put(1, ENTRIES + 12, pack('L', 4000000)) }, qr/^I4\|/m ],
	[ 'downlink to the metapage', sub { put(1, ENTRIES + 12, pack('L', 0)) }, qr/^I4\|/m ],
	[ 'downlink to the root', sub { put(1, ENTRIES + 12, pack('L', 1)) }, qr/^I2\|/m ],
	[ 'downlinks out of order', sub { put(1, ENTRIES + 16, pack('L', 0xFFFFFFFF)) }, qr/^I4\|/m ],
	[ 'downlinks to one leaf', sub { put(1, ENTRIES + 16 + 12, pack('L', leaf())) }, qr/^I[34]\|/m ],

	[ 'key of another leaf', sub { put(leaf(), row(0), pack('L', 0xFFFFFFFF)) }, qr/^I5\|/m ],
	[ 'key', sub { put(leaf(), row(0), pack('L', get(leaf(), row(0), 'L', 4) ^ 1)) }, qr/^I6\|/m ],
	[ 'value', sub { put(leaf(), row(0) + 12, pack('LL', 0x01234567, 0x89ABCDEF)) }, qr/^I6\|/m ],

	[ 'row twice', sub { put(leaf(), row(0) + 4, substr($test->{bytes}, leaf() * BLCKSZ + row(1) + 4, 6)) }, qr/^I7\|/m ],
	[ 'row lost', sub { put(leaf(), 12, pack('S', get(leaf(), 12, 'S', 2) - 20)) }, qr/^I7\|/m ],
	[ 'row missing', sub { put(leaf(), row(0) + 4, pack('SSS', 0, 200, 1)) }, qr/^I0\|/m ],
	[ 'row nowhere', sub { put(leaf(), row(0) + 4, pack('SSS', 0xFF, 0xFFFF, 1)) }, qr/^I7\|/m ],

	[ 'noise in the middle', sub { put(leaf(), 3000, join '', map { chr int rand 256 } 1 .. 2000) }, qr/^I\d\|/m ],
	[ 'index cut off', sub { $test->{bytes} = substr($test->{bytes}, 0, 5 * BLCKSZ) }, qr/^I\d\|/m ]);

my $deeds = q(
	\set VERBOSITY verbose
	SET enable_seqscan = off;
	\warn search
	SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <%> (SELECT v FROM source WHERE id = 5) LIMIT 20) s;
	\warn search for all
	SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <%> (SELECT v FROM source WHERE id = 5)) s;
	\warn insert
	INSERT INTO TABLE SELECT 5000 + id, v FROM source WHERE id % 10 = 1;
	\warn vacuum
	DELETE FROM TABLE WHERE id % 10 = 2;
	VACUUM TABLE;);

$test->run(\@damages, $deeds);
$test->run_mutations(40, $deeds);

done_testing();
