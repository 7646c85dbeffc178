import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import type { AbleMember } from '../../../coordinator/reports.ts';
import type { EndedReport, SetReport } from '../../../coordinator/sets/set-reports.ts';
import type { Failure } from '../../../shared/domain/errors.ts';
import { CLIENTS, type History, type Moment } from '../../lab/history.ts';
import { PostgresSetsLab } from '../../lab/postgres-sets-lab.ts';
import { until } from '../../lab/processes.ts';
import { restored } from './restored.ts';

// Goal: what docs/sharded-cluster.md says of PostgreSQL holds by the commands: base backups of any time, copies while
// commits wait and copies of servers that are shut down come back to one moment; where PostgreSQL cannot be held it is told
// beforehand. Method: real servers, one of them a standby, that archive; pg_basebackup, tar and cp; clients whose writes
// have causes; the real commands and agents.

const HOSTS = ['127.0.82.1', '127.0.82.2'];
const PRIMARIES = ['aa', 'ba'];

describe('a grid of PostgreSQL that its operator copies', function () {
  this.timeout(300_000);
  let lab: PostgresSetsLab;
  let history: History;

  before(async () => {
    lab = await PostgresSetsLab.launch(HOSTS);
    ({ history } = lab);
  });

  afterEach(() => history?.stop());
  after(() => lab?.close());

  async function expectRestored(checkpoint: string, set: string, moment: Moment): Promise<void> {
    await restored(lab, { checkpoint, set }, moment);
    // Built from the image of its primary.
    const [primary, standby] = [lab.grid.member('aa'), lab.grid.member('ab')];
    const rows = await lab.rowsOf(primary);
    await until('the standby to show the same', async () => (await lab.rowsOf(standby)) === rows);
  }

  async function expectRefused(
    { set, checkpoint }: { set: string; checkpoint: string },
    code: string,
    words: RegExp,
  ): Promise<void> {
    const { code: exit, stdout } = await lab.run('restore', checkpoint, '--set', set, '--stop', '--yes');
    expect(exit, stdout).to.equal(3);
    const { error } = JSON.parse(stdout) as { error: Failure };
    expect(error).to.include({ code: 'set-unfit', phase: 'plan' });
    expect(error.message).to.match(words);
    for (const { name, server } of lab.grid.members) expect(existsSync(server.data), name).to.equal(false);
    for (const { log } of lab.grid.hosts) expect(readFileSync(log, 'utf8')).not.to.contain('"step":"stage"');
    const report = await lab.done<SetReport>('set', 'describe', set, '--for', checkpoint, '--look');
    expect(report.for?.approach).to.equal(null);
    expect([...new Set(report.for?.reasons.map((reason) => reason.code))]).to.deep.equal([code]);
  }

  it('is told what to use where PostgreSQL cannot be held, with nobody touched [S68]', async () => {
    const asked = { freeze: 'freeze-unsupported', quiesce: 'reads-go-on' } as const;
    const instead = {
      freeze: /pg_basebackup.*stillpoint journal-checkpoint/,
      quiesce: /stillpoint quiesce --allow-reads.*shut every server down/,
    };
    const { operations } = await lab.done<{ operations: AbleMember[] }>('grid', 'doctor');
    expect(operations.map(({ name }) => name)).to.deep.equal(PRIMARIES);
    for (const able of operations)
      expect(able).to.include({ journalCheckpoint: null, quiesceAllowingReads: null });
    for (const what of ['freeze', 'quiesce'] as const) {
      const ran = join(lab.images('aa'), what);
      const { code, stdout } = await lab.run(what, '--', 'mkdir', ran);
      expect(code, stdout).to.equal(3);
      const { error } = JSON.parse(stdout) as { error: Failure };
      expect(error.code).to.equal(asked[what]);
      expect(error.hint).to.match(instead[what]);
      for (const able of operations) expect(able[what]?.code).to.equal(asked[what]);
      expect(existsSync(ran)).to.equal(false);
    }
    await lab.grid.expectUntouched();
  });

  it('comes back from base backups of different times and the journals up to a later checkpoint, and no further, when nothing else is left of it [S57] [S56] [S58] [S59]', async () => {
    await history.begin();
    const set = 'monday';
    let early = '';
    const ended: EndedReport[] = [];
    for (const member of PRIMARIES) {
      await lab.done('set', 'begin', set, member);
      await lab.backUp(member, set);
      ended.push(await lab.done('set', 'end', set, member, '--image', set));
      await history.more();
      if (early === '') early = (await lab.done<HoldReport>('journal-checkpoint')).checkpoint;
    }
    const { server } = lab.grid.member('ba');
    await server.query('SELECT pg_switch_wal()');
    await history.more();
    const before = performance.now();
    const { checkpoint, journalMap } = await lab.done<HoldReport>('journal-checkpoint');
    const after = performance.now();
    await history.more();
    for (const name of PRIMARIES) {
      const { host, port } = lab.grid.member(name).server;
      await lab.archived(name, journalMap[`${host}:${port}`] ?? '');
    }
    const mark = journalMap[`${server.host}:${server.port}`] ?? '';
    const copied = ended[1]?.read?.journalFiles.at(-1) ?? '';
    const needed = readdirSync(lab.journals('ba')).filter(
      (name) => /^[0-9A-F]{24}$/.test(name) && copied < name && name <= mark,
    );
    await lab.destroy();
    await history.stop();

    await expectRefused(
      { set, checkpoint: early },
      'backup-after-checkpoint',
      /too old for the backup of ba/,
    );
    expect(needed).to.include(mark);
    for (const name of needed) {
      const [kept, gone] = [join(lab.journals('ba'), name), join(lab.images('ba'), name)];
      renameSync(kept, gone);
      await expectRefused({ set, checkpoint }, 'journal-missing', new RegExp(`ba: .*${name}`));
      renameSync(gone, kept);
    }
    await expectRestored(checkpoint, set, { before, after });
  });

  it('comes back from base backups that were made while commits waited and reads went on, and from nothing else [S60] [S68] [S56]', async () => {
    await history.begin();
    const set = 'tuesday';
    const copies = await Promise.all(PRIMARIES.map((member) => lab.baseBackup(member, set)));
    const [copied, seen] = [join(lab.images('aa'), 'copied'), join(lab.images('aa'), 'seen')];
    const line = [
      ...copies.map((words) => words.join(' ')),
      `touch ${copied}`,
      `while [ -e ${copied} ] && [ ! -e ${seen} ]; do sleep 0.05; done`,
    ].join(' && ');
    const before = performance.now();
    const quiesced = lab.done<HoldReport>(
      'quiesce',
      '--allow-reads',
      '--set',
      set,
      '--image',
      '{set}',
      '--',
      'sh',
      '-c',
      line,
    );
    await Promise.race([quiesced, until('the copies', () => existsSync(copied))]);
    // All of them, at one server or the other; who reads does not wait.
    await until('the clients to wait', async () => (await lab.waitingCommits()) === CLIENTS);
    expect(await lab.rowsOf(lab.grid.member('ba'))).to.be.greaterThan(50);
    writeFileSync(seen, '');
    const report = await quiesced;
    const after = performance.now();
    expect(report.set?.problems).to.deep.equal([]);
    expect(report.set?.images.map(({ member }) => member)).to.deep.equal(PRIMARIES);
    await history.more();
    await expectRestored(report.checkpoint, set, { before, after });
  });

  it('comes back from copies that were made with all servers shut down, equal to a quiesce, and from nothing else [S61] [S62] [S56]', async () => {
    await history.begin();
    await history.stop();
    const set = 'thursday';
    const before = performance.now();
    const fast = await lab.tablespace();
    for (const { server } of lab.grid.members) server.stop();
    await lab.done('set', 'begin', set);
    execFileSync('cp', ['-a', lab.grid.member('aa').server.data, join(lab.images('aa'), set)]);
    const first = await lab.done<EndedReport>('set', 'end', set, 'aa', '--image', set);
    expect(first.cold).to.equal(null);
    copyByTar(lab.grid.member('ba').server.data, join(lab.images('ba'), set));
    copyByTar(fast, join(lab.images('ba'), `${set}.fast`));
    const [oid = ''] = readdirSync(join(lab.images('ba'), set, 'pg_tblspc'));
    execFileSync('ln', [
      '-sfn',
      join(lab.images('ba'), `${set}.fast`),
      join(lab.images('ba'), set, 'pg_tblspc', oid),
    ]);
    const { cold } = await lab.done<EndedReport>('set', 'end', set, 'ba', '--image', set);
    for (const { server } of lab.grid.members) await server.start();
    const after = performance.now();
    expect(cold).to.match(/_thursday$/);
    await history.begin();
    await expectRestored(cold ?? '', set, { before, after });
  });
});

function copyByTar(from: string, to: string): void {
  mkdirSync(to, { mode: 0o700 });
  execFileSync('sh', ['-c', `tar -C '${from}' -cf - . | tar -C '${to}' -xpf -`]);
}
