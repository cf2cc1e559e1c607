import { execFile } from 'node:child_process';
import type { BayesSettings } from '../servers/private-rspamd.ts';
import { findProgram } from '../servers/programs.ts';

/**
 * The site's own settings of Bayes, as `rspamadm configdump` shows them (rspamd 3.4 to 4.1), without
 * touching its filter. Where rspamd runs on another machine, they can't be seen.
 */
export interface SiteBayes {
  /** Whose they are: the configuration here, or rspamd's defaults because there is none to be read. */
  readonly from: 'site' | 'defaults';
  /** Its classes have names, with which rspamd 4.1 judges worse; the private filter's have none. */
  readonly hasNamedClasses: boolean;
  readonly settings: Required<Pick<BayesSettings, 'tokenizer' | 'min_tokens' | 'min_learns'>> &
    BayesSettings;
}

/** rspamd's own (conf/statistic.conf of 3.4 to 4.1). */
const DEFAULTS = { tokenizer: 'osb', min_tokens: 11, min_learns: 200 } as const;
/** It may look up names of servers. */
const PATIENCE_MS = 30_000;
const NUMBERS = ['min_tokens', 'max_tokens', 'min_learns'] as const;

export async function siteBayes(
  searchPath: string | undefined,
  stop: AbortSignal,
): Promise<SiteBayes> {
  const rspamadm = findProgram('rspamadm', searchPath);
  const printed = rspamadm === undefined ? '' : await configOf(rspamadm, stop);
  const bayes = bayesIn(printed);
  if (bayes === undefined) return { from: 'defaults', hasNamedClasses: false, settings: DEFAULTS };
  return {
    from: 'site',
    hasNamedClasses: firstOf(bayes['statfile'])?.['class'] !== undefined,
    settings: { ...DEFAULTS, ...settingsIn(bayes) },
  };
}

function configOf(rspamadm: string, signal: AbortSignal): Promise<string> {
  const options = { timeout: PATIENCE_MS, signal, encoding: 'utf8' } as const;
  return new Promise((resolve) => {
    execFile(rspamadm, ['configdump', '--json', 'classifier'], options, (error, out) => {
      // Of a configuration that rspamd itself can't read, nothing is to be had.
      resolve(error === null ? out : '');
    });
  });
}

/**
 * @param printed the section `classifier` in JSON; lines that aren't JSON may stand before it
 * @returns `undefined` where there is no classifier `bayes`
 */
function bayesIn(printed: string): Section | undefined {
  const dump = parsed(printed.slice(Math.max(0, printed.indexOf('{'))));
  return firstOf(dump?.['bayes'] ?? dump?.['classifier']);
}

function settingsIn(bayes: Section): BayesSettings {
  const tokenizer = bayes['tokenizer'];
  const name = typeof tokenizer === 'string' ? tokenizer : firstOf(tokenizer)?.['name'];
  return {
    ...(typeof name === 'string' && /^[\w-]+$/.test(name) && { tokenizer: name }),
    ...Object.fromEntries(
      NUMBERS.flatMap((key) => {
        const value = bayes[key];
        return Number.isSafeInteger(value) && Number(value) >= 0 ? [[key, value]] : [];
      }),
    ),
  };
}

type Section = Readonly<Record<string, unknown>>;

function parsed(text: string): Section | undefined {
  try {
    return JSON.parse(text) as Section;
  } catch {
    return undefined;
  }
}

/** A section that stands once or several times. */
function firstOf(value: unknown): Section | undefined {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === 'object' && first !== null ? (first as Section) : undefined;
}
