import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { SoakLab } from './soaking/lab.ts';
import { planOf } from './soaking/plan.ts';
import { tellResult } from './soaking/report.ts';
import { soak } from './soaking/soak.ts';

const USAGE = `./scripts/soak [--minutes N] [--seed S] [--every SECONDS] [--no-faults] [--keep]: four PostgreSQL
shards under causal load, a checkpoint every few seconds, a fault in one of three, by chance

  --minutes N      how long (30)
  --seed S         chooses faults and pauses; else it is drawn, and printed
  --every SECONDS  from one checkpoint to the next, on average (5); at once where one takes longer
  --no-faults      nothing is killed, stopped or cut off
  --keep           leave the grid as it is in the end, running, and print where (Ctrl-C ends it)

Each checkpoint is verified; every tenth, and each that was committed in spite of a fault, is restored to
other hosts and checked. Ends with the figures; exit code 1 when a promise was broken.
`;
const RESTORE_EVERY = 10;

const tell = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '30' },
      seed: { type: 'string', default: `${randomInt(1_000_000)}` },
      every: { type: 'string', default: '5' },
      'no-faults': { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [minutes = NaN, seed = NaN, every = NaN] = [values.minutes, values.seed, values.every].map(Number);
  const isWrong = !(minutes > 0 && every >= 0 && Number.isInteger(seed));
  if (values.help || isWrong) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exit(values.help ? 0 : 2);
  }
  tell(`seed ${seed}: ${minutes} minutes, a checkpoint about every ${every} s`);
  const stopping = new AbortController();
  const started = SoakLab.start();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      stopping.abort();
      void started.then((lab) => lab.close()).finally(() => process.exit(130));
    });
  const lab = await started;
  try {
    const plan = planOf({
      seed,
      everyMs: every * 1000,
      victims: lab.victims,
      withFaults: !values['no-faults'],
    });
    const result = await soak({
      lab,
      plan,
      runsForMs: minutes * 60_000,
      restoreEvery: RESTORE_EVERY,
      tell,
      signal: stopping.signal,
    });
    tell(tellResult(result));
    if (values.keep) await keep(lab);
    return result.totals.violations.length === 0;
  } finally {
    await lab.close();
  }
}

/** Until Ctrl-C, which closes the lab. */
async function keep(lab: SoakLab): Promise<void> {
  tell(`export STILLPOINT_GRID=${lab.grid.gridFile}`);
  for (const { address, log } of lab.grid.hosts) tell(`  the agent of ${address}: ${log}`);
  for (const { name, server } of lab.grid.members) tell(`  ${name}: ${server.url}`);
  tell('Ctrl-C ends it and removes everything.');
  // A promise alone does not keep a process.
  await new Promise(() => setInterval(() => undefined, 60_000));
}

const allGood = await main();
process.exit(allGood ? 0 : 1);
