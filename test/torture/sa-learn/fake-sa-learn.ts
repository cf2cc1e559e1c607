import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SaLearnTrainer } from '../../../src/trainers/spamassassin/sa-learn.ts';
import type { SaLearnTrainerOptions } from '../../../src/trainers/spamassassin/sa-learn.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';
import { addressAt } from '../../trainers/spamassassin/connect.ts';

/** A run of the fake: what it was to do, and what the messages were. */
interface FakeRun {
  /** `spam`, `ham`, `spam+ham` or `forget`. */
  readonly action: string;
  readonly bodies: readonly string[];
}

/**
 * A program in the place of `sa-learn`: it keeps what it was taught in a file, says what the real one
 * says, and does to messages with certain words what goes wrong with the real one.
 */
export class FakeSaLearn {
  readonly folder = temporaryFolder();
  readonly program = join(this.folder, 'sa-learn');
  readonly temporary = join(this.folder, 'tmp');

  constructor() {
    mkdirSync(this.temporary);
    const script = SCRIPT.replace('FOLDER', this.folder);
    writeFileSync(this.program, `#!/usr/bin/perl\n${script}`, { mode: 0o755 });
  }

  /**
   * Perl that it begins each run with: it sees `$runs` (their number), `@bodies`, `$isCanary`,
   * `$isForgetful`, `$takes` (seconds for a message), `at(name)`, `put(name, text)`, `hold()`, which waits
   * for {@link go}, and `end(code, says)`.
   */
  set behaviour(script: string) {
    writeFileSync(join(this.folder, 'behaviour'), script);
  }

  /** Perl that each run begins with, before it reads its list: it sees `at`, `put` and `end`. */
  set start(script: string) {
    writeFileSync(join(this.folder, 'start'), script);
  }

  /** Until a run holds. */
  async untilHeld(): Promise<void> {
    await until('it holds', () => existsSync(join(this.folder, 'held')));
  }

  /** Lets it go on, and each run after it. */
  go(): void {
    writeFileSync(join(this.folder, 'go'), '');
  }

  /** The runs so far, without those of a canary. */
  get runs(): readonly FakeRun[] {
    return this.allRuns.filter(({ bodies }) => !bodies.some((body) => body.includes('canary')));
  }

  get allRuns(): readonly FakeRun[] {
    return this.#lines('runs').map((line) => {
      const [action = '', ...bodies] = line.split(' ');
      return { action, bodies: bodies.map(textOf) };
    });
  }

  /** What it remembers, by text. */
  get known(): Readonly<Record<string, string>> {
    const pairs = this.#lines('known').map((line) => line.split(' '));
    return Object.fromEntries(pairs.map(([id = '', verdict]) => [textOf(id), verdict ?? '']));
  }

  #lines(name: string): string[] {
    const file = join(this.folder, name);
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
  }

  trainer(options: Partial<SaLearnTrainerOptions> = {}): SaLearnTrainer {
    return new SaLearnTrainer({
      address: addressAt(0, { name: 'exec:sa-learn', program: this.program }),
      maxBytes: 10_000_000,
      temporary: this.temporary,
      // The tests may be run by root.
      uid: 1,
      ...options,
    });
  }
}

const SCRIPT = String.raw`
use strict;
my $folder = 'FOLDER';
sub at { return "$folder/$_[0]" }
sub slurp { open(my $in, '<', $_[0]) or return ''; local $/; my $text = <$in>; return $text // '' }
sub put { open(my $out, $_[2] // '>', at($_[0])) or die; syswrite($out, $_[1]); close $out }
sub hold { put('held', ''); select(undef, undef, undef, 0.02) until -e at('go') }
sub debug { syswrite(STDERR, "Nov 30 02:44:23.047 [$$] dbg: $_[0]\n") }
eval slurp(at('start'));
die $@ if $@;
my @list = map { chomp; [split /:/] } <STDIN>;
@list = ((grep { $_->[0] eq 'spam' } @list), (grep { $_->[0] ne 'spam' } @list));
my $forgets = grep { $_ eq '--forget' } @ARGV;
my $action = $forgets ? 'forget' : join '+', grep { my $is = $_; grep { $_->[0] eq $is } @list } qw(spam ham);
my @bodies = map { slurp($_->[2]) } @list;
my $isCanary = grep { /canary/ } @bodies;
my %known = map { split / / } split /\n/, slurp(at('known'));
put('runs', join(' ', $action, map { unpack 'H*', $_ } @bodies) . "\n", '>>');
my $runs = () = slurp(at('runs')) =~ /\n/g;
my ($changed, $examined, $isForgetful, $takes) = (0, 0, 0, 0);
sub end {
  my ($code, $says) = @_;
  syswrite(STDERR, "$says\n") if $says;
  my $verb = $forgets ? 'Forgot' : 'Learned';
  print "$verb tokens from $changed message(s) ($examined message(s) examined)\n";
  put('known', join '', map { "$_ $known{$_}\n" } keys %known) unless $isForgetful;
  close STDOUT;
  unlink at('busy');
  exit $code;
}
sub learn {
  my ($body, $class) = @_;
  my $id = unpack 'H*', $body;
  $examined += 1;
  debug($forgets ? 'learn: forgetting message' : "learn: learning $class");
  select(undef, undef, undef, $takes);
  end(25, 'ERROR: the Bayes learn function returned an error') if $body =~ /poison/;
  kill KILL => $$ if $body =~ /killer/;
  if ($forgets) {
    if (delete $known{$id}) { $changed += 1 }
    else { debug('bayes: forget: no msgid from this message has been learnt, skipping message') }
  }
  elsif (($known{$id} // '') eq $class) {
    debug('bayes: 0a@sa_generated already learnt correctly, not learning twice');
  }
  else {
    $changed += 1;
    debug("bayes: learned '0a\@sa_generated', atime: 1");
    $known{$id} = $class unless $body =~ /forgotten/;
  }
}
eval slurp(at('behaviour'));
die $@ if $@;
for my $each (@list) {
  next unless -e $each->[2];
  my $body = slurp($each->[2]);
  learn($body, $each->[0]) unless $body =~ /overlooked/;
}
end(0);
`;

function textOf(hex: string): string {
  return Buffer.from(hex, 'hex').toString();
}
