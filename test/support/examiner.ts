import { loadConfig } from '../../src/config.ts';
import { doctor } from '../../src/doctor/command.ts';

/** The doctor for {@link examine}: of this process, or of a child process of another user. */

export interface Examined {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function runDoctor(settings: Readonly<Record<string, string>>): Promise<Examined> {
  let [out, err] = ['', ''];
  const before = process.env['PATH'];
  process.env['PATH'] = settings['PATH'];
  try {
    const code = await doctor({
      config: loadConfig(settings),
      faults: [],
      environment: settings,
      json: true,
      all: true,
      columns: 80,
      identity: {
        uid: process.geteuid?.() ?? 0,
        gid: process.getegid?.() ?? 0,
        groups: process.getgroups?.() ?? [],
      },
      stop: new AbortController().signal,
      out: (text) => (out += text),
      err: (text) => (err += text),
    });
    return { code, out, err };
  } finally {
    process.env['PATH'] = before;
  }
}

// As a child process.
if (process.argv[1]?.endsWith('examiner.mjs') === true) {
  process.on('message', (settings) => {
    void runDoctor(settings as Readonly<Record<string, string>>).then((examined) =>
      process.send?.(examined),
    );
  });
}
