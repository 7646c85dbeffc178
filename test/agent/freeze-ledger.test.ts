import { expect } from 'chai';
import type { Failure } from '../../shared/domain/errors.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Spending } from '../../agent/freeze-budget.ts';
import { FreezeLedger } from '../../agent/freeze-ledger.ts';
import { until } from '../lab/processes.ts';

// Goal: what an agent charges for a freeze is on disk before anybody is held, is corrected afterwards, and is
// never less than what was used, whenever the agent is killed.

const START = 29_000_000 * 60_000;

/** A host whose disk and clocks the test holds; `restart` is the next agent on the same disk. */
function host(budget = { perHour: 3, totalMs: 10_000 }) {
  const disk = { spent: [] as Spending, full: false };
  const clock = { wall: START, monotonic: 500 };
  const restart = (): FreezeLedger =>
    new FreezeLedger({
      budget,
      host: 'alpha',
      spent: disk.spent,
      save: (spending) => {
        if (disk.full) return Promise.reject(new Error('no space'));
        disk.spent = spending;
        return Promise.resolve();
      },
      wallNow: () => clock.wall,
      monotonicNow: () => clock.monotonic,
    });
  const pass = (ms: number): void => {
    clock.wall += ms;
    clock.monotonic += ms;
  };
  const heldOnDisk = (): number => disk.spent.reduce((sum, { heldMs }) => sum + heldMs, 0);
  return { disk, clock, restart, pass, heldOnDisk, ledger: restart() };
}

async function failureOf(charging: Promise<unknown>): Promise<Failure | null> {
  return charging.then(
    () => null,
    (error: unknown) => (error instanceof StillpointError ? error.failure : null),
  );
}

describe('the ledger of freezes', () => {
  it('charges the whole lease before, and what was used after', async () => {
    const { ledger, pass, heldOnDisk } = host();
    const charge = await ledger.charge(4000);
    expect(heldOnDisk()).to.equal(4000);
    charge.held(() => undefined);
    pass(7);
    charge.release();
    await until('the correction', () => heldOnDisk() === 7);
    charge.end();
    const unused = await ledger.charge(4000);
    unused.end();
    await until('the other correction', () => heldOnDisk() === 7);
  });

  it('refuses when all is spent, says when the next is allowed, and allows it then', async () => {
    const { ledger, pass } = host();
    for (let attempt = 0; attempt < 3; attempt += 1) (await ledger.charge(1000)).end();
    expect(ledger.refusal()).to.include({ code: 'freeze-budget-spent', host: 'alpha' });
    const refused = await failureOf(ledger.charge(1000));
    expect(refused?.message).to.include('allowed in 3660 s');
    expect(refused).to.include({ isFinal: true });
    pass(3_660_000);
    expect(ledger.refusal()).to.equal(null);
  });

  it('is at least as strict after the agent was killed, whatever it was doing', async () => {
    const grid = host();
    const charge = await grid.ledger.charge(4000);
    charge.held(() => undefined);
    grid.pass(100);
    // Killed here: nobody corrects.
    const second = grid.restart();
    await second.charge(4000);
    const third = grid.restart();
    await third.charge(4000);
    expect(grid.heldOnDisk()).to.equal(10_000);
    expect(grid.restart().refusal()).to.include({ code: 'freeze-budget-spent' });
    charge.release();
  });

  it('does not lock a grid for longer than an hour when the clock was set back in between', async () => {
    const grid = host();
    for (let attempt = 0; attempt < 3; attempt += 1) (await grid.ledger.charge(1)).end();
    grid.clock.wall -= 400 * 24 * 3_600_000;
    const next = grid.restart();
    expect(next.refusal()).to.include({ code: 'freeze-budget-spent' });
    grid.clock.monotonic += 3_660_000;
    expect(next.refusal()).to.equal(null);
  });

  it('does not see the wall clock while it runs', async () => {
    const { ledger, clock } = host();
    for (let attempt = 0; attempt < 3; attempt += 1) (await ledger.charge(1)).end();
    clock.wall += 10 * 3_600_000;
    expect(ledger.refusal()).to.include({ code: 'freeze-budget-spent' });
  });

  it('ends a hold that words renew for too long, and has charged it ahead', async () => {
    const { ledger, pass, heldOnDisk } = host({ perHour: 100, totalMs: 1000 });
    const charge = await ledger.charge(40);
    let failure: Failure | null = null;
    charge.held((why) => (failure = why));
    pass(900);
    await until('it to be charged ahead', () => heldOnDisk() > 900);
    expect(failure).to.equal(null);
    pass(100);
    await until('the end', () => failure !== null);
    expect(failure).to.include({ code: 'freeze-budget-spent' });
    charge.release();
    expect(ledger.refusal()).to.include({ code: 'freeze-budget-spent' });
  });

  it('charges nothing that it cannot write, and nobody is frozen then', async () => {
    const { ledger, disk } = host();
    disk.full = true;
    const error = await ledger.charge(1000).catch((thrown: unknown) => thrown);
    expect(error).to.be.an('error').with.property('message', 'no space');
  });
});
