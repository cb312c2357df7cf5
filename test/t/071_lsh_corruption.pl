#
# Damage to an lsh index: whatever is on the pages, ann_check names it by its
# number in lsh/README.md section 3, and everybody else gives an answer or an
# error, but neither crashes nor hangs.
#
# Pages are written to while the server is down.
#
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

use constant {
	BLCKSZ => 8192,
	NODE => 24,		# offset of a node's contents
	ENTRIES => 56 };

my $seed = $ENV{ANN_TEST_SEED} // time;
my $mutations = 100;

note("ANN_TEST_SEED=$seed");
srand($seed);

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'log_statement = none',
	'statement_timeout = 5s', 'restart_after_crash = on');
AnnTest->data($node);

# The table of a test.  Every one has the same rows in the same places, so all
# indexes are the same: two tables of some leaves each, split and unlinked.
my $tables = 0;

sub create
{
	return map { sprintf q(
		CREATE TABLE t%1$d (id int, v bit(64));
		INSERT INTO t%1$d SELECT id, v FROM source WHERE id <= 1000;
		CREATE INDEX t%1$d_idx ON t%1$d USING lsh (v bit_jaccard_ops) WITH (tables = 2);
		INSERT INTO t%1$d SELECT id, v FROM source WHERE id > 1000;
		DELETE FROM t%1$d WHERE id %% 10 = 1;
		VACUUM t%1$d;
	), $tables++ } (1 .. $_[0]);
}

$node->safe_psql('postgres', q(
	CREATE TABLE source AS SELECT i AS id, hashint8(i)::bit(32) || hashint8(-i)::bit(32) AS v FROM generate_series(1, 2500) i;
) . join('', create(1)));
my $sound = slurp_index('t0_idx');

sub index_file
{
	my ($index) = @_;
	return $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$index')");
}

sub slurp_index
{
	my ($index) = @_;
	$node->safe_psql('postgres', 'CHECKPOINT');
	return slurp_file(index_file($index));
}

# Pages that the tests change; then put down as the index.
my $bytes;

sub put
{
	my ($block, $offset, $new) = @_;
	substr($bytes, $block * BLCKSZ + $offset, length $new) = $new;
}

sub get
{
	my ($block, $offset, $template, $length) = @_;
	return unpack($template, substr($bytes, $block * BLCKSZ + $offset, $length));
}

# Leaves of the first table: the first, which has a right sibling, and that.
sub leaf { return get(1, ENTRIES + 12, 'L', 4); }
sub right { return get(leaf(), NODE + 4, 'L', 4); }
# places and codes of rows, of 20 bytes
sub row { return ENTRIES + 20 * $_[0]; }

# name, the damage, what ann_check must say
my @damages = (
	[ 'magic', sub { put(0, 24, pack('L', 0x12345678)) }, qr/XX002.*block 0\b.*not that of this access method/s ],
	[ 'version', sub { put(0, 28, pack('L', 2)) }, qr/0A000.*format version 2/s ],
	[ 'dimensions', sub { put(0, 32, pack('L', 7)) }, qr/XX002.*block 0\b/s ],
	[ 'bits', sub { put(0, 36, pack('S', 9)) }, qr/XX002.*block 0\b/s ],
	[ 'tables', sub { put(0, 38, pack('S', 200)) }, qr/XX002.*block 0\b/s ],
	[ 'size of the centre', sub { put(0, 48, pack('L', 100)) }, qr/XX002.*block 0\b/s ],
	[ 'patience', sub { put(0, 52, pack('f', -1)) }, qr/XX002.*block 0\b/s ],
	[ 'metapage zeroed', sub { put(0, 0, "\0" x BLCKSZ) }, qr/XX002.*block 0\b/s ],

	[ 'page id', sub { put(leaf(), BLCKSZ - 2, pack('S', 0)) }, qr/^I2\|/m ],
	[ 'page kind', sub { put(leaf(), BLCKSZ - 4, pack('S', 77)) }, qr/^I2\|/m ],
	[ 'leaf freed', sub { put(leaf(), BLCKSZ - 4, pack('S', 17)) }, qr/^I2\|/m ],
	[ 'root freed', sub { put(1, BLCKSZ - 4, pack('S', 17)) }, qr/^I2\|/m ],
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

	[ 'row twice', sub { put(leaf(), row(0) + 4, substr($bytes, leaf() * BLCKSZ + row(1) + 4, 6)) }, qr/^I7\|/m ],
	[ 'row lost', sub { put(leaf(), 12, pack('S', get(leaf(), 12, 'S', 2) - 20)) }, qr/^I7\|/m ],
	[ 'row nowhere', sub { put(leaf(), row(0) + 4, pack('SSS', 0xFF, 0xFFFF, 1)) }, qr/^I7\|/m ],

	[ 'noise in the middle', sub { put(leaf(), 3000, join '', map { chr int rand 256 } 1 .. 2000) }, qr/^I\d\|/m ],
	[ 'index cut off', sub { $bytes = substr($bytes, 0, 5 * BLCKSZ) }, qr/^I\d\|/m ]);

# Damage nobody thought of: a few bytes, mostly of nodes' own.
sub mutate
{
	my @done;

	while (!@done || $bytes eq $sound || rand() < 0.6)
	{
		my $block = int(rand(length($bytes) / BLCKSZ));
		my $at = $block * BLCKSZ + (rand() < 0.5 ? int(rand(ENTRIES + 40)) : int(rand(BLCKSZ - 4)));
		my $new = rand() < 0.5 ? pack('L', int(rand(length($bytes) / BLCKSZ))) :
			pack('C*', map { int rand 256 } 0 .. int(rand(4)));

		substr($bytes, $at, length $new) = $new;
		push @done, "$at: " . unpack('H*', $new);
	}
	return "@done";
}

push @damages, [ undef, \&mutate ] foreach 1 .. $mutations;

# All damage is done at once: table t0 stays sound.
$node->safe_psql('postgres', join('', create(scalar @damages)));
my @files = map { index_file("t${_}_idx") } (0 .. @damages);
$node->stop;
foreach my $i (1 .. @damages)
{
	my $damage = $damages[ $i - 1 ];

	$bytes = $sound;
	my $done = $damage->[1]->();
	$damage->[0] //= $done;
	die "$damage->[0]: nothing was done" if $bytes eq $sound;
	open my $handle, '>', $files[$i] or die "$files[$i]: $!";
	binmode $handle;
	print $handle $bytes;
	close $handle;
}
$node->start;
AnnTest->index_ok($node, 't0_idx', 'as it was');

# What everybody does.  Each is to succeed or to say that the index is damaged.
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

# What is wrong with how these end, or '': an error may name the index and a
# block of it, or be the core's own of a page that it cannot read.
sub wrong
{
	my ($index, $stderr) = @_;
	my @wrong;
	my $name = '';

	foreach my $line (split /\n/, $stderr)
	{
		$name = $line if $line !~ /:/;
		next if $line !~ /ERROR|FATAL|PANIC|server closed|connection/;
		next if $line =~ /ERROR:  XX002: .*"$index".* block \d+/;
		next if $line =~ /ERROR:  0A000: index "$index" has format version/;
		next if $line =~ /ERROR:  XX001: invalid page in block \d+ of relation/;
		# a heap TID may well lead beyond the table: the core says so
		next if $line =~ /ERROR:  XX001: could not read block|ERROR:  XX000: could not open file .*target block/;
		push @wrong, "$name: $line";
	}
	return join("\n", @wrong);
}

my @mutants;
foreach my $i (1 .. @damages)
{
	my ($name, undef, $expected) = @{ $damages[ $i - 1 ] };
	my ($status, $out, $err);

	# if the one before crashed the server
	$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server is gone');

	($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n
		SELECT invariant, block, item, detail FROM ann_check('t${i}_idx')");
	my $wrong = wrong("t${i}_idx", "ann_check\n$err");
	like("$out$err", $expected, "$name: named by ann_check") if defined $expected;

	($status, $out, $err) = $node->psql('postgres', $deeds =~ s/TABLE/t$i/gr, on_error_stop => 0);
	$wrong .= wrong("t${i}_idx", $err);
	if (defined $expected)
	{
		is($wrong, '', "$name: answers or errors");
		is($node->psql('postgres', "REINDEX INDEX t${i}_idx"), 0, "$name: mended by REINDEX");
	}
	elsif ($wrong ne '')
	{
		push @mutants, "$name: $wrong";
	}
}
is(join("\n", @mutants), '', "$mutations mutations: answers or errors");

done_testing();
