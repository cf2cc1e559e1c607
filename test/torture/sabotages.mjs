/**
 * Ways to break the program that a suite must notice, each as a change of the source's text. The
 * suite is run in its short length; `only` names the tests that are to notice, `seed` the chance
 * that shows it.
 */
export const SABOTAGES = [
  {
    suite: 'kill',
    name: 'files are taken before the gate lets them pass',
    only: 'random moments',
    changes: [
      {
        file: 'src/spool/message.ts',
        find: 'return marked ? settleMs / 10 : settleMs;',
        replace: 'return marked ? settleMs / 10 : settleMs / 100;',
      },
    ],
  },
  {
    suite: 'kill',
    name: 'disposed of before the answer',
    only: 'any step',
    changes: [
      {
        file: 'src/learning/learner.ts',
        find: '    delivery.tries += 1;\n',
        replace:
          "    delivery.tries += 1;\n    await this.#options.store.finish(delivery, { kind: 'learned', proven: true });\n",
      },
    ],
  },
  {
    suite: 'kill',
    name: 'twins are moved in the other order',
    only: 'any step',
    changes: [
      {
        file: 'src/spool/intake.ts',
        find: '    const second = this.#move(newer, key);\n',
        replace: '',
      },
      {
        file: 'src/spool/intake.ts',
        find: '    const first = this.#move(older, key);\n',
        replace:
          "    const second = this.#move(newer, key);\n    if (second.kind === 'taken') older.from.folder.removeFile(older.rawName);\n    const first = { kind: 'gone' } as Look;\n",
      },
    ],
  },
  {
    suite: 'kill',
    name: 'the original is removed before its copy lies in the queue',
    only: 'any step',
    changes: [
      {
        file: 'src/spool/staging.ts',
        find: '    queue.removeKey(key);\n    const entry = queue.adopt(',
        replace:
          '    from.folder.removeFile(PREFIX + key);\n    queue.removeKey(key);\n    const entry = queue.adopt(',
      },
    ],
  },
  {
    suite: 'kill',
    name: 'a message is quarantined before its reason',
    only: 'any step',
    changes: [
      {
        file: 'src/spool/quarantine.ts',
        find: '    renameSync(this.#temporary.at(reasonName), folder.at(reasonName));\n',
        replace: '',
      },
      {
        file: 'src/spool/quarantine.ts',
        find: '    renameSync(queue.folder(entry.verdict).at(entry.key), folder.at(entry.key));\n',
        replace:
          '    renameSync(queue.folder(entry.verdict).at(entry.key), folder.at(entry.key));\n    renameSync(this.#temporary.at(reasonName), folder.at(reasonName));\n',
      },
    ],
  },
  {
    suite: 'kill',
    name: 'what lies half-way is not found at the start',
    only: 'any step',
    changes: [
      { file: 'src/spool/pickup.ts', find: '    await this.#staging.find(opened);\n', replace: '' },
    ],
  },
  {
    suite: 'kill',
    name: 'the older verdict stays in the queue',
    only: 'any step',
    changes: [
      {
        file: 'src/spool/intake.ts',
        find: '    for (const verdict of queue.removeKey(key)) superseded(verdict, key);\n',
        replace:
          '    const older = queue.newest(key) === undefined ? queue.removeKey(key) : [];\n    for (const verdict of older) superseded(verdict, key);\n',
      },
    ],
  },
  {
    suite: 'syscalls',
    name: 'a disposal that failed counts as done',
    seed: 322497883,
    changes: [
      {
        file: 'src/learning/learner.ts',
        find: "own : DISPOSAL, error);\n      return { kind: 'fault' };",
        replace: "own : DISPOSAL, error);\n      return { kind: 'done', finish };",
      },
    ],
  },
  {
    suite: 'syscalls',
    name: 'a local fault puts a message into the quarantine',
    seed: 322597285,
    changes: [
      {
        file: 'src/learning/learner.ts',
        find: "      faults.raise(place, error);\n      return { kind: 'fault' };",
        replace:
          "      faults.raise(place, error);\n      return await this.#finish(delivery, quarantined('a local fault'));",
      },
    ],
  },
  {
    suite: 'controller',
    name: 'the proof is skipped',
    changes: [
      {
        file: 'src/learning/proof.ts',
        find: '  for (const wait of PROOF_WAITS_MS) {',
        replace:
          "  if (Date.now() > 0) return { kind: 'proven', isLate: false };\n  for (const wait of PROOF_WAITS_MS) {",
      },
    ],
  },
  {
    suite: 'controller',
    name: 'an unknown failure is the message’s own at once',
    changes: [
      {
        file: 'src/learning/blame.ts',
        find: '    if (!flight.wasAlone) {',
        replace: '    if (Date.now() > 0) return true;\n    if (!flight.wasAlone) {',
      },
    ],
  },
  {
    suite: 'controller',
    name: 'redirects are followed',
    changes: [
      {
        file: 'src/trainers/learning-post.ts',
        find: "        answer = { status: statusCode, reason: statusMessage, text: '', date: headers.date };",
        replace:
          "        answer = { status: statusCode, reason: statusMessage, text: '', date: headers.date };\n        if (headers.location !== undefined) httpRequest(headers.location, { method: 'POST' }).on('error', () => undefined).end(body);",
      },
    ],
  },
  {
    suite: 'controller',
    name: 'an answer is read without an end',
    changes: [
      {
        file: 'src/trainers/learning-post.ts',
        find: '          if (text.length >= MAX_ANSWER_BYTES) settle(answer);',
        replace: '          answer = { ...answer, text };',
      },
    ],
  },
  {
    suite: 'controller',
    name: 'tried again without a backoff',
    changes: [
      {
        file: 'src/learning/backoff.ts',
        find: '  const plain = Math.min(first * 2 ** (failures - 1), LONGEST_BACKOFF_MS);',
        replace: '  const plain = Math.min(first * 0 ** (failures - 1), 10);',
      },
    ],
  },
  {
    suite: 'controller',
    name: 'several probes at a time',
    changes: [
      {
        file: 'src/learning/dispatcher.ts',
        find: '      if (controller.isOpen || controller.inFlight > 0) continue;',
        replace: '      if (controller.isOpen || controller.inFlight > 3) continue;',
      },
    ],
  },
  {
    suite: 'controller-network',
    name: 'any certificate will do',
    changes: [
      {
        file: 'src/trainers/learning-post.ts',
        find: '    const agent = { keepAlive: false };',
        replace: '    const agent = { keepAlive: false, rejectUnauthorized: false };',
      },
    ],
  },
  {
    suite: 'soak',
    name: 'the gate remembers every file for ever',
    seed: 1,
    changes: [
      {
        file: 'src/spool/gate.ts',
        find: '    this.#settling.delete(id);\n    this.#stalled.delete(id);\n  }\n\n  /** True when',
        replace: '    this.#stalled.delete(id);\n  }\n\n  /** True when',
      },
    ],
  },
  {
    suite: 'soak',
    name: 'every post leaves its listener behind',
    seed: 1,
    changes: [
      {
        file: 'src/trainers/learning-post.ts',
        find: "        signal.removeEventListener('abort', abort);\n",
        replace: '',
      },
    ],
  },
  {
    suite: 'soak',
    name: 'every wait leaves its listener behind',
    seed: 1,
    changes: [
      {
        file: 'src/clock.ts',
        find: "      signal?.removeEventListener('abort', end);\n",
        replace: '',
      },
    ],
  },
  {
    suite: 'soak',
    name: 'a replaced folder stays watched',
    seed: 23,
    changes: [
      {
        file: 'src/spool/doorbell.ts',
        find: '    void watcher?.close();\n',
        replace: '    void watcher;\n',
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
    suite: 'hostile',
    name: 'an over-size file is read',
    only: 'whatever its name',
    changes: [
      {
        file: 'src/spool/queue.ts',
        find: 'if (found.size > BigInt(this.#maxBytes))',
        replace: 'if (found.size < 0n)',
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'a staged file with other names is carried over',
    only: 'whatever its name',
    changes: [
      {
        file: 'src/spool/staging.ts',
        find: '!found.isFile() || found.nlink > 1n || found',
        replace: '!found.isFile() || found',
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'names go into the queue as they are',
    only: 'whatever its name',
    changes: [
      {
        file: 'src/spool/message.ts',
        find: '.replace(/[^A-Za-z0-9._=@+-]/g, percent)',
        replace: '.replace(/[/]/g, percent)',
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'names go into the log as they are',
    only: 'whatever its name',
    changes: [
      {
        file: 'src/spool/intake.ts',
        find: '        verdict,\n        file: clean(rawName),',
        replace: '        verdict,\n        file: rawName,',
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'pipes, sockets and symlinks are taken',
    only: 'whatever its name',
    changes: [
      {
        file: 'src/spool/intake.ts',
        find: 'if (!stats.isFile()) {',
        replace: 'if (stats.isDirectory()) {',
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'a file that grows is taken',
    only: 'written last',
    changes: [
      {
        file: 'src/spool/gate.ts',
        find: 'if (left > 0) return',
        replace: 'if (left > 1e9) return',
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'what was rewritten in flight is disposed of',
    only: 'written last',
    changes: [
      {
        file: 'src/spool/disposal.ts',
        find: 'if (different !== undefined) return different;',
        replace: "if (different?.kind === 'gone') return different;",
      },
    ],
  },
  {
    suite: 'hostile',
    name: 'a sweep never yields',
    only: 'hundred thousand',
    changes: [
      {
        file: 'src/spool/pickup.ts',
        find: 'if (performance.now() - this.#stretch < STRETCH_MS) return false;',
        replace: 'if (performance.now() - this.#stretch < STRETCH_MS * 1e9) return false;',
      },
    ],
  },
  {
    suite: 'hostile-races',
    name: 'a symlink is followed when a message is read',
    only: 'just being taken',
    changes: [
      {
        file: 'src/spool/queue.ts',
        find: 'const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;',
        replace:
          "const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;\n    if (entry.key !== '')\n      return {\n        kind: 'body',\n        body: await (await open(this.#folders[entry.verdict].at(entry.key))).readFile(),\n      };",
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
    suite: 'syscalls',
    name: 'the end of a local fault is not noticed',
    changes: [
      {
        file: 'src/spool/faults.ts',
        find: 'if (!this.#until.delete(place) || !this.#said.delete(place)) return;',
        replace: 'if (this.#until.has(place) || !this.#said.delete(place)) return;',
      },
    ],
  },
  {
    suite: 'disks',
    name: 'a full disk is tried again too late',
    changes: [
      {
        file: 'src/spool/faults.ts',
        find: 'static readonly retryMs = 5_000;',
        replace: 'static readonly retryMs = 30_000;',
      },
    ],
  },
  {
    suite: 'disks',
    name: 'a fault is said again and again',
    changes: [
      {
        file: 'src/spool/faults.ts',
        find: '    if (!this.#throttle.allows(place, code)) return;\n',
        replace: '    this.#throttle.allows(place, code);\n',
      },
    ],
  },
  {
    suite: 'model',
    name: 'the older of twins wins',
    changes: [
      {
        file: 'src/spool/intake.ts',
        find: "const isSpam = newerVerdict(spam.stats.mtimeNs, ham.stats.mtimeNs) === 'spam';",
        replace: "const isSpam = newerVerdict(spam.stats.mtimeNs, ham.stats.mtimeNs) !== 'spam';",
      },
    ],
  },
  {
    suite: 'model',
    name: 'a newer verdict overtakes the one in flight',
    changes: [
      {
        file: 'src/spool/intake.ts',
        find: "    if (this.#options.isHeld(key)) return { kind: 'blocked', key };\n",
        replace: '',
      },
    ],
  },
  {
    suite: 'model',
    name: 'a message in quarantine outlives a newer verdict',
    changes: [
      {
        file: 'src/spool/intake.ts',
        find: '    quarantine.removeKey(key);\n',
        replace: '    void quarantine;\n',
      },
    ],
  },
  {
    suite: 'model',
    name: 'nothing is swept',
    changes: [
      {
        file: 'src/spool/pickup.ts',
        find: '    this.#sweepDue = this.#clock.monotonic() + wait;\n',
        replace: '    this.#sweepDue = Infinity + wait;\n',
      },
    ],
  },
];
