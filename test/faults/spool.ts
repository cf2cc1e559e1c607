import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Daemon } from '../lab/daemon.ts';
import type { Settings } from '../lab/daemon.ts';
import { KopanoWriter } from '../lab/kopano-writer.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { startHere } from '../support/daemon-here.ts';
import { asOneself, program } from '../support/run.ts';

/** Small times, so that what takes minutes in service takes moments here. */
const QUICK = {
  LEARN_SETTLE_MS: '200',
  LEARN_SWEEP_SECONDS: '1',
  STATUS_LISTEN: 'off',
  SHUTDOWN_SECONDS: '2',
};

/**
 * A spool in a temporary folder, with a writer that works as kopano-spamd does; disposing ends the
 * daemons that were started on it and removes it.
 */
export class Spool implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'learnd-faults-'));
  readonly lib = join(this.folder, 'spamd');
  readonly #writer = new KopanoWriter({ lib: this.lib });
  readonly #daemons: Daemon[] = [];

  constructor() {
    for (const verdict of ['spam', 'ham']) mkdirSync(join(this.lib, verdict), { recursive: true });
  }

  /** Starts a daemon in this process with these settings beside the small ones. */
  start(settings: Settings, args: readonly string[] = ['watch']): Daemon {
    const daemon = startHere(args, this.#with(settings));
    this.#daemons.push(daemon);
    return daemon;
  }

  /**
   * Starts the built program.
   * @param through a command that runs the one that follows it, and becomes it
   */
  async spawn(settings: Settings, through: readonly string[] = []): Promise<Daemon> {
    const command = [...through, process.execPath, program(), ...asOneself(), 'watch'];
    const daemon = await Daemon.spawn(command, this.#with(settings));
    this.#daemons.push(daemon);
    return daemon;
  }

  #with(settings: Settings): Settings {
    return { ...QUICK, KOPANO_SPAMD_LIB: this.lib, ...settings };
  }

  /** Writes messages as kopano-spamd does. */
  async write(...messages: readonly MadeMessage[]): Promise<void> {
    for (const { verdict, name, raw } of messages) {
      const outcome = await this.#writer.write({ verdict, name, body: raw });
      // On a slow machine it is taken before its mark, whole: the settle time is short here.
      if (outcome.kind !== 'written' && outcome.kind !== 'vanished')
        throw new Error(`the writer failed: ${outcome.kind}`);
    }
  }

  /** Names in a folder below the spool, both verdicts', the hidden ones left out. */
  names(place: '' | '.learnd/queue' | '.learnd/quarantine'): string[] {
    return ['spam', 'ham'].flatMap((verdict) => {
      const folder = join(this.lib, place, verdict);
      if (!existsSync(folder)) return [];
      return readdirSync(folder).filter((name) => !name.startsWith('.'));
    });
  }

  /** Names in the drop directory and the queue. */
  get waiting(): string[] {
    return [...this.names(''), ...this.names('.learnd/queue')];
  }

  /** Messages in quarantine, without their reason files. */
  get quarantined(): string[] {
    return this.names('.learnd/quarantine').filter((name) => !name.endsWith('.json'));
  }

  /** What the reason file of a message in quarantine says. */
  reasonOf({ verdict, name }: MadeMessage): Readonly<Record<string, unknown>> {
    const file = join(this.lib, '.learnd/quarantine', verdict, `${name}.json`);
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  }

  /** Ends all daemons that were started on it. */
  async kill(): Promise<void> {
    for (const daemon of this.#daemons) await daemon.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}
