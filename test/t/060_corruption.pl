#
# Damage: whatever is on the pages, ann_check names it by its number in
# hnsw/README.md section 3, and everybody else gives an answer or an error, but
# neither crashes nor hangs.
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
	NO_ITEM => 0xFFFFFFFF,
	ELEMENT => 1,
	LINKS => 2,
	POSTINGS => 3,
	DIM => 6,
	M => 4 };

my $seed = $ENV{ANN_TEST_SEED} // time;
my $mutations = 100;

note("ANN_TEST_SEED=$seed");
srand($seed);

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'log_statement = none',
	'statement_timeout = 5s', 'restart_after_crash = on');
AnnTest->data($node);

# The table of a test.  Every one has the same rows in the same places, so all
# indexes are the same; they have everything: equal values, dead elements, room
# that VACUUM left.
my $tables = 0;

sub create
{
	return map { sprintf q(
		CREATE TABLE t%1$d (id int, v vector(6));
		INSERT INTO t%1$d SELECT id, v FROM source WHERE id <= 200;
		CREATE INDEX t%1$d_idx ON t%1$d USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16);
		INSERT INTO t%1$d SELECT id, v FROM source WHERE id > 200;
		DELETE FROM t%1$d WHERE id %% 10 = 1;
		VACUUM t%1$d;
	), $tables++ } (1 .. $_[0]);
}

$node->safe_psql('postgres', q(
	CREATE TABLE source AS SELECT i AS id, clustered(i % 170, 6)::vector AS v FROM generate_series(1, 230) i
		UNION ALL SELECT 1000 + i, clustered(7, 6)::vector FROM generate_series(1, 100) i;
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

my ($slots) = unpack('L', substr($sound, 24 + 16, 4));

# All items: kind, number, block, offset of their bytes, length, line pointer's
# offset.
sub items
{
	my @items;

	foreach my $block (1 .. length($bytes) / BLCKSZ - 1)
	{
		my $lower = get($block, 12, 'S', 2);

		for (my $lp = 24; $lp < $lower; $lp += 4)
		{
			my $id = get($block, $lp, 'L', 4);
			my $at = $id & 0x7FFF;

			# flags: normal
			next unless (($id >> 15) & 3) == 1;
			push @items, {
				kind => get($block, $at, 'C', 1),
				number => $block * $slots + ($lp - 24) / 4,
				block => $block, at => $at, length => $id >> 17, lp => $lp };
		}
	}
	return @items;
}

# Items of a kind, and those with a property.
sub find
{
	my ($kind, $is) = @_;
	return grep { $_->{kind} == $kind && (!$is || $is->($_)) } items();
}

sub field { my ($item, $offset, $template, $length) = @_; return get($item->{block}, $item->{at} + $offset, $template, $length); }
sub set { my ($item, $offset, $new) = @_; put($item->{block}, $item->{at} + $offset, $new); }

sub level { return field($_[0], 1, 'C', 1); }
sub postings_of { return field($_[0], 8, 'L', 4); }
sub live { return field($_[0], 2, 'S', 2) == 0; }
sub entry { return get(0, 24 + 20, 'L', 4); }
sub neighbours { my ($links, $n) = @_; return unpack('L*', substr($bytes, $links->{block} * BLCKSZ + $links->{at} + 8, 4 * $n)); }

# The number of an item nobody has.
sub free_number
{
	my %used = map { $_->{number} => 1 } items();
	my $number = $slots;

	$number++ while $used{$number};
	return $number;
}

sub dead_element
{
	my ($element) = @_;
	set($element, 2, pack('S', 1));
	set($element, 8, pack('L', NO_ITEM));
	set($element, 12, pack('SSS', 0xFFFF, 0xFFFF, 0));
}

# name, the damage, what ann_check must say
my @damages = (
	[ 'magic', sub { put(0, 24, pack('L', 0x12345678)) }, qr/XX002.*block 0\b.*not that of this access method/s ],
	[ 'version', sub { put(0, 28, pack('L', 2)) }, qr/0A000.*format version 2/s ],
	[ 'dimensions', sub { put(0, 32, pack('L', 7)) }, qr/XX002.*block 0\b/s ],
	[ 'm', sub { put(0, 36, pack('S', 0)) }, qr/XX002.*block 0\b/s ],
	[ 'slots', sub { put(0, 40, pack('L', 5)) }, qr/XX002.*block 0\b/s ],
	[ 'metapage zeroed', sub { put(0, 0, "\0" x BLCKSZ) }, qr/XX002.*block 0\b/s ],
	[ 'page id of the metapage', sub { put(0, BLCKSZ - 2, pack('S', 0)) }, qr/XX002.*block 0\b/s ],
	[ 'ef_construction', sub { put(0, 38, pack('S', 0)) }, qr/XX002.*block 0\b/s ],

	[ 'entry point nowhere', sub { put(0, 44, pack('L', 4000000000)) }, qr/^I1\|0\|/m ],
	[ 'entry point free', sub { put(0, 44, pack('L', free_number())) }, qr/^I1\|0\|/m ],
	[ 'entry point is links', sub { put(0, 44, pack('L', (find(LINKS))[0]{number})) }, qr/^I1\|0\|/m ],
	[ 'entry point missing', sub { put(0, 44, pack('L', NO_ITEM)) }, qr/^I1\|0\|/m ],
	[ 'entry point of another level', sub { put(0, 48, pack('L', get(0, 48, 'L', 4) + 1)) }, qr/^I1\|0\|/m ],
	[ 'entry point of no level', sub { put(0, 48, pack('L', 4000)) }, qr/XX002.*block 0\b/s ],

	[ 'page id', sub { put(2, BLCKSZ - 2, pack('S', 0)) }, qr/^I2\|2\|/m ],
	[ 'page kind', sub { put(2, BLCKSZ - 4, pack('S', 17)) }, qr/^I2\|2\|/m ],
	[ 'item of no kind', sub { set((find(ELEMENT))[3], 0, pack('C', 77)) }, qr/^I2\|/m ],
	[ 'element as links', sub { set((find(ELEMENT))[3], 0, pack('C', LINKS)) }, qr/^I[23]\|/m ],
	[ 'element cut off', sub {
		my ($e) = find(ELEMENT);
		put($e->{block}, $e->{lp}, pack('L', $e->{at} | 1 << 15 | 16 << 17)) }, qr/^I2\|/m ],
	[ 'element outside its page', sub {
		my ($e) = find(ELEMENT);
		put($e->{block}, $e->{lp}, pack('L', 0x7FF0 | 1 << 15 | 100 << 17)) }, qr/^I2\|/m ],
	[ 'level of an element', sub { set((find(ELEMENT))[3], 1, pack('C', 255)) }, qr/^I2\|/m ],
	[ 'level of links', sub { set((find(LINKS))[3], 1, pack('C', 200)) }, qr/^I2\|/m ],
	[ 'count of postings', sub { set((find(POSTINGS))[0], 2, pack('S', 60000)) }, qr/^I2\|/m ],

	[ 'links of an element nowhere', sub { set((find(ELEMENT))[3], 4, pack('L', 4000000000)) }, qr/^I3\|/m ],
	[ 'links of another', sub { set((find(ELEMENT))[3], 4, pack('L', (find(LINKS))[9]{number})) }, qr/^I3\|/m ],
	[ 'page zeroed', sub { put(2, 0, "\0" x BLCKSZ) }, qr/^I[35]\|/m ],

	[ 'owner of links', sub { set((find(LINKS))[3], 4, pack('L', (find(ELEMENT))[20]{number})) }, qr/^I4\|/m ],
	[ 'owner of postings', sub {
		my ($p) = find(POSTINGS);
		my ($e) = find(ELEMENT, sub { postings_of($_[0]) == NO_ITEM });
		set($p, 8, pack('L', $e->{number})) }, qr/^I4\|/m ],
	[ 'postings forgotten', sub {
		set((find(ELEMENT, sub { postings_of($_[0]) != NO_ITEM }))[0], 8, pack('L', NO_ITEM)) }, qr/^I4\|/m ],
	[ 'postings in a circle', sub {
		my ($p) = find(POSTINGS, sub { field($_[0], 4, 'L', 4) == NO_ITEM });
		set($p, 4, pack('L', $p->{number})) }, qr/^I4\|/m ],
	[ 'next postings nowhere', sub {
		my ($p) = find(POSTINGS, sub { field($_[0], 4, 'L', 4) == NO_ITEM });
		set($p, 4, pack('L', free_number())) }, qr/^I4\|/m ],

	[ 'link to a free place', sub { set((find(LINKS))[3], 8, pack('L', free_number())) }, qr/^I5\|/m ],
	[ 'link to nowhere', sub { set((find(LINKS))[3], 8, pack('L', 4000000000)) }, qr/^I5\|/m ],
	[ 'link to links', sub { set((find(LINKS))[3], 8, pack('L', (find(LINKS))[5]{number})) }, qr/^I5\|/m ],
	[ 'link to a dead element', sub {
		dead_element((find(ELEMENT, sub { postings_of($_[0]) == NO_ITEM && $_[0]{number} != entry() }))[0]) },
		qr/^I5\|/m ],
	[ 'link to a lower level', sub {
		my ($l) = find(LINKS, sub { level($_[0]) > 0 && field($_[0], 8 + 8 * M, 'L', 4) != NO_ITEM });
		my ($e) = find(ELEMENT, sub { level($_[0]) == 0 && live($_[0]) });
		set($l, 8 + 8 * M, pack('L', $e->{number})) }, qr/^I5\|/m ],

	[ 'gap in a list', sub {
		my ($l) = find(LINKS, sub { (neighbours($_[0], 2))[1] != NO_ITEM });
		set($l, 8, pack('L', NO_ITEM)) }, qr/^I6\|/m ],
	[ 'neighbour twice', sub {
		my ($l) = find(LINKS, sub { (neighbours($_[0], 2))[1] != NO_ITEM });
		set($l, 8, pack('L', (neighbours($l, 2))[1])) }, qr/^I6\|/m ],
	[ 'own neighbour', sub {
		my ($l) = find(LINKS);
		set($l, 8, pack('L', field($l, 4, 'L', 4))) }, qr/^I6\|/m ],

	[ 'NaN', sub { set((find(ELEMENT))[3], 20 + 4, pack('L', 0x7FC00000)) }, qr/^I7\|/m ],
	[ 'infinity', sub { set((find(ELEMENT))[3], 20 + 4, pack('L', 0x7F800000)) }, qr/^I7\|/m ],

	[ 'alive without a row', sub {
		set((find(ELEMENT, sub { postings_of($_[0]) == NO_ITEM }))[0], 12, pack('SSS', 0xFFFF, 0xFFFF, 0)) },
		qr/^I8\|/m ],
	[ 'dead with a row', sub { set((find(ELEMENT, \&live))[0], 2, pack('S', 1)) }, qr/^I8\|/m ],

	[ 'row twice', sub {
		my ($one, $other) = find(ELEMENT, sub { field($_[0], 16, 'S', 2) != 0 });
		set($one, 12, substr($bytes, $other->{block} * BLCKSZ + $other->{at} + 12, 6)) }, qr/^I9\|/m ],
	[ 'row twice, in postings', sub {
		my ($p) = find(POSTINGS, sub { field($_[0], 2, 'S', 2) > 1 });
		set($p, 12, substr($bytes, $p->{block} * BLCKSZ + $p->{at} + 18, 6)) }, qr/^I9\|/m ],

	[ 'noise in the middle', sub { put(3, 3000, join '', map { chr int rand 256 } 1 .. 2000) }, qr/^I\d\|/m ],
	[ 'index cut off', sub { $bytes = substr($bytes, 0, 3 * BLCKSZ) }, qr/^I\d\|/m ]);

# Damage nobody thought of: a few item numbers and bytes.
sub mutate
{
	my @done;

	foreach (0 .. int(rand(4)))
	{
		my ($at, $new);

		if (rand() < 0.5)
		{
			my @items = items();
			my $item = $items[rand @items];
			$at = $item->{block} * BLCKSZ + $item->{at} + 4 * int(rand($item->{length} / 4));
			$new = pack('L', rand() < 0.5 ? $items[rand @items]{number} : int(rand(1 << 16)));
		}
		else
		{
			$at = int(rand(length($bytes) - 4));
			$new = pack('C*', map { int rand 256 } 0 .. int(rand(4)));
		}
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
	SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <-> clustered(5, 6)::vector LIMIT 20) s;
	\warn search for all
	SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <-> clustered(5, 6)::vector) s;
	\warn insert
	INSERT INTO TABLE SELECT 2000 + i, clustered(2000 + i, 6) FROM generate_series(1, 15) i;
	\warn insert an equal value
	INSERT INTO TABLE SELECT 3000 + i, clustered(7, 6) FROM generate_series(1, 15) i;
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
