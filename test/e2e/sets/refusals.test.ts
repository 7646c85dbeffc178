import { expect } from 'chai';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HeldGrid, HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import type { JudgedReport, SetReport } from '../../../coordinator/sets/set-reports.ts';
import type { Failure } from '../../../shared/domain/errors.ts';
import { until } from '../../lab/processes.ts';
import { SetsLab } from '../../lab/sets-lab.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: what would bring members to different moments is refused with every reason before a file is written, whatever the
// operator did wrong. Method: real nodes, `cp`, the real commands; one mistake at a time.

const HOSTS = ['127.0.66.1', '127.0.66.2'];
const NODES = ['a1', 'b1'];

describe('copies of a grid that do not belong together', () => {
  let lab: SetsLab;
  const folder = temporaryFolder('refusals');
  let sets = 0;
  let jobs = 0;

  before(async () => {
    lab = await SetsLab.launch(HOSTS);
    await lab.history.begin();
    await lab.history.stop();
  });

  after(async () => {
    await lab?.close();
    folder.remove();
  });

  /** A name that no set has yet. */
  const newSet = (): string => `set-${(sets += 1)}`;

  /** A set that is whole, of copies that were made while this held. */
  async function heldSet(what: 'quiesce' | 'freeze'): Promise<{ set: string; checkpoint: string }> {
    const set = newSet();
    const { checkpoint, set: made } = await lab.done<HoldReport>(
      what,
      '--set',
      set,
      '--image',
      '{set}',
      '--',
      'sh',
      '-c',
      lab.copyLine(NODES, set),
    );
    expect(made?.problems).to.deep.equal([]);
    return { set, checkpoint };
  }

  /** Refused with these codes and words, by the command that looks and by the one that restores; nothing was staged. */
  async function expectRefused(
    { set, checkpoint }: { set: string; checkpoint: string },
    codes: readonly string[],
    words: RegExp,
  ): Promise<void> {
    const staged = stages();
    const restored = await lab.run('restore', checkpoint, '--set', set, '--stop', '--yes');
    const { error } = restored.json as { error: Failure };
    expect(restored.code, restored.stdout).to.equal(3);
    expect(error).to.include({ code: 'set-unfit', phase: 'plan' });
    expect(error.message).to.match(words);
    expect(stages()).to.equal(staged);
    for (const name of NODES) expect(lab.lab.reference.process(name).running, name).to.equal(true);
    const report = await lab.done<SetReport>('set', 'describe', set, '--for', checkpoint, '--look');
    const { approach, reasons } = report.for as JudgedReport;
    expect(approach).to.equal(null);
    expect([...new Set(reasons.map(({ code }) => code))]).to.have.members(codes);
  }

  /** How often an agent was told to put something on its host. */
  function stages(): number {
    const logs = lab.lab.grid.hosts.map(({ log }) => readFileSync(log, 'utf8'));
    return logs.join('\n').split('"step":"stage"').length - 1;
  }

  const journalOf = (member: string, set: string): string => join(lab.images(member), set, 'live/journal');

  it('are refused where the journal checkpoint is older than the last of them [S58]', async () => {
    const { checkpoint } = await lab.done<HoldReport>('journal-checkpoint');
    const { set } = await heldSet('freeze');
    await expectRefused({ set, checkpoint }, ['backup-after-checkpoint'], /too old for the backup of a1/);
  });

  it('are refused where a journal file between a copy and the checkpoint is gone [S59]', async () => {
    const { set } = await heldSet('freeze');
    await lab.done('journal-checkpoint');
    const { checkpoint, journalMap } = await lab.done<HoldReport>('journal-checkpoint');
    const ended = journalMap[lab.lab.reference.process('b1').address] ?? '';
    await until('the journal to be kept', () => existsSync(join(lab.journals('b1'), ended)));
    rmSync(join(lab.journals('b1'), ended));
    await expectRefused({ set, checkpoint }, ['journal-missing'], /b1: journal .* is missing: /);
  });

  it('are refused where a journal of later lies in one that was copied in a quiesce [S62]', async () => {
    const set = newSet();
    const { checkpoint } = await holding('quiesce', async () => {
      await lab.done('set', 'begin', set);
      for (const member of NODES) {
        lab.copy(member, set);
        await lab.done('set', 'end', set, member, '--image', set, '--read-later');
      }
    });
    const later = await endedJournal('a1');
    copyFileSync(join(lab.journals('a1'), later), join(journalOf('a1', set), later));
    for (const member of NODES) await lab.done('set', 'end', set, member, '--image', set);
    await expectRefused(
      { set, checkpoint },
      ['journal-foreign'],
      new RegExp(`a1: the journal file ${later}`),
    );
  });

  it('are refused where a file came to one, or is another, after it was read [S62]', async () => {
    const quiesced = await heldSet('quiesce');
    const later = await endedJournal('a1');
    copyFileSync(join(lab.journals('a1'), later), join(journalOf('a1', quiesced.set), later));
    await expectRefused(quiesced, ['image-changed'], new RegExp(`${later} of the image`));
    const frozen = await heldSet('freeze');
    const [file = ''] = readdirSync(journalOf('b1', frozen.set));
    writeFileSync(join(journalOf('b1', frozen.set), file), 'another');
    await expectRefused(frozen, ['image-changed'], new RegExp(`${file} of the image`));
  });

  it('are refused where one began before the freeze held, or ended after it was let go of [S65]', async () => {
    const [early, late] = [newSet(), newSet()];
    await lab.done('set', 'begin', early, 'a1');
    const { checkpoint } = await holding('freeze', async () => {
      await lab.done('set', 'begin', early, 'b1');
      await lab.done('set', 'begin', late);
      for (const set of [early, late]) for (const member of NODES) lab.copy(member, set);
      for (const member of NODES) await lab.done('set', 'end', early, member, '--image', early);
      await lab.done('set', 'end', late, 'a1', '--image', late);
    });
    await lab.done('set', 'end', late, 'b1', '--image', late);
    const codes = ['backup-outside-hold'];
    await expectRefused({ set: early, checkpoint }, codes, /the backup of a1 began when \S+ did not hold/);
    await expectRefused({ set: late, checkpoint }, codes, /the backup of b1 ended when \S+ had let go/);
  });

  it('are refused where the journal that ended at the freeze is not in one [S66]', async () => {
    const set = newSet();
    const addressOfB1 = lab.lab.reference.process('b1').address;
    const { checkpoint, journalMap } = await holding('freeze', async (held) => {
      await lab.done('set', 'begin', set);
      for (const member of NODES) lab.copy(member, set);
      rmSync(join(journalOf('b1', set), held.journalMap[addressOfB1] ?? ''));
      for (const member of NODES) await lab.done('set', 'end', set, member, '--image', set);
    });
    const ended = journalMap[addressOfB1] ?? '';
    const codes = ['journal-not-in-image'];
    await expectRefused({ set, checkpoint }, codes, new RegExp(`b1: the journal file ${ended}, which ended`));
  });

  it('are refused where the job that froze was killed: nothing proves that it held [S75] [S91]', async () => {
    const set = newSet();
    let checkpoint = '';
    await holding(
      'freeze',
      async (held) => {
        ({ checkpoint } = held);
        await lab.done('set', 'begin', set);
        for (const member of NODES) lab.copy(member, set);
        for (const member of NODES) await lab.done('set', 'end', set, member, '--image', set);
      },
      'SIGKILL',
    );
    await until('the grid to be free', async () => (await lab.run('journal-checkpoint')).code === 0);
    const { problems, restorable } = await lab.done<SetReport>('set', 'describe', set);
    expect(problems.map(({ code }) => code)).to.deep.equal(['hold-not-proven']);
    expect(restorable).to.deep.equal([]);
    const later = (await lab.done<HoldReport>('journal-checkpoint')).checkpoint;
    for (const id of [checkpoint, later])
      await expectRefused(
        { set, checkpoint: id },
        ['hold-not-proven'],
        /nothing proves that .* held to its end/,
      );
  });

  it('are refused where a member has none, and where an agent cannot find one', async () => {
    const { set, checkpoint } = await heldSet('freeze');
    rmSync(join(lab.images('a1'), set), { recursive: true });
    await expectRefused({ set, checkpoint }, ['image-missing'], /a1 has no image/);
    const alone = newSet();
    const frozen = await holding('freeze', async () => {
      await lab.done('set', 'begin', alone, 'a1');
      lab.copy('a1', alone);
      await lab.done('set', 'end', alone, 'a1', '--image', alone);
    });
    await expectRefused(
      { set: alone, checkpoint: frozen.checkpoint },
      ['backup-missing'],
      /b1 has no backup/,
    );
  });

  /** Held by a command that is told to end, or killed, when the work is done. */
  async function holding(
    what: 'quiesce' | 'freeze',
    work: (held: HeldGrid) => Promise<void>,
    end: NodeJS.Signals = 'SIGTERM',
  ): Promise<HoldReport> {
    const info = join(folder.path, `${what}-${(jobs += 1)}.json`);
    const job = lab.lab.grid.begin([what, '--info', info, '--output', 'json', '--quiet']);
    await until('the grid to be held', () => existsSync(info));
    try {
      await work(JSON.parse(readFileSync(info, 'utf8')) as HeldGrid);
    } finally {
      job.signal(end);
    }
    const { code, stdout } = await job.finished;
    if (end === 'SIGTERM') expect(code, stdout).to.equal(0);
    return JSON.parse(stdout || '{}') as HoldReport;
  }

  /** A journal file of a member that ended after all that was copied before. */
  async function endedJournal(member: string): Promise<string> {
    await lab.done('journal-checkpoint');
    const { journalMap } = await lab.done<HoldReport>('journal-checkpoint');
    const ended = journalMap[lab.lab.reference.process(member).address] ?? '';
    await until('the journal to be kept', () => existsSync(join(lab.journals(member), ended)));
    return ended;
  }
});
