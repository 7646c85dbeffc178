import { expect } from 'chai';
import type { HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import type { History, Moment } from '../../lab/history.ts';
import { SetsLab } from '../../lab/sets-lab.ts';
import { restored } from './restored.ts';

// Goal: copies that operators make with a tool that knows nothing of us are brought to one moment by each of the three
// approaches, and a wrong use is refused before a file is written. Method: real nodes of the contract, clients whose writes
// have causes, `cp`, and the real commands.

const HOSTS = ['127.0.65.1', '127.0.65.2'];

describe('a grid that its operator copies', () => {
  let lab: SetsLab;
  let history: History;

  before(async () => {
    lab = await SetsLab.launch(HOSTS);
    ({ history } = lab);
  });

  afterEach(() => history?.stop());
  after(() => lab?.close());

  const expectRestored = (checkpoint: string, set: string, moment: Moment): Promise<void> =>
    restored(lab, { checkpoint, set }, moment, () => lab.lab.reference.healthy());

  it('comes back from copies of different times and the journals up to a later checkpoint, and no further [S57] [S56]', async () => {
    await history.begin();
    for (const member of ['a1', 'b1']) {
      const copied = lab.copyLine([member], 'monday');
      await lab.done('set', 'begin', 'monday', member);
      await lab.done('freeze', '--', 'sh', '-c', copied);
      await lab.done('set', 'end', 'monday', member, '--image', 'monday');
      await history.more();
    }
    const before = performance.now();
    const { checkpoint } = await lab.done<HoldReport>('journal-checkpoint');
    const after = performance.now();
    await history.more();
    await expectRestored(checkpoint, 'monday', { before, after });
  });

  it('comes back from copies that a quiesce was held for, and from nothing else [S60] [S56]', async () => {
    await history.begin();
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
    await history.more();
    // Journals of later lie where the agent's file says, and are none of this.
    await expectRestored(report.checkpoint, 'tuesday', { before, after });
  });

  it('comes back from copies that a freeze was held for and the journal in them, though clients went on [S64] [S90] [S56]', async () => {
    await history.begin();
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
    await history.more();
    await expectRestored(report.checkpoint, 'wednesday', { before, after });
  });

  it('comes back from copies that were made with all nodes shut down, equal to a quiesce [S61] [S56]', async () => {
    await history.begin();
    await history.more();
    await history.stop();
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
    await history.begin();
    await expectRestored(cold ?? '', 'thursday', { before, after });
  });
});
