import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { isSlow, type Mutant } from '../test/mutants/mutant.ts';
import { MUTANTS } from '../test/mutants/mutants.ts';
import { failuresWithout, runMutant, type Verdict } from '../test/mutants/run-mutant.ts';
import { Workspace } from '../test/mutants/workspace.ts';
import { Random } from '../test/simulator/random.ts';

const USAGE = `./scripts/mutants [--id S29]… [--quick] [--sample [--seed N]] [--json]:
breaks every promise of docs/requirements once, and runs the test that claims it; the work tree is not touched

  --id S29    those of one requirement; may be given again
  --quick     those that need no real processes
  --sample    a few of the quick ones, by the commit that is checked out
  --seed N    another sample
  --trust     the tests are known to pass on whole sources: not run on them first
  --json      one object a line
`;
/** The slow ones take minutes on a loaded machine: they are run on demand. */
const SAMPLE = 8;

const tell = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      id: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      sample: { type: 'boolean', default: false },
      seed: { type: 'string' },
      trust: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = values.id.filter((id) => !MUTANTS.some((mutant) => mutant.id === id));
  if (values.help || unknown.length > 0) {
    if (unknown.length > 0) process.stderr.write(`no mutant has the id ${unknown.join(', ')}\n`);
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exit(values.help ? 0 : 2);
  }
  let chosen = MUTANTS.filter(
    (mutant) =>
      (values.id.length === 0 || values.id.includes(mutant.id)) && !(values.quick && isSlow(mutant)),
  );
  if (values.sample) {
    const seed = values.seed ?? seedOfCommit();
    if (!values.json) tell(`a sample of ${MUTANTS.length} mutants by seed ${seed}`);
    chosen = sample(chosen, Number.parseInt(seed, 16));
  }
  return run(chosen, { isTrusted: values.trust, isJson: values.json });
}

async function run(
  mutants: readonly Mutant[],
  { isTrusted, isJson }: { isTrusted: boolean; isJson: boolean },
): Promise<boolean> {
  const workspace = new Workspace();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      workspace.remove();
      process.exit(4);
    });
  }
  const counts = { killed: 0, survived: 0, misfit: 0 };
  const whole = new Map<string, readonly string[]>();
  try {
    for (const mutant of mutants) {
      let verdict = await runMutant(workspace, mutant);
      if (verdict.outcome === 'killed' && !isTrusted) {
        const key = `${mutant.file} ${mutant.only ?? ''}`;
        const failures = whole.get(key) ?? (await failuresWithout(workspace, mutant));
        whole.set(key, failures);
        if (failures.length > 0)
          verdict = { ...verdict, outcome: 'misfit', because: ['fails on whole sources too', ...failures] };
      }
      counts[verdict.outcome] += 1;
      tell(isJson ? JSON.stringify({ ...mutant, ...verdict }) : told(mutant, verdict));
    }
  } finally {
    workspace.remove();
  }
  const { killed, survived, misfit } = counts;
  if (!isJson) tell(`${killed} killed, ${survived} survived, ${misfit} did not fit`);
  return survived + misfit === 0;
}

function told(mutant: Mutant, { outcome, because, seconds }: Verdict): string {
  const line = `${outcome.padEnd(8)} ${mutant.id.padEnd(4)} ${mutant.breaks} (${seconds} s)`;
  if (outcome === 'killed') return line;
  return [line, `         test/${mutant.file}`, ...because.map((one) => `         ${one}`)].join('\n');
}

/** Another one with every commit, and the same for the same commit. */
function sample(mutants: readonly Mutant[], seed: number): Mutant[] {
  const random = new Random(seed);
  const shuffled = mutants
    .map((mutant) => ({ mutant, rank: random.next() }))
    .sort((one, other) => one.rank - other.rank)
    .map(({ mutant }) => mutant);
  return shuffled.filter((mutant) => !isSlow(mutant)).slice(0, SAMPLE);
}

/** Hexadecimal. Sources without a history rotate by the day. */
function seedOfCommit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short=7', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return Math.floor(Date.now() / 86_400_000).toString(16);
  }
}

process.exitCode = (await main()) ? 0 : 1;
