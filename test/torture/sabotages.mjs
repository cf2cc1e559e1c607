/**
 * Ways to break the program that a suite must notice, one for each promise. `at` names a function or
 * a method of a class, which begins with `insert` then, wherever in `src/` it is; `find` is text that
 * occurs there once. The suite is run in its short length; `only` names the tests that are to notice.
 */
export const SABOTAGES = [
  {
    suite: 'kill',
    name: 'what is posted counts as learned',
    at: 'RspamdTrainer.learn',
    insert: "if (Date.now() > 0) return { kind: 'duplicate' };",
  },
  {
    suite: 'kill',
    name: 'what spamd is told counts as learned',
    at: 'SpamdTrainer.learn',
    insert: "if (Date.now() > 0) return { kind: 'duplicate' };",
    only: 'in SpamAssassin',
  },
  {
    suite: 'kill',
    name: 'a message ends with the first filter that has learned it',
    at: 'JointStore.dispose',
    insert: 'if (Date.now() > 0) return this.#options.store.dispose(entry, disposition, message);',
    only: 'in SpamAssassin',
  },
  {
    suite: 'kill',
    name: 'SpamAssassin is told nothing of the bytes that it learned before',
    find: 'const isOther = earlier?.stands === true && !hasBytes;',
    replace: 'const isOther = earlier?.stands === true && !hasBytes && Date.now() < 0;',
    only: 'in SpamAssassin',
  },
  {
    suite: 'syscalls',
    name: 'the original is removed before its copy lies in the queue',
    at: 'CrossDeviceMoves.#copy',
    insert: 'from.folder.removeFile(`.learnd-${key}`);',
    only: 'another file system',
  },
  {
    suite: 'syscalls',
    name: 'a message is put away that is still being written',
    at: 'Queue.check',
    insert: 'if (Date.now() > 0) return undefined;',
    only: 'judged again',
  },
  {
    suite: 'controller',
    name: 'the proof is skipped',
    at: 'Attempts.#learn',
    insert:
      'const said = await controller.trainer.learn(post, this.aborting.signal);' +
      "if (said.kind === 'learned') return this.#remembered(message, post, 'proof');",
  },
  {
    suite: 'controller',
    name: 'an unknown failure is the message’s own at once',
    at: 'Attribution.#isItsOwn',
    insert: 'if (Date.now() > 0) return true;',
  },
  {
    suite: 'hostile',
    name: 'a file with other names is taken',
    only: 'whatever its name',
    find: 'if (found.nlink > 1n)',
    replace: 'if (found.nlink > 1_000n)',
  },
  {
    suite: 'hostile',
    name: 'a class folder that is a symlink is entered',
    only: 'class folder is never entered',
    find: 'O_RDONLY | O_DIRECTORY | O_NOFOLLOW)',
    replace: 'O_RDONLY | O_DIRECTORY | (O_NOFOLLOW & 0))',
  },
  {
    suite: 'model',
    name: 'a newer verdict overtakes the one in flight',
    at: 'MessageLocks.isKeyHeld',
    insert: 'if (Date.now() > 0) return false;',
  },
];
