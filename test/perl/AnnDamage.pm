#
# AnnDamage.pm
#	  Indexes that are damaged while the server is down, and what comes of it.
#
package AnnDamage;

=pod

=head1 SYNOPSIS

  use AnnDamage;

  # copies of a table, each with an index that is the same to the byte; sql has
  # %1$d for the copy's number; the index is called t<number>_idx
  my $test = AnnDamage->new($node, $sql);

  # damages: name, a function that changes $test->{bytes} and what ann_check, or
  # the error it raises, must say
  $test->run(\@damages, $deeds);

  # damages nobody thought of, which only have to be survived: so many, unless
  # ANN_TEST_MUTATIONS says how many; with ANN_TEST_LONG, thousands
  $test->run_mutations(20, $deeds);

  # for these functions
  $test->put($block, $offset, $bytes);
  $test->get($block, $offset, $template, $length);
  $test->items($block);		# offset, length, and offset of the line pointer

=cut

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use AnnTest;

use constant BLCKSZ => 8192;

# The same damage each time, but in the long run.
my $seed = $ENV{ANN_TEST_SEED} // ($ENV{ANN_TEST_LONG} ? time : 1);

note("ANN_TEST_SEED=$seed");
srand($seed);

# Tables at once, and mutations in the long run.
use constant {
	BATCH => 100,
	MANY => 2000 };

sub new
{
	my ($class, $node, $sql) = @_;
	return bless { node => $node, sql => $sql }, $class;
}

sub put
{
	my ($self, $block, $offset, $new) = @_;
	substr($self->{bytes}, $block * BLCKSZ + $offset, length $new) = $new;
}

sub get
{
	my ($self, $block, $offset, $template, $length) = @_;
	return unpack($template, substr($self->{bytes}, $block * BLCKSZ + $offset, $length));
}

sub blocks
{
	my ($self) = @_;
	return length($self->{bytes}) / BLCKSZ;
}

sub kind
{
	my ($self, $block) = @_;
	return $self->get($block, BLCKSZ - 4, 'S', 2);
}

sub items
{
	my ($self, $block) = @_;
	my $lower = $self->get($block, 12, 'S', 2);
	my @items;

	for (my $lp = 24; $lp < $lower; $lp += 4)
	{
		my $id = $self->get($block, $lp, 'L', 4);

		# flags: normal
		push @items, { block => $block, at => $id & 0x7FFF, length => $id >> 17, lp => $lp }
			if (($id >> 15) & 3) == 1;
	}
	return @items;
}

# A place that is used, of any kind of page as likely as of any other, often where
# something begins.
sub _place
{
	my ($self) = @_;
	my %kinds;
	push @{ $kinds{ $self->kind($_) } }, $_ foreach (0 .. $self->blocks - 1);
	my @kinds = sort keys %kinds;
	my $blocks = $kinds{ $kinds[ rand @kinds ] };
	my $block = $blocks->[ rand @$blocks ];
	my @items = grep { $_->{at} + $_->{length} <= BLCKSZ && $_->{length} > 0 } $self->items($block);
	my $offset;

	if (rand() < 0.1)
	{
		# header, line pointers, special space
		$offset = rand() < 0.2 ? BLCKSZ - 1 - int(rand(8)) : int(rand($self->get($block, 12, 'S', 2)));
	}
	elsif (@items)
	{
		my $item = $items[ rand @items ];
		$offset = $item->{at} + int(rand(rand() < 0.7 && $item->{length} > 64 ? 64 : $item->{length}));
	}
	else
	{
		$offset = 24 + int(rand(rand() < 0.7 ? 64 : BLCKSZ - 32));
	}
	$offset -= $offset % 4 if rand() < 0.7;
	return $block * BLCKSZ + ($offset < BLCKSZ - 4 ? $offset : BLCKSZ - 4);
}

# A few changes: a number from elsewhere, a small one, or anything; says which.
sub _mutate
{
	my ($self) = @_;
	my $sound = $self->{bytes};
	my @done;

	while (!@done || $self->{bytes} eq $sound || rand() < 0.5)
	{
		my $place = $self->_place;
		my $what = rand();
		my $new =
			$what < 0.4 ? substr($sound, $self->_place, 4)
		  : $what < 0.7 ? pack(rand() < 0.5 ? 'S' : 'L', int(rand(20)))
		  :               pack('C*', map { int rand 256 } 0 .. int(rand(4)));

		substr($self->{bytes}, $place, length $new) = $new;
		push @done, "$place: " . unpack('H*', $new);
	}
	return "@done";
}

sub run_mutations
{
	my ($self, $count, $deeds) = @_;
	my $wanted = $ENV{ANN_TEST_MUTATIONS} // ($ENV{ANN_TEST_LONG} ? MANY : $count);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	while ($wanted > 0)
	{
		my $batch = $wanted < BATCH ? $wanted : BATCH;

		$self->run([ map { [ undef, sub { $self->_mutate } ] } 1 .. $batch ], $deeds);
		$wanted -= $batch;
	}
}

sub _create
{
	my ($self, $n) = @_;
	$self->{node}->safe_psql('postgres', sprintf("DROP TABLE IF EXISTS t%1\$d; $self->{sql}", $n));
}

sub _file
{
	my ($self, $n) = @_;
	return $self->{node}->data_dir . '/' .
		$self->{node}->safe_psql('postgres', "SELECT pg_relation_filepath('t${n}_idx')");
}

# What is wrong with how deeds end, or '': an error may name the index and a block
# of it, or be the core's own of a page that it cannot read.
sub _wrong
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
		next if $line =~ /ERROR:  XX001: corrupted (?:line pointer|page pointers|item lengths)/;
		# a heap TID may well lead beyond the table: the core says so
		next if $line =~ /ERROR:  XX001: could not read block|ERROR:  XX000: could not open file .*target block/;
		push @wrong, "$name: $line";
	}
	return join("\n", @wrong);
}

sub run
{
	my ($self, $damages, $deeds) = @_;
	my $node = $self->{node};
	my (@files, @survived);

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	# All damage is done at once; table t0 stays sound.
	$self->_create($_) foreach (0 .. @$damages);
	@files = map { $self->_file($_) } (0 .. @$damages);
	AnnTest->stop_for_damage($node);
	my $sound = slurp_file($files[0]);
	foreach my $i (1 .. @$damages)
	{
		my $damage = $damages->[ $i - 1 ];

		$self->{bytes} = $sound;
		my $done = $damage->[1]->();
		$damage->[0] //= $done;
		die "$damage->[0]: nothing was done" if $self->{bytes} eq $sound;
		open my $handle, '>', $files[$i] or die "$files[$i]: $!";
		binmode $handle;
		print $handle $self->{bytes};
		close $handle;
	}
	$node->start;
	AnnTest->index_ok($node, 't0_idx', 'as it was');

	foreach my $i (1 .. @$damages)
	{
		my ($name, undef, $expected) = @{ $damages->[ $i - 1 ] };
		my ($status, $out, $err);

		# if the one before crashed the server
		$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server is gone');

		($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n
			SELECT invariant, block, item, detail FROM ann_check('t${i}_idx', true)");
		my $wrong = _wrong("t${i}_idx", "ann_check\n$err");
		like("$out$err", $expected, "$name: named by ann_check") if defined $expected;

		($status, $out, $err) = $node->psql('postgres', $deeds =~ s/TABLE/t$i/gr, on_error_stop => 0);
		$wrong .= _wrong("t${i}_idx", $err);
		if (defined $expected)
		{
			is($wrong, '', "$name: answers or errors");
			is($node->psql('postgres', "REINDEX INDEX t${i}_idx"), 0, "$name: mended by REINDEX");
		}
		elsif ($wrong ne '')
		{
			push @survived, "$name: $wrong";
		}
	}
	is(join("\n", @survived), '', 'mutations: answers or errors') unless defined $damages->[0][2];
}

1;
