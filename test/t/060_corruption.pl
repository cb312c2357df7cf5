#
# Damage to hnsw indexes: whatever is on the pages, ann_check names it by its
# number in hnsw/README.md section 3, and everybody else gives an answer or an
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
	META => 24,
	NO_ITEM => 0xFFFFFFFF,
	NO_TID => pack('SSS', 0xFFFF, 0xFFFF, 0),
	ELEMENT => 1,
	LINKS => 2,
	POSTINGS => 3,
	# not what such an item begins with, but the kind of its page
	VALUE => -2 };

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'log_statement = none',
	'statement_timeout = 10min', 'restart_after_crash = on');
AnnTest->data($node);

# The layouts: at full precision; with codes of the neighbours, all of a node on
# one page; and so large that lists of level-0 nodes have two parts and links are elsewhere, with
# values in the index.
my %layouts = (
	full => { dim => 6, m => 4, parts => 1, options => 'quantizer = none' },
	fast => { dim => 100, m => 4, parts => 1, options => 'layout = fast' },
	large => { dim => 600, m => 20, parts => 2, options => 'layout = fast, neighbor_bits = 3, rerank = index' });

# What is being damaged, its layout, and the item numbers of a page.
my ($test, $layout, $slots);

# All items: kind, number, block, offset of their bytes, length, line pointer's
# offset.
sub items
{
	($slots) = $test->get(0, META + 20, 'L', 4);
	return map {
		my $block = $_;
		map { {
			%$_,
			kind => $test->kind($block) == -VALUE ? VALUE : $test->get($block, $_->{at}, 'C', 1),
			number => $block * $slots + ($_->{lp} - 24) / 4 } } $test->items($block)
	} (1 .. $test->blocks - 1);
}

# Items of a kind, and those with a property.
sub find
{
	my ($kind, $is) = @_;
	my @found = grep { $_->{kind} == $kind && (!$is || $is->($_)) } items();

	die 'there is no such item' unless @found;
	return @found;
}

sub meta { my ($offset, $new) = @_; $test->put(0, META + $offset, $new); }
sub field { my ($item, $offset, $template, $length) = @_; return $test->get($item->{block}, $item->{at} + $offset, $template, $length); }
sub set { my ($item, $offset, $new) = @_; $test->put($item->{block}, $item->{at} + $offset, $new); }

sub level { return field($_[0], 1, 'C', 1); }
sub count { return field($_[0], 2, 'C', 1); }
sub postings_of { return field($_[0], 4, 'L', 4); }
sub live { return field($_[0], 2, 'S', 2) == 0; }
sub entry { return $test->get(0, META + 24, 'L', 4); }
sub places { return field($_[0], 3, 'C', 1); }
sub code { return 16 + 4 * (level($_[0]) > 0 ? level($_[0]) + 1 : $layout->{parts}); }

# The number of an item nobody has.
sub free_number
{
	my %used = map { $_->{number} => 1 } items();
	my $number = $slots;

	$number++ while $used{$number};
	return $number;
}

# name, the damage, what ann_check must say
my @damages = (
	[ 'magic', sub { meta(0, pack('L', 0x12345678)) }, qr/XX002.*block 0\b.*not that of this access method/s ],
	[ 'version', sub { meta(4, pack('L', 4)) }, qr/0A000.*format version 4/s ],
	[ 'dimensions', sub { meta(8, pack('L', 7)) }, qr/XX002.*block 0\b/s ],
	[ 'm', sub { meta(12, pack('S', 0)) }, qr/XX002.*block 0\b/s ],
	[ 'ef_construction', sub { meta(14, pack('S', 0)) }, qr/XX002.*block 0\b/s ],
	[ 'bits', sub { meta(16, pack('C', 9)) }, qr/XX002.*block 0\b/s ],
	[ 'bits of neighbours', sub { meta(17, pack('C', 5)) }, qr/XX002.*block 0\b/s ],
	[ 'size of the centre', sub { meta(18, pack('S', 8000)) }, qr/XX002.*block 0\b/s ],
	[ 'slots', sub { meta(20, pack('L', 5)) }, qr/XX002.*block 0\b/s ],
	[ 'metapage zeroed', sub { $test->put(0, 0, "\0" x BLCKSZ) }, qr/XX002.*block 0\b/s ],
	[ 'page id of the metapage', sub { $test->put(0, BLCKSZ - 2, pack('S', 0)) }, qr/XX002.*block 0\b/s ],

	[ 'entry point nowhere', sub { meta(24, pack('L', 4000000000)) }, qr/^I1\|0\|/m ],
	[ 'entry point free', sub { meta(24, pack('L', free_number())) }, qr/^I1\|0\|/m ],
	[ 'entry point is links', sub { meta(24, pack('L', (find(LINKS))[0]{number})) }, qr/^I1\|0\|/m ],
	[ 'entry point missing', sub { meta(24, pack('L', NO_ITEM)) }, qr/^I1\|0\|/m ],
	[ 'entry point of another level', sub { meta(28, pack('L', $test->get(0, META + 28, 'L', 4) > 0 ? 0 : 1)) }, qr/^I1\|0\|/m ],
	[ 'entry point of no level', sub { meta(28, pack('L', 4000)) }, qr/XX002.*block 0\b/s ],

	[ 'page id', sub { $test->put(2, BLCKSZ - 2, pack('S', 0)) }, qr/^I2\|2\|/m ],
	[ 'page kind', sub { $test->put(2, BLCKSZ - 4, pack('S', 17)) }, qr/^I2\|2\|/m ],
	[ 'item of no kind', sub { set((find(ELEMENT))[3], 0, pack('C', 77)) }, qr/^I2\|/m ],
	[ 'element as links', sub { set((find(ELEMENT))[3], 0, pack('C', LINKS)) }, qr/^I[2-5]\|/m ],
	[ 'element cut off', sub {
		my ($e) = find(ELEMENT);
		$test->put($e->{block}, $e->{lp}, pack('L', $e->{at} | 1 << 15 | 16 << 17)) }, qr/^I2\|/m ],
	[ 'element outside its page', sub {
		my ($e) = find(ELEMENT);
		$test->put($e->{block}, $e->{lp}, pack('L', 0x7FF0 | 1 << 15 | 100 << 17)) }, qr/^I2\|/m ],
	[ 'level of an element', sub { set((find(ELEMENT))[3], 1, pack('C', 255)) }, qr/^I2\|/m ],
	[ 'level of links', sub { set((find(LINKS))[3], 1, pack('C', 200)) }, qr/^I2\|/m ],
	[ 'count of links', sub { set((find(LINKS))[3], 2, pack('C', 250)) }, qr/^I2\|/m ],
	[ 'one link too many', sub { my ($l) = find(LINKS); set($l, 2, pack('C', places($l) + 1)) }, qr/^I2\|/m ],
	[ 'places for links', sub { set((find(LINKS))[3], 3, pack('C', 250)) }, qr/^I2\|/m ],
	[ 'count of postings', sub { set((find(POSTINGS))[0], 2, pack('S', 60000)) }, qr/^I2\|/m ],

	[ 'links of an element nowhere', sub { set((find(ELEMENT))[3], 16, pack('L', 4000000000)) }, qr/^I3\|/m ],
	[ 'links of an element forgotten', sub { set((find(ELEMENT))[3], 16, pack('L', NO_ITEM)) }, qr/^I3\|/m ],
	[ 'links of another', sub {
		my ($e) = find(ELEMENT);
		my ($l) = find(LINKS, sub { field($_[0], 4, 'L', 4) != $e->{number} });
		set($e, 16, pack('L', $l->{number})) }, qr/^I3\|/m ],
	[ 'links of another level', sub {
		my ($e) = find(ELEMENT, sub { level($_[0]) > 0 });
		set($e, 16 + 4, pack('L', field($e, 16, 'L', 4))) }, qr/^I3\|/m ],
	[ 'page zeroed', sub { $test->put((find(ELEMENT))[3]{block}, 0, "\0" x BLCKSZ) }, qr/^I[345]\|/m ],

	[ 'owner of links', sub { set((find(LINKS))[3], 4, pack('L', (find(ELEMENT))[20]{number})) }, qr/^I4\|/m ],
	[ 'owner of postings', sub {
		my ($p) = find(POSTINGS);
		my ($e) = find(ELEMENT, sub { postings_of($_[0]) == NO_ITEM });
		set($p, 8, pack('L', $e->{number})) }, qr/^I4\|/m ],
	[ 'postings forgotten', sub {
		set((find(ELEMENT, sub { postings_of($_[0]) != NO_ITEM }))[0], 4, pack('L', NO_ITEM)) }, qr/^I4\|/m ],
	[ 'postings in a circle', sub {
		my ($p) = find(POSTINGS, sub { field($_[0], 4, 'L', 4) == NO_ITEM });
		set($p, 4, pack('L', $p->{number})) }, qr/^I4\|/m ],
	[ 'next postings nowhere', sub {
		my ($p) = find(POSTINGS, sub { field($_[0], 4, 'L', 4) == NO_ITEM });
		set($p, 4, pack('L', free_number())) }, qr/^I4\|/m ],

	[ 'link to a free place', sub { set((find(LINKS, \&count))[3], 8, pack('L', free_number())) }, qr/^I5\|/m ],
	[ 'link to nowhere', sub { set((find(LINKS, \&count))[3], 8, pack('L', 4000000000)) }, qr/^I5\|/m ],
	[ 'link to links', sub { set((find(LINKS, \&count))[3], 8, pack('L', (find(LINKS))[5]{number})) }, qr/^I5\|/m ],
	[ 'link to a dead element', sub {
		my ($e) = find(ELEMENT, sub { postings_of($_[0]) == NO_ITEM && $_[0]{number} != entry() });
		set($e, 2, pack('S', 1));
		set($e, 8, NO_TID) }, qr/^I5\|/m ],
	[ 'link to a lower level', sub {
		my ($l) = find(LINKS, sub { level($_[0]) > 0 && count($_[0]) > 0 });
		my ($e) = find(ELEMENT, sub { level($_[0]) == 0 && live($_[0]) });
		set($l, 8, pack('L', $e->{number})) }, qr/^I5\|/m ],

	[ 'neighbour twice', sub {
		my ($l) = find(LINKS, sub { count($_[0]) > 1 });
		set($l, 8, pack('L', field($l, 12, 'L', 4))) }, qr/^I6\|/m ],
	[ 'own neighbour', sub {
		my ($l) = find(LINKS, \&count);
		set($l, 8, pack('L', field($l, 4, 'L', 4))) }, qr/^I6\|/m ],
	[ 'nobody chosen', sub {
		my ($l) = find(LINKS, sub { count($_[0]) < places($_[0]) });
		set($l, 8 + places($l) * 4, pack('L', 0xFFFFFFFF)) }, qr/^I6\|/m ],

	[ 'NaN', sub { my $e = (find(ELEMENT))[3]; set($e, code($e), pack('L', 0x7FC00000)) }, qr/^I7\|/m ],
	[ 'infinity', sub { my $e = (find(ELEMENT))[3]; set($e, code($e) + 4, pack('L', 0x7F800000)) }, qr/^I7\|/m ],

	[ 'alive without a row', sub {
		set((find(ELEMENT, sub { postings_of($_[0]) == NO_ITEM }))[0], 8, NO_TID) }, qr/^I8\|/m ],
	[ 'dead with a row', sub { set((find(ELEMENT, \&live))[0], 2, pack('S', 1)) }, qr/^I8\|/m ],

	[ 'row twice', sub {
		my ($one, $other) = find(ELEMENT, sub { field($_[0], 12, 'S', 2) != 0 });
		set($one, 8, substr($test->{bytes}, $other->{block} * BLCKSZ + $other->{at} + 8, 6)) }, qr/^I9\|/m ],
	[ 'row twice, in postings', sub {
		my ($p) = find(POSTINGS, sub { count($_[0]) > 1 });
		set($p, 12, substr($test->{bytes}, $p->{block} * BLCKSZ + $p->{at} + 18, 6)) }, qr/^I9\|/m ],

	[ 'row missing', sub { set((find(ELEMENT, \&live))[0], 8, pack('SSS', 0, 200, 1)) }, qr/^I0\|/m ],

	[ 'noise in the middle', sub { $test->put((find(ELEMENT))[3]{block}, 3000, join '', map { chr int rand 256 } 1 .. 2000) }, qr/^I\d\|/m ],
	[ 'index cut off', sub { $test->{bytes} = substr($test->{bytes}, 0, 3 * BLCKSZ) }, qr/^I\d\|/m ]);

# and where nodes have lists of two sizes
my @size_damages = (
	[ 'links of a node above level 0', sub {
		my ($l) = find(LINKS, sub { places($_[0]) == 2 * $layout->{m} });
		set($l, 2, pack('CC', 0, $layout->{m}));
		$test->put($l->{block}, $l->{lp}, pack('L', $l->{at} | 1 << 15 | (12 + 4 * $layout->{m}) << 17)) }, qr/^I2\|.*other places/m ]);

# and to codes of neighbours: where they begin, and the size of each, with the
# five bytes of its factors
sub codes { my ($l) = @_; return 8 + 4 * places($l) + 4 * int((places($l) + 31) / 32); }
sub code_size { my ($l) = @_; return int(($l->{length} - codes($l)) / places($l)); }
sub factor { my ($at, $new) = @_; my ($l) = find(LINKS, \&count); set($l, codes($l) + code_size($l) - 5 + $at, $new); }

my @near_damages = (
	[ 'factor of a neighbour is NaN', sub { factor(0, "\x7F\xC0\0") }, qr/^I7\|/m ],
	[ 'scale of a neighbour is infinite', sub { factor(3, "\x7F\x80") }, qr/^I7\|/m ],
	[ 'scale of a neighbour is negative', sub { factor(3, "\xBF\x80") }, qr/^I7\|/m ],
	[ 'factor of a neighbour', sub { factor(0, substr(pack('f>', 12345), 0, 3)) }, qr/^I7\|/m ],
	[ 'code of a neighbour', sub {
		my ($l) = find(LINKS, \&count);
		set($l, codes($l), "\x5A" x (code_size($l) - 5)) }, qr/^I7\|/m ],
	[ 'code of a node', sub { my $e = (find(ELEMENT))[3]; set($e, code($e) + 20, "\x5A" x ($e->{length} - code($e) - 24)) }, qr/^I7\|/m ],
	[ 'centre is NaN', sub { meta(32, pack('L', 0x7FC00000)) }, qr/XX002.*block 0\b/s ],
	[ 'centre is negative', sub { meta(32, pack('f', -1)) }, qr/XX002.*block 0\b/s ]);

# and to values; an element ends with the number of its own
sub pointer { my ($block, $offset) = @_; return pack('SSS', $block >> 16, $block & 0xFFFF, $offset); }
sub set_value { my ($item, $number) = @_; set($item, $item->{length} - 4, pack('L', $number)); }

my @value_damages = (
	[ 'values in a way', sub { meta(13, pack('C', 2)) }, qr/XX002.*block 0\b/s ],
	[ 'no values', sub { meta(13, pack('C', 0)) }, qr/^I2\|/m ],
	[ 'value nowhere', sub { set_value((find(ELEMENT, \&live))[0], 4000000000) }, qr/^I10\|/m ],
	[ 'value is an element', sub { my ($e) = find(ELEMENT, \&live); set_value($e, $e->{number}) }, qr/^I10\|/m ],
	[ 'value of another', sub {
		my ($one, $other) = find(ELEMENT, \&live);
		set_value($one, field($other, $other->{length} - 4, 'L', 4)) }, qr/^I10\|/m ],
	[ 'value cut off', sub {
		my ($v) = find(VALUE);
		$test->put($v->{block}, $v->{lp}, pack('L', $v->{at} | 1 << 15 | 16 << 17)) }, qr/^I2\|/m ],
	[ 'value outside its page', sub {
		my ($v) = find(VALUE);
		$test->put($v->{block}, $v->{lp}, pack('L', 0x7FF0 | 1 << 15 | 100 << 17)) }, qr/^I2\|/m ],
	[ 'size of a value', sub { set((find(VALUE))[3], 12, pack('L', 5)) }, qr/^I10\|/m ],
	[ 'value is NaN', sub { set((find(VALUE))[3], 20, pack('L', 0x7FC00000)) }, qr/^I10\|/m ],
	[ 'value is not that of the code', sub { set((find(VALUE))[3], 20, pack('f', 3.5)) }, qr/^I10\|/m ],
	[ 'owner of a value nowhere', sub { set((find(VALUE))[3], 0, pointer(5000, 1)) }, qr/^I10\|/m ],
	[ 'owner of a value is none', sub { set((find(VALUE))[3], 0, pointer(0xFFFFFFFF, 0)) }, qr/^I10\|/m ],
	[ 'owner of a value is another', sub {
		my ($one, $other) = find(VALUE);
		set($one, 0, substr($test->{bytes}, $other->{block} * BLCKSZ + $other->{at}, 6)) }, qr/^I10\|/m ],
	[ 'page of values zeroed', sub { $test->put((find(VALUE))[3]{block}, 0, "\0" x BLCKSZ) }, qr/^I10\|/m ],
	[ 'page of values is one of items', sub { $test->put((find(VALUE))[3]{block}, BLCKSZ - 4, pack('S', 16)) }, qr/^I2\|/m ]);

foreach my $name (qw(full fast large))
{
	$layout = $layouts{$name};
	$layout->{near} = $name ne 'full';
	my ($dim, $m, $options) = @$layout{qw(dim m options)};

	note($name);
	# Equal values, a dead element's place, room that VACUUM left.
	$node->safe_psql('postgres', qq(
		CREATE TABLE source_$name AS SELECT i AS id, clustered(i % 100, $dim)::vector AS v FROM generate_series(1, 130) i
			UNION ALL SELECT 1000 + i, clustered(7, $dim)::vector FROM generate_series(1, 60) i));
	$test = AnnDamage->new($node, qq(
		CREATE TABLE t%1\$d (id int, v vector($dim));
		INSERT INTO t%1\$d SELECT id, v FROM source_$name WHERE id <= 110;
		CREATE INDEX t%1\$d_idx ON t%1\$d USING hnsw (v vector_l2_ops) WITH (m = $m, ef_construction = 40, $options);
		INSERT INTO t%1\$d SELECT id, v FROM source_$name WHERE id > 110;
		DELETE FROM t%1\$d WHERE id %% 10 = 1;
		VACUUM t%1\$d;
	));
	# What is on the metapage and in chains is the same with and without codes.
	my @named = ($name ne 'fast' ? @damages : (), $layout->{near} ? @near_damages : (),
		$name eq 'full' ? @size_damages : (), $name eq 'large' ? @value_damages : ());
	my $deeds = qq(
		\\set VERBOSITY verbose
		SET enable_seqscan = off;
		SET hnsw.ef_search = 10;
		\\warn search
		SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <-> clustered(5, $dim)::vector LIMIT 20) s;
		\\warn search for all
		SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <-> clustered(5, $dim)::vector) s;
		\\warn insert
		INSERT INTO TABLE SELECT 2000 + i, clustered(2000 + i, $dim) FROM generate_series(1, 15) i;
		\\warn insert an equal value
		INSERT INTO TABLE SELECT 3000 + i, clustered(7, $dim) FROM generate_series(1, 15) i;
		\\warn vacuum
		DELETE FROM TABLE WHERE id % 10 = 2;
		VACUUM TABLE;);
	$test->run([ map { [@$_] } @named ], $deeds);
	$test->run_mutations(20, $deeds);
}

done_testing();
