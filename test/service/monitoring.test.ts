import { spawnSync } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { StatusBench } from '../support/status-bench.ts';
import { projectFile, run } from './bundle.ts';
import { needsPrograms } from '../support/needs.ts';
import { temporaryFolder } from '../support/temporary.ts';

const RULES = projectFile('service/prometheus/kopano-learnd.rules.yaml');

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly w: number };
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

let folder: string;

beforeEach(async () => {
  folder = temporaryFolder();
  await cp(RULES, join(folder, 'kopano-learnd.rules.yaml'));
});

async function promtool(...words: readonly string[]): Promise<string> {
  const { stdout } = await run('promtool', words, { cwd: folder });
  return stdout;
}

async function dashboard(): Promise<Dashboard> {
  const text = await readFile(projectFile('service/grafana/kopano-learnd.json'), 'utf8');
  return JSON.parse(text) as Dashboard;
}

/** Names of metrics that a text uses, the recorded ones left out. */
function metricsIn(text: string): readonly string[] {
  return [...new Set(text.match(/\bkopano_learnd_[a-z_0-9]+\b/g))].sort();
}

/** What the daemon really shows at /metrics. */
async function metrics(): Promise<string> {
  const bench = await StatusBench.start();
  return (await bench.get('/metrics')).text;
}

/** The names, but for those that every process has. */
async function metricsShown(): Promise<readonly string[]> {
  const text = await metrics();
  // of a histogram a dashboard uses the buckets
  return metricsIn(text).filter((name) => !/_seconds(_count|_sum)?$/.test(name));
}

test('the alerts and the dashboard name no metric that the daemon doesn’t have, and the dashboard all', async () => {
  const shown = await metricsShown();
  expect(shown).toContain('kopano_learnd_messages_total');
  const panels = (await dashboard()).panels.flatMap(({ targets }) => targets);
  expect(metricsIn(panels.map(({ expr }) => expr).join('\n'))).toEqual(shown);
  for (const name of metricsIn(await readFile(RULES, 'utf8'))) expect(shown).toContain(name);
});

test('the panels of the dashboard have their own places and numbers', async () => {
  const { panels } = await dashboard();
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  expect(new Set(panels.map(({ gridPos }) => JSON.stringify(gridPos))).size).toBe(panels.length);
  for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
});

describe('promtool', needsPrograms('promtool'), () => {
  test('finds nothing to say about the metrics', async () => {
    const input = await metrics();
    const options = { input, encoding: 'utf8' } as const;
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], options);
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  test('understands the alert rules', async () => {
    expect(await promtool('check', 'rules', 'kopano-learnd.rules.yaml')).toContain('SUCCESS');
  });

  test.each(['alerts.test.yaml', 'alerts-week.test.yaml'])(
    'sees each alert fire when it should, and only then: %s',
    async (name) => {
      await cp(projectFile(`test/service/${name}`), join(folder, name));
      expect(await promtool('test', 'rules', name)).toContain('SUCCESS');
    },
  );

  test('understands every expression of the dashboard', async () => {
    const { panels } = await dashboard();
    const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    const rules = expressions.map((expr, index) => ({
      record: `dashboard:expression_${index}`,
      // Grafana puts a time in the place of its own variable
      expr: expr.replaceAll('$__rate_interval', '1m'),
    }));
    // JSON is YAML
    await writeFile(
      join(folder, 'dashboard.rules.yaml'),
      JSON.stringify({ groups: [{ name: 'dashboard', rules }] }),
    );
    const output = await promtool('check', 'rules', 'dashboard.rules.yaml');
    expect(output).toContain(`SUCCESS: ${rules.length} rules found`);
  });
});
