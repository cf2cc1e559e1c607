/**
 * Ways to break the program that a suite must notice, each as a change of the source's text. The
 * suite is run in its short length; `seed` makes one choose what shows the fault.
 */
export const SABOTAGES = [
  {
    suite: 'soak',
    name: 'the gate remembers every file for ever',
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
];
