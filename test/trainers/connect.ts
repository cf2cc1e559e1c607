import type { ControllerAddress } from '../../src/config.ts';
import { loadConfig } from '../../src/config.ts';
import { makeMessage } from '../lab/messages.ts';
import { Secret } from '../../src/secret.ts';
import { RspamdTrainer } from '../../src/trainers/rspamd.ts';
import type { RspamdTrainerOptions } from '../../src/trainers/rspamd.ts';
import type { Example, Outcome } from '../../src/trainers/trainer.ts';
import type { Verdict } from '../../src/verdict.ts';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act } from '../faults/fault-server.ts';
import { always } from '../faults/plays.ts';

export const MESSAGE = makeMessage('spam', 1).raw;

/** Long enough for a busy machine: where nothing is to time out. */
export const PATIENCE_MS = 60_000;

/** The controller that RSPAMD_URL names. */
export function controllerAt(url: string): ControllerAddress {
  const [controller] = loadConfig({ RSPAMD_URL: url }).rspamd.controllers;
  if (controller === undefined) throw new Error('no controller');
  return controller;
}

/** A real trainer for the controller at `url`, with `options` instead of the ordinary ones. */
export function trainerAt(url: string, options: Partial<RspamdTrainerOptions> = {}): RspamdTrainer {
  return new RspamdTrainer({
    controller: controllerAt(url),
    password: Secret.none,
    timeoutMs: PATIENCE_MS,
    ca: undefined,
    bulk: true,
    ...options,
  });
}

export function example(verdict: Verdict, body: Buffer): Example {
  return { verdict, key: 'a.eml', body };
}

/** Posts one message as spam. */
export function learn(trainer: RspamdTrainer, body = MESSAGE): Promise<Outcome> {
  return trainer.learn(example('spam', body), new AbortController().signal);
}

/** What comes of a post that a server of its own acts on so. */
export async function outcomeOf(
  act: Act,
  options: Partial<RspamdTrainerOptions> = {},
): Promise<Outcome> {
  await using server = await FaultServer.start({ play: always(act) });
  return await learn(trainerAt(server.url, options));
}
