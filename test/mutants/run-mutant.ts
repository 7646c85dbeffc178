import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Mutant } from './mutant.ts';
import { Misfit, type Workspace } from './workspace.ts';

/** A file of tests that takes longer than this hangs. */
const LIMIT_MS = 10 * 60_000;
const OUTPUT_KEPT = 4000;

export interface Verdict {
  /** `misfit`: it said nothing of the test. */
  readonly outcome: 'killed' | 'survived' | 'misfit';
  /** The tests that failed, or why it is a misfit. */
  readonly because: readonly string[];
  readonly seconds: number;
}

interface Finished {
  readonly passes: readonly string[];
  readonly failures: readonly string[];
  readonly output: string;
}

/**
 * Runs the tests of a mutant on sources that are broken as it says. It is killed when a test that bears its id
 * fails, and nothing else counts: a fixture that did not come up has shown nothing.
 */
export async function runMutant(workspace: Workspace, mutant: Mutant): Promise<Verdict> {
  const began = performance.now();
  const verdict = (outcome: Verdict['outcome'], because: readonly string[]): Verdict => ({
    outcome,
    because,
    seconds: Math.round((performance.now() - began) / 100) / 10,
  });
  try {
    const { passes, failures, output } = await workspace.with(mutant.edits, () =>
      runTests(workspace, mutant),
    );
    const tag = `[${mutant.id}]`;
    const killers = failures.filter((title) => title.includes(tag) && !isHook(title));
    if (killers.length > 0) return verdict('killed', killers);
    if (passes.some((title) => title.includes(tag))) return verdict('survived', failures);
    return verdict('misfit', [`no test with ${tag} was run`, ...failures, output.slice(-OUTPUT_KEPT)]);
  } catch (error) {
    if (error instanceof Misfit) return verdict('misfit', [error.message]);
    throw error;
  }
}

/** The tests of a mutant on sources that are whole: those that bear its id must pass. Returns what failed. */
export async function failuresWithout(workspace: Workspace, mutant: Mutant): Promise<readonly string[]> {
  const { passes, failures, output } = await workspace.with([], () => runTests(workspace, mutant));
  if (failures.length > 0) return failures;
  return passes.some((title) => title.includes(`[${mutant.id}]`)) ? [] : [`no test ran: ${output}`];
}

/** Mocha names a hook after the test that it stands before, with that test's id. */
function isHook(title: string): boolean {
  return /"(before|after) (all|each)" hook/.test(title);
}

async function runTests(workspace: Workspace, { file, only }: Mutant): Promise<Finished> {
  const results = join(workspace.path, 'results.json');
  rmSync(results, { force: true });
  const options = ['--reporter', 'json', '--reporter-option', `output=${results}`];
  const grep = only === undefined ? [] : ['--grep', only];
  const mocha = join(workspace.path, 'node_modules/mocha/bin/mocha.js');
  const child = spawn(process.execPath, [mocha, ...options, ...grep, join('test', file)], {
    cwd: workspace.path,
    stdio: ['ignore', 'pipe', 'pipe'],
    // What was built of whole sources is not what is looked at.
    env: { ...process.env, STILLPOINT_PROGRAMS: undefined },
  });
  let output = '';
  const keep = (data: Buffer): void => void (output = (output + data.toString()).slice(-OUTPUT_KEPT));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(limit);
  const text = readIfThere(results);
  if (text === null) return { passes: [], failures: [], output };
  const told = JSON.parse(text) as Record<'passes' | 'failures', { fullTitle: string }[]>;
  const titles = (of: { fullTitle: string }[]): string[] => of.map(({ fullTitle }) => fullTitle);
  return { passes: titles(told.passes), failures: titles(told.failures), output };
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
