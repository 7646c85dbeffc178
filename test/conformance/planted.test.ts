import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../lab/temporary.ts';
import { FAULTS, type PlantedFault } from './model/faults.ts';
import { modelInProcess } from './model/in-process.ts';
import type { ModelRole } from './model/participant.ts';
import type { Verdict } from './promise.ts';
import { PROMISES, runSuite } from './suite.ts';

// Goal: each promise finds what breaks it, under its own name. Method: models that keep the contract, and some two hundred
// with one fault each, in this process and side by side; of most faults is tried the promise that they break, of some the
// whole contract, of which no other promise may be blamed.

const PACE = { leaseMs: 60, holdMs: 80, graceMs: 900, patienceMs: 2500, startMs: 1500 };
const AT_ONCE = 4;
/** Those that were once found under another name, or under many. */
const WHOLE: ReadonlySet<string> = new Set([
  'disconnects-who-waits',
  'lets-nobody-in-after-a-rest',
  'goes-on-in-the-same-file',
  'logs-and-shows-and-holds-back-the-answer',
  'has-no-Renew',
  'never-rests',
]);
const ROLES: readonly ModelRole[] = ['node', 'state-keeper', 'realm-service', 'satellite', 'proxy'];

/** Renew and repeats are judged only where they came in time, which many models side by side must be able to: longer ones. */
const leaseOf = (fault: PlantedFault | null): number =>
  fault === null
    ? 500
    : ['lease-lasts', 'lease-renewed', 'repeats-keep-leases'].includes(fault.promise)
      ? 500
      : PACE.leaseMs;

/** There are fewer ways to break these than three. */
const FEW_WAYS: readonly string[] = [
  'unknown-fields-ignored',
  'rest-reads-answered',
  'started-with-told',
  'suspended-journal-kept',
  'maintenance-leaves',
  'backup-repeats',
  'recovery-taken',
  'table-Release',
  'table-BackUpDatabase',
  'table-SaveKeeperState',
  'table-Relocate',
];

interface Outcome {
  readonly verdicts: readonly Verdict[];
  readonly heldAfter: string;
}

describe('the conformance suite and planted faults', function () {
  this.timeout(300_000);
  const folder = temporaryFolder('cf');
  const runs = new Map<string, () => Promise<Outcome>>();

  before(() => {
    const slots = Array.from({ length: AT_ONCE }, () => Promise.resolve<unknown>(undefined));
    let next = 0;
    const queue = (name: string, examine: () => Promise<Outcome>): void => {
      const slot = next++ % AT_ONCE;
      const run = (slots[slot] ?? Promise.resolve()).then(examine);
      slots[slot] = run.catch(() => undefined);
      run.catch(() => undefined);
      runs.set(name, () => run);
    };
    for (const role of ROLES) queue(role, () => examined(join(folder.path, role), role, null));
    queue('preallocates', () => examined(join(folder.path, 'pre'), 'node', null, { preallocates: true }));
    for (const [index, fault] of FAULTS.entries())
      queue(fault.name, () => examined(join(folder.path, String(index)), fault.role, fault));
  });

  after(async () => {
    // Whoever failed may still be running.
    await Promise.all([...runs.values()].map((run) => run().catch(() => undefined)));
    const report = process.env['STILLPOINT_PLANTED_TABLE'];
    if (report !== undefined) writeFileSync(report, tableOfFaults());
    folder.remove();
  });

  const outcomeOf = async (name: string): Promise<Outcome> => {
    const run = runs.get(name);
    if (run === undefined) throw new Error(`no run of ${name}`);
    return await run();
  };

  for (const role of ROLES) {
    it(`finds every promise of a ${role} kept by one that keeps them, and leaves it released`, async () => {
      const { verdicts, heldAfter } = await outcomeOf(role);
      expect(unkept(verdicts)).to.deep.equal([]);
      expect(heldAfter).to.equal('');
    });
  }

  it('finds every promise of a node kept by one whose journal files are longer than what is in them, and used again', async () => {
    const { verdicts } = await outcomeOf('preallocates');
    expect(unkept(verdicts)).to.deep.equal([]);
  });

  for (const { name, promise } of FAULTS) {
    it(`names ${promise} of a process with one fault: ${name}`, async () => {
      const { verdicts, heldAfter } = await outcomeOf(name);
      const broken = verdicts.filter(({ result }) => result === 'broken').map(({ id }) => id);
      expect(
        broken,
        verdicts.map(({ id, result, seen }) => `${id} ${result}: ${seen}`).join('\n'),
      ).to.deep.equal([promise]);
      expect(heldAfter === '' || name.includes('Release') || name.includes('release')).to.equal(true);
    });
  }

  it('has faults planted for every promise, at least three where there are as many ways to break it', () => {
    const without = PROMISES.map(({ id }) => id).filter(
      (id) => !FAULTS.some(({ promise }) => promise === id),
    );
    expect(without).to.deep.equal([]);
    expect(FAULTS.length).to.be.at.least(120);
    expect(new Set(FAULTS.map(({ name }) => name)).size).to.equal(FAULTS.length);
    const unknown = FAULTS.filter(({ promise }) => !PROMISES.some(({ id }) => id === promise));
    expect(unknown).to.deep.equal([]);
  });
});

async function examined(
  folder: string,
  role: ModelRole,
  fault: PlantedFault | null,
  options: { preallocates?: boolean } = {},
): Promise<Outcome> {
  const model = await modelInProcess(folder, role, fault?.name ?? null, options);
  try {
    const { verdicts } = await runSuite({
      target: model.target,
      programs: model.programs,
      pace: { ...PACE, leaseMs: leaseOf(fault) },
      epoch: 1,
      ...(fault !== null && !WHOLE.has(fault.name) && { only: [fault.promise] }),
    });
    return { verdicts, heldAfter: model.heldFor() };
  } finally {
    model.close();
  }
}

/** What was not found kept; the model of another role than a node has no clients. */
function unkept(verdicts: readonly Verdict[]): readonly string[] {
  return verdicts
    .filter(
      ({ result, seen }) => result === 'broken' || (result === 'not-tried' && !seen.startsWith('needs --')),
    )
    .map(({ id, result, seen }) => `${result} ${id}: ${seen}`);
}

/** Promises × planted faults, as a table. */
function tableOfFaults(): string {
  const rows = PROMISES.map(({ id }) => {
    const names = FAULTS.filter(({ promise }) => promise === id).map(({ name }) => name);
    return `| \`${id}\` | ${names.length} | ${names.join(', ')} |`;
  });
  return ['| promise | faults | planted |', '| --- | --- | --- |', ...rows, ''].join('\n');
}
