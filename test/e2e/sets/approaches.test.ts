import { expect } from 'chai';
import type { HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import type { RestoreReport } from '../../../coordinator/reports.ts';
import { checkOrder, type CausalClients, type Write } from '../../lab/causal-clients.ts';
import { until } from '../../lab/processes.ts';
import { referenceShards } from '../../lab/shards.ts';
import { keyOf, SetsLab } from '../../lab/sets-lab.ts';

// Goal: copies that operators make with a tool that knows nothing of us are brought to one moment by each of the three
// approaches, and a wrong use is refused before a file is written. Method: real nodes of the contract, clients whose writes
// have causes, `cp`, and the real commands.

const HOSTS = ['127.0.65.1', '127.0.65.2'];

describe('a grid that its operator copies', () => {
  let lab: SetsLab;
  let clients: CausalClients | null = null;
  const all: Write[] = [];

  before(async () => {
    lab = await SetsLab.launch(HOSTS);
  });

  afterEach(() => quiet());
  after(() => lab?.close());

  async function quiet(): Promise<void> {
    await clients?.stop();
    all.push(...(clients?.writes ?? []));
    clients = null;
  }

  async function writing(): Promise<readonly Write[]> {
    clients = await lab.clients();
    return clients.writes;
  }

  async function moreWrites(): Promise<void> {
    const from = clients?.writes.length ?? 0;
    await until('more writes', () => (clients?.writes.length ?? 0) > from + 100);
  }

  /** Restores, and holds what the grid shows then against what its clients saw: nothing missing, no B without its A. */
  async function restored(
    checkpoint: string,
    set: string,
    times: { readonly before: number; readonly after: number },
  ): Promise<void> {
    await quiet();
    const report = await lab.done<RestoreReport>('restore', checkpoint, '--set', set, '--stop', '--yes');
    expect(report).to.deep.include({ checkpoint, set, verified: true });
    await lab.lab.reference.healthy();
    const shards = referenceShards(lab.lab.reference, ['a', 'b']);
    const order = await checkOrder(shards, all, times.before);
    expect(order).to.include({ missing: 0, withoutCause: 0 });
    expect(order.found).to.be.greaterThan(100);
    const shown = await lab.shown();
    const late = all.filter(({ sentAt }) => sentAt > times.after);
    expect(late.length, 'writes after the mark').to.be.greaterThan(50);
    expect(late.filter((write) => shown.has(keyOf(write)))).to.deep.equal([]);
    // What a restore took back is no cause of anything any more.
    all.splice(0, all.length, ...all.filter((write) => shown.has(keyOf(write))));
  }

  it('comes back from copies of different times and the journals up to a later checkpoint, and no further [S57] [S56]', async () => {
    await writing();
    for (const member of ['a1', 'b1']) {
      const copied = lab.copyLine([member], 'monday');
      await lab.done('set', 'begin', 'monday', member);
      await lab.done('freeze', '--', 'sh', '-c', copied);
      await lab.done('set', 'end', 'monday', member, '--image', 'monday');
      await moreWrites();
    }
    const before = performance.now();
    const { checkpoint } = await lab.done<HoldReport>('journal-checkpoint');
    const after = performance.now();
    await moreWrites();
    await restored(checkpoint, 'monday', { before, after });
  });

  it('comes back from copies that a quiesce was held for, and from nothing else [S60] [S56]', async () => {
    await writing();
    const before = performance.now();
    const report = await lab.done<HoldReport>(
      'quiesce',
      '--set',
      'tuesday',
      '--image',
      '{set}',
      '--',
      'sh',
      '-c',
      lab.copyLine(['a1', 'b1'], 'tuesday'),
    );
    const after = performance.now();
    expect(report.set?.problems).to.deep.equal([]);
    expect(report.set?.images.map(({ member }) => member)).to.deep.equal(['a1', 'b1']);
    await moreWrites();
    // Journals of later lie where the agent's file says, and are none of this.
    await restored(report.checkpoint, 'tuesday', { before, after });
  });

  it('comes back from copies that a freeze was held for and the journal in them, though clients went on [S64] [S90] [S56]', async () => {
    await writing();
    const before = performance.now();
    const line = `${lab.copyLine(['a1', 'b1'], 'wednesday')} && sleep 0.5`;
    const report = await lab.done<HoldReport>(
      'freeze',
      '--set',
      'wednesday',
      '--image',
      '{set}',
      '--',
      'sh',
      '-c',
      line,
    );
    const after = performance.now();
    await moreWrites();
    await restored(report.checkpoint, 'wednesday', { before, after });
  });

  it('comes back from copies that were made with all nodes shut down, equal to a quiesce [S61] [S56]', async () => {
    await writing();
    await moreWrites();
    await quiet();
    const before = performance.now();
    const nodes = ['a1', 'b1'].map((name) => lab.lab.reference.process(name));
    await Promise.all(nodes.map((node) => node.stop()));
    await lab.done('set', 'begin', 'thursday');
    const ended: { cold: string | null }[] = [];
    for (const member of ['a1', 'b1']) {
      lab.copy(member, 'thursday');
      ended.push(await lab.done('set', 'end', 'thursday', member, '--image', 'thursday'));
    }
    await Promise.all(nodes.map((node) => node.start()));
    await lab.lab.reference.healthy();
    const after = performance.now();
    expect(ended[0]?.cold).to.equal(null);
    const { cold } = ended[1] ?? {};
    expect(cold).to.match(/_thursday$/);
    await writing();
    await restored(cold ?? '', 'thursday', { before, after });
  });
});
