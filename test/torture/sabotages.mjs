/**
 * Ways to break the program that a suite must notice, one for each promise, as changes of the source's
 * text. The suite is run in its short length; `only` names the tests that are to notice, `seed` the
 * chance that shows it. What mutants of single lines show is StrykerJS' matter (`npm run mutants`).
 */
export const SABOTAGES = [
  {
    suite: 'kill',
    name: 'disposed of before the answer',
    only: 'any step',
    changes: [
      {
        file: 'src/delivery/attempt.ts',
        find: '    message.tries += 1;\n',
        replace:
          "    message.tries += 1;\n    await this.#options.store.dispose(message, { kind: 'learned', proven: true });\n",
      },
    ],
  },
  {
    suite: 'kill',
    name: 'the original is removed before its copy lies in the queue',
    only: 'any step',
    changes: [
      {
        file: 'src/spool/cross-device-move.ts',
        find: '    queue.removeKey(key);\n    const entry = queue.adopt(',
        replace:
          '    folder.removeFile(name);\n    queue.removeKey(key);\n    const entry = queue.adopt(',
      },
    ],
  },
  {
    suite: 'syscalls',
    name: 'a disposal that failed counts as done',
    seed: 322497883,
    changes: [
      {
        file: 'src/delivery/attempt.ts',
        find: "    if (different === FAULTED) return { kind: 'fault' };",
        replace: "    if (different === FAULTED) return { kind: 'done', result: disposition };",
      },
    ],
  },
  {
    suite: 'controller',
    name: 'the proof is skipped',
    changes: [
      {
        file: 'src/delivery/attempt.ts',
        find: '    for (const waitMs of PROOF_WAITS_MS',
        replace:
          "    if (outcome.kind === 'learned') return this.#remembered(message, post, 'proof');\n    for (const waitMs of PROOF_WAITS_MS",
      },
    ],
  },
  {
    suite: 'controller',
    name: 'an unknown failure is the message’s own at once',
    changes: [
      {
        file: 'src/delivery/suspects.ts',
        find: '    const hasProofsBetween = ',
        replace: '    const hasProofsBetween = Date.now() > 0 || ',
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'a file with other names is taken',
    only: 'whatever its name',
    changes: [
      {
        file: 'src/spool/queue.ts',
        find: 'if (found.nlink > 1n)',
        replace: 'if (found.nlink > 1_000n)',
      },
    ],
  },
  {
    suite: 'hostile-races',
    name: 'a class folder that is a symlink is entered',
    only: 'class folder is never entered',
    changes: [
      {
        file: 'src/spool/folder.ts',
        find: 'openSync(address, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)',
        replace: 'openSync(address, O_RDONLY | O_DIRECTORY | (O_NOFOLLOW & 0))',
      },
    ],
  },
  {
    suite: 'model',
    name: 'a newer verdict overtakes the one in flight',
    changes: [
      {
        file: 'src/spool/enqueue.ts',
        find: "    if (locks.isKeyHeld(key) && !moves.isWaiting(key)) return { kind: 'blocked', key };\n",
        replace: '    void [locks, moves];\n',
      },
    ],
  },
];
