#
# Damage to ivfflat indexes: whatever is on the pages, ann_check names it by its
# number in ivfflat/README.md section 3, and everybody else gives an answer or an
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
	VALUES => 2,
	CENTRES => 16,
	LISTS => 17,
	GROUPS => 18,
	# rows of quantized vectors of up to 64 dimensions, with the places of values
	ROW => 6 + 8 + 24 + 6,
	PLACE => 6 + 8 + 24,
	ROWS => 20 };

my $node = AnnTest->primary('primary', 'shared_buffers = 64MB', 'log_statement = none',
	'statement_timeout = 10min', 'restart_after_crash = on');
AnnTest->data($node);
$node->safe_psql('postgres', q(
	CREATE TABLE source AS SELECT i AS id, clustered(i, 6)::vector AS v FROM generate_series(1, 700) i));

# Lists that were split, room that VACUUM left, and equal rows, too many for one
# segment.
my $test = AnnDamage->new($node, q(
	CREATE TABLE t%1$d (id int, v vector(6));
	INSERT INTO t%1$d SELECT id, v FROM source WHERE id <= 200;
	CREATE INDEX t%1$d_idx ON t%1$d USING ivfflat (v vector_l2_ops) WITH (lists = 4, quantizer = rabitq, rerank = index);
	INSERT INTO t%1$d SELECT id, v FROM source WHERE id > 200;
	DELETE FROM t%1$d WHERE id %% 10 = 1;
	VACUUM t%1$d;
	INSERT INTO t%1$d SELECT 5000 + i, clustered(7, 6) FROM generate_series(1, 400) i;
));

sub of_kind
{
	my ($kind) = @_;
	return map { $test->items($_) } grep { $test->kind($_) == $kind } (1 .. $test->blocks - 1);
}

sub field { my ($item, $offset, $template, $length) = @_; return $test->get($item->{block}, $item->{at} + $offset, $template, $length); }
sub set { my ($item, $offset, $new) = @_; $test->put($item->{block}, $item->{at} + $offset, $new); }
sub meta { my ($offset, $new) = @_; $test->put(0, META + $offset, $new); }

# A pointer to block and offset number, as an ItemPointerData.
sub pointer { my ($block, $offset) = @_; return pack('SSS', $block >> 16, $block & 0xFFFF, $offset); }

# A list whose first segment is followed by another.
sub chained
{
	foreach my $segment (of_kind(LISTS))
	{
		return $segment if field($segment, 8, 'S', 2) != 0;
	}
	die 'no list has two segments';
}

# A segment with rows.
sub filled
{
	return (grep { field($_, 16, 'S', 2) > 2 } of_kind(LISTS))[0];
}

my $first_groups = sub { return $test->get(0, META + 20, 'L', 4); };

# name, the damage, what ann_check must say
my @damages = (
	[ 'magic', sub { meta(0, pack('L', 0x12345678)) }, qr/XX002.*block 0\b.*not that of this access method/s ],
	[ 'version', sub { meta(4, pack('L', 3)) }, qr/0A000.*format version 3/s ],
	[ 'dimensions', sub { meta(8, pack('L', 7)) }, qr/XX002.*block 0\b/s ],
	[ 'bits', sub { meta(12, pack('S', 9)) }, qr/XX002.*block 0\b/s ],
	[ 'bits of centres', sub { meta(14, pack('S', 3)) }, qr/XX002.*block 0\b/s ],
	[ 'values in a way', sub { meta(15, pack('C', 2)) }, qr/XX002.*block 0\b/s ],
	[ 'metapage zeroed', sub { $test->put(0, 0, "\0" x BLCKSZ) }, qr/XX002.*block 0\b/s ],
	[ 'lists', sub { meta(24, pack('L', 1000)) }, qr/^I1\|0\|/m ],
	[ 'next list', sub { meta(28, pack('L', 1)) }, qr/^I1\|/m ],

	[ 'groups nowhere', sub { meta(20, pack('L', 4000000)) }, qr/^I3\|4000000\|/m ],
	[ 'groups are lists', sub { meta(20, pack('L', (of_kind(LISTS))[0]{block})) }, qr/^I3\|/m ],
	[ 'no groups', sub { meta(20, pack('L', 0xFFFFFFFF)) }, qr/^I[13]\|/m ],
	[ 'groups in a circle', sub { $test->put($first_groups->(), BLCKSZ - 8, pack('L', $first_groups->())) }, qr/^I3\|/m ],
	[ 'page of groups zeroed', sub { $test->put($first_groups->(), 0, "\0" x BLCKSZ) }, qr/^I3\|/m ],
	[ 'group cut off', sub {
		my ($g) = of_kind(GROUPS);
		$test->put($g->{block}, $g->{lp}, pack('L', $g->{at} | 1 << 15 | 16 << 17)) }, qr/^I2\|/m ],
	[ 'group is NaN', sub { set((of_kind(GROUPS))[0], 20, pack('L', 0x7FC00000)) }, qr/^I7\|/m ],
	[ 'group of nothing', sub { set((of_kind(GROUPS))[0], 4, pointer(5000, 0)) }, qr/^I3\|/m ],
	[ 'group of lists', sub { set((of_kind(GROUPS))[0], 4, pointer((of_kind(LISTS))[0]{block}, 0)) }, qr/^I3\|/m ],
	[ 'page of centres zeroed', sub { $test->put((of_kind(CENTRES))[0]{block}, 0, "\0" x BLCKSZ) }, qr/^I3\|/m ],
	[ 'number of a list twice', sub {
		my ($one, $other) = of_kind(CENTRES);
		set($one, 0, pack('L', field($other, 0, 'L', 4))) }, qr/^I[34]\|/m ],
	[ 'centre cut off', sub {
		my ($c) = of_kind(CENTRES);
		$test->put($c->{block}, $c->{lp}, pack('L', $c->{at} | 1 << 15 | 16 << 17)) }, qr/^I2\|/m ],
	[ 'centre is NaN', sub { set((of_kind(CENTRES))[0], 20, pack('L', 0x7FC00000)) }, qr/^I7\|/m ],

	[ 'page id', sub { $test->put(filled()->{block}, BLCKSZ - 2, pack('S', 0)) }, qr/^I[24]\|/m ],
	[ 'page kind', sub { $test->put(filled()->{block}, BLCKSZ - 4, pack('S', 99)) }, qr/^I[24]\|/m ],
	[ 'segment cut off', sub {
		my $s = filled();
		$test->put($s->{block}, $s->{lp}, pack('L', $s->{at} | 1 << 15 | 16 << 17)) }, qr/^I[24]\|/m ],
	[ 'segment outside its page', sub {
		my $s = filled();
		$test->put($s->{block}, $s->{lp}, pack('L', 0x7FF0 | 1 << 15 | 100 << 17)) }, qr/^I[24]\|/m ],

	[ 'first segment nowhere', sub { set((of_kind(CENTRES))[0], 4, pointer(5000, 1)) }, qr/^I4\|/m ],
	[ 'first segment of another list', sub {
		my ($one, $other) = of_kind(CENTRES);
		set($one, 4, substr($test->{bytes}, $other->{block} * BLCKSZ + $other->{at} + 4, 6)) }, qr/^I4\|/m ],
	[ 'segments forgotten', sub { set((of_kind(CENTRES))[0], 4, pointer(0xFFFFFFFF, 0)) }, qr/^I5\|/m ],
	[ 'segment of another list', sub { set(filled(), 0, pack('L', 12345)) }, qr/^I4\|/m ],
	[ 'next segment nowhere', sub { set(chained(), 4, pointer(1, 9)) }, qr/^I4\|/m ],
	[ 'previous segment nowhere', sub { set(chained(), 10, pointer(5000, 1)) }, qr/^I4\|/m ],
	[ 'segments in a circle', sub {
		my $s = chained();
		set($s, 4, pointer($s->{block}, ($s->{lp} - 24) / 4 + 1)) }, qr/^I4\|/m ],
	[ 'next segment forgotten', sub { set(chained(), 4, pointer(0xFFFFFFFF, 0)) }, qr/^I5\|/m ],
	[ 'page of segments zeroed', sub { $test->put(filled()->{block}, 0, "\0" x BLCKSZ) }, qr/^I4\|/m ],

	[ 'count of rows', sub { set(filled(), 16, pack('S', 60000)) }, qr/^I6\|/m ],
	[ 'factor is NaN', sub { set(filled(), ROWS + 10, pack('L', 0x7FC00000)) }, qr/^I7\|/m ],
	[ 'scale is infinite', sub { set(filled(), ROWS + 6, pack('L', 0xFF000000)) }, qr/^I7\|/m ],
	[ 'row twice', sub {
		my $s = filled();
		set($s, ROWS, substr($test->{bytes}, $s->{block} * BLCKSZ + $s->{at} + ROWS + ROW, 6)) }, qr/^I8\|/m ],

	[ 'value nowhere', sub { set(filled(), ROWS + PLACE, pointer(5000, 1)) }, qr/^I9\|/m ],
	[ 'value is a row', sub { my $s = filled(); set($s, ROWS + PLACE, pointer($s->{block}, 1)) }, qr/^I9\|/m ],
	[ 'no value', sub { set(filled(), ROWS + PLACE, pointer(0xFFFFFFFF, 0)) }, qr/^I9\|/m ],
	[ 'page of values zeroed', sub { $test->put((of_kind(VALUES))[0]{block}, 0, "\0" x BLCKSZ) }, qr/^I9\|/m ],
	[ 'page of values of another kind', sub { $test->put((of_kind(VALUES))[0]{block}, BLCKSZ - 4, pack('S', 99)) }, qr/^I9\|/m ],
	[ 'value cut off', sub {
		my ($v) = of_kind(VALUES);
		$test->put($v->{block}, $v->{lp}, pack('L', $v->{at} | 1 << 15 | 16 << 17)) }, qr/^I2\|/m ],
	[ 'value of another row', sub { set((of_kind(VALUES))[0], 0, pointer(4000, 1)) }, qr/^I9\|/m ],
	[ 'size of a value', sub { set((of_kind(VALUES))[0], 12, pack('L', 1000000)) }, qr/^I9\|/m ],
	[ 'value is NaN', sub { set((of_kind(VALUES))[0], 16, pack('L', 0x7FC00000)) }, qr/^I9\|/m ],

	[ 'row missing', sub { set(filled(), ROWS, pointer(200, 1)) }, qr/^I0\|/m ],

	[ 'noise', sub {
		my $s = filled();
		set($s, ROWS, join '', map { chr int rand 256 } 1 .. $s->{length} - ROWS) }, qr/^I\d\|/m ],
	[ 'index cut off', sub { $test->{bytes} = substr($test->{bytes}, 0, 3 * BLCKSZ) }, qr/^I\d\|/m ]);

my $deeds = q(
	\set VERBOSITY verbose
	SET enable_seqscan = off;
	\warn search
	SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <-> clustered(5, 6)::vector LIMIT 20) s;
	\warn search for all
	SELECT count(*) FROM (SELECT FROM TABLE ORDER BY v <-> clustered(5, 6)::vector) s;
	\warn insert
	INSERT INTO TABLE SELECT 2000 + i, clustered(2000 + i, 6) FROM generate_series(1, 60) i;
	\warn insert equal values
	INSERT INTO TABLE SELECT 3000 + i, clustered(7, 6) FROM generate_series(1, 150) i;
	\warn vacuum
	DELETE FROM TABLE WHERE id % 10 <> 2;
	VACUUM TABLE;);

$test->run(\@damages, $deeds);
$test->run_mutations(30, $deeds);

# Codes of 8 bits, of which the metapage tells
$test = AnnDamage->new($node, q(
	CREATE TABLE t%1$d (id int, v vector(6));
	INSERT INTO t%1$d SELECT id, v FROM source WHERE id <= 300;
	CREATE INDEX t%1$d_idx ON t%1$d USING ivfflat (v vector_l2_ops) WITH (lists = 4, quantizer = sq8);
	DELETE FROM t%1$d WHERE id %% 10 = 1;
	VACUUM t%1$d));
$test->run([
	[ 'bits of another quantizer', sub { meta(12, pack('S', 2)) }, qr/^I\d\|/m ],
	[ 'factor of 8 bits is NaN', sub { set(filled(), ROWS + 10, pack('L', 0x7FC00000)) }, qr/^I7\|/m ],
	[ 'scale of 8 bits is infinite', sub { set(filled(), ROWS + 6, pack('L', 0xFF000000)) }, qr/^I7\|/m ] ], $deeds);
$test->run_mutations(10, $deeds);

done_testing();
