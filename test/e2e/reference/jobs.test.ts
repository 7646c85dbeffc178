import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HeldGrid, HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import type { Failure } from '../../../shared/domain/errors.ts';
import { Hooks } from '../../lab/hooks.ts';
import type { RunningCommand } from '../../lab/processes.ts';
import { until } from '../../lab/processes.ts';
import { expectFree, expectWrites, heldBy } from '../../lab/reference-checks.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: operators hold a grid for tools of their own by commands, and whatever happens to the command, the grid runs again
// and nobody takes the copies for good. Method: the real commands on real nodes of the native contract.

const HOSTS = ['127.0.64.1', '127.0.64.2'];
const JSON_OUTPUT = ['--output', 'json'];
const NODES = ['a1', 'b1'];
const LEASE_S = 3;

describe('a job that holds a grid of nodes', () => {
  const folder = temporaryFolder('jobs');
  let lab: ReferenceLab;

  before(async () => {
    lab = await createReferenceLab({
      hosts: HOSTS,
      copysets: { a: 1, b: 1 },
      keepers: 1,
      satellites: 0,
      proxies: 1,
      leaseSeconds: LEASE_S,
    });
    // Its lineage is known, and every way was gone once.
    expect((await lab.grid.run(['checkpoint', 'create', 'first', ...JSON_OUTPUT])).code).to.equal(0);
  });

  after(async () => {
    await lab?.close();
    folder.remove();
  });

  const file = (name: string): string => join(folder.path, name);
  const messagesOf = (name: string): string =>
    readFileSync(join(lab.reference.process(name).dataDirectory, 'messages.log'), 'utf8');
  const quiescedNodes = async (): Promise<boolean[]> =>
    Promise.all(NODES.map(async (name) => (await heldBy(lab.reference.process(name))).quiesced));

  /** Resolves with what is known while it holds. */
  async function held(
    name: string,
    what: string,
    ...args: readonly string[]
  ): Promise<{ job: RunningCommand; info: HeldGrid }> {
    const path = file(`${name}.json`);
    const job = lab.grid.begin([what, '--info', path, ...JSON_OUTPUT, ...args]);
    let ended = false;
    void job.finished.then(() => (ended = true));
    await until(`${name} to hold`, () => ended || existsSync(path));
    if (ended) throw new Error(`it ended: ${(await job.finished).stdout} ${job.stderr()}`);
    return { job, info: JSON.parse(readFileSync(path, 'utf8')) as HeldGrid };
  }

  async function failed(running: RunningCommand): Promise<{ code: number | null; error: Failure }> {
    const { code, json } = await running.finished;
    return { code, error: (json as { error: Failure }).error };
  }

  it('[S73] quiesces every node, and nobody else, until SIGTERM; the result has number and journals', async () => {
    const { job, info } = await held('quiesce', 'quiesce');
    expect(await quiescedNodes()).to.deep.equal([true, true]);
    for (const { name, role } of lab.reference.processes)
      if (role !== 'node') expect((await heldBy(lab.reference.process(name))).quiesced).to.equal(false);
    expect(job.stderr()).to.include(info.job).and.include(`stillpoint resume --job ${info.job}`);
    job.signal('SIGTERM');
    const { code, json } = await job.finished;
    const report = json as HoldReport;
    expect(code).to.equal(0);
    expect(report).to.deep.include({ state: 'resumed', job: info.job, number: info.number });
    expect(report.journalMap).to.deep.equal(info.journalMap);
    expect(Object.keys(report.journalMap)).to.have.members(
      NODES.map((name) => lab.reference.process(name).address),
    );
    await expectWrites(lab);
  });

  it('[S76] [S78] switches every node to a new journal file, named in its own log with the number', async () => {
    const first = await lab.grid.run(['journal-checkpoint', ...JSON_OUTPUT]);
    expect(first.code).to.equal(0);
    const second = (await lab.grid.run(['journal-checkpoint', ...JSON_OUTPUT])).json as HoldReport;
    const { number, journalMap } = first.json as HoldReport;
    expect(second.number).to.equal(number + 1);
    for (const name of NODES) {
      const { address } = lab.reference.process(name);
      expect(second.journalMap[address]).not.to.equal(journalMap[address]);
      expect(messagesOf(name)).to.match(
        new RegExp(`${journalMap[address]}.*${number}|${number}.*${journalMap[address]}`),
      );
    }
  });

  it('runs a program while all is held, with the job in its environment, and passes on its exit code', async () => {
    const script = `echo "$STILLPOINT_JOB $STILLPOINT_CHECKPOINT" > ${file('said')}; exit 7`;
    const { code, json } = await lab.grid.run(['quiesce', ...JSON_OUTPUT, '--', 'sh', '-c', script]);
    const report = json as HoldReport;
    expect(code).to.equal(7);
    expect(report).to.deep.include({ state: 'resumed', command: { exitCode: 7 } });
    expect(readFileSync(file('said'), 'utf8')).to.equal(`${report.job} ${report.checkpoint}\n`);
  });

  it('[S91] freezes until it is thawed from elsewhere, which says resumed; the next says already resumed', async () => {
    const { job, info } = await held('freeze', 'freeze', '--time-out', '0');
    for (const name of NODES)
      expect((await heldBy(lab.reference.process(name))).writingSuspended).to.equal(true);
    await expectWrites(lab);
    const thawed = await lab.grid.run(['thaw', ...JSON_OUTPUT]);
    expect(thawed.code).to.equal(0);
    expect(thawed.json).to.deep.include({ state: 'resumed', job: info.job, number: info.number });
    expect((await job.finished).code).to.equal(0);
    for (const name of NODES) {
      const lines = messagesOf(name)
        .split('\n')
        .filter((line) => line.includes('ExternalThaw'));
      expect(lines.slice(-2).map((line) => line.replace(/^.*Backup/, 'Backup'))).to.deep.equal([
        'Backup.General.ExternalThaw: Resuming system',
        'Backup.General.ExternalThaw: System resumed',
      ]);
    }
    const again = await lab.grid.run(['thaw', ...JSON_OUTPUT]);
    expect(again.code).to.equal(6);
    expect((again.json as { error: Failure }).error.message).to.include('already resumed');
    for (const name of NODES) expect(messagesOf(name).trimEnd()).to.match(/ExternalThaw: Already resumed$/);
  });

  it('[S74] resumes for its token alone; a second job is refused while it holds', async () => {
    const { job, info } = await held('token', 'quiesce', '--allow-reads');
    const wrong = await lab.grid.run(['resume', '--job', 'another-token', ...JSON_OUTPUT]);
    expect(wrong.code).to.equal(3);
    expect((wrong.json as { error: Failure }).error).to.include({ code: 'other-job' });
    const second = await lab.grid.run(['freeze', ...JSON_OUTPUT]);
    expect(second.code).to.equal(3);
    expect((second.json as { error: Failure }).error).to.include({ code: 'grid-busy' });
    expect(await quiescedNodes()).to.deep.equal([true, true]);
    const right = await lab.grid.run(['resume', '--job', info.job, ...JSON_OUTPUT]);
    expect(right.code).to.equal(0);
    expect(right.json).to.deep.include({ state: 'resumed', checkpoint: info.checkpoint });
    expect((await job.finished).code).to.equal(0);
  });

  it('ends by force for whoever asks, and both are told that the copies are worth nothing', async () => {
    const { job } = await held('forced', 'quiesce');
    const { code, json } = await lab.grid.run(['resume', '--force', ...JSON_OUTPUT]);
    expect(code).to.equal(6);
    expect((json as { error: Failure }).error).to.include({ code: 'forced' });
    const told = await failed(job);
    expect(told.code).to.equal(4);
    expect(told.error).to.include({ code: 'forced' });
    for (const { hint } of [told.error, (json as { error: Failure }).error])
      expect(hint).to.include('is not to be trusted');
    await expectFree(lab);
  });

  for (const what of ['quiesce', 'freeze'])
    it(`leaves nobody held when it is killed, whatever it had started: ${what}`, async () => {
      // The program outlives its parent, and does not keep the grid held.
      const { job } = await held(
        `killed-${what}`,
        what,
        '--',
        'sh',
        '-c',
        `echo $$ > ${file(`pid-${what}`)}; exec sleep 300 >/dev/null 2>&1`,
      );
      await until(
        'the program',
        () => existsSync(file(`pid-${what}`)) && readFileSync(file(`pid-${what}`), 'utf8') !== '',
      );
      const program = Number(readFileSync(file(`pid-${what}`), 'utf8'));
      job.signal('SIGKILL');
      await job.finished;
      await expectFree(lab, (LEASE_S + 2) * 1000);
      process.kill(program, 0);
      process.kill(program, 'SIGKILL');
      await expectWrites(lab);
      const { json } = await lab.grid.run(['checkpoint', 'list', '--all', ...JSON_OUTPUT]);
      const { checkpoints } = json as { checkpoints: { state: string }[] };
      expect(new Set(checkpoints.map(({ state }) => state))).to.deep.equal(new Set(['valid']));
    });

  it('leaves nobody held when its program kills it', async () => {
    const { code } = await lab.grid.run([
      'quiesce',
      ...JSON_OUTPUT,
      '--',
      'sh',
      '-c',
      'exec >/dev/null 2>&1; kill -9 $PPID; sleep 30 & exit',
    ]);
    expect(code).to.equal(null);
    await expectFree(lab, (LEASE_S + 2) * 1000);
  });

  it('is aborted by Ctrl-C, and its program with it', async () => {
    const { job } = await held(
      'interrupted',
      'freeze',
      '--',
      'sh',
      '-c',
      `echo > ${file('up')}; exec sleep 300 >/dev/null 2>&1`,
    );
    await until('the program', () => existsSync(file('up')));
    job.signal('SIGINT');
    const { code, error } = await failed(job);
    expect(code).to.equal(4);
    expect(error.hint).to.include('is not to be trusted');
    await expectFree(lab);
  });

  it('goes on in the background when all is held, and writes its result to a file', async () => {
    const log = file('background.log');
    const { code, json } = await lab.grid.run(['quiesce', '--background', log, ...JSON_OUTPUT]);
    expect(code).to.equal(0);
    const { job, pid, number } = json as HeldGrid & { pid: number };
    expect(await quiescedNodes()).to.deep.equal([true, true]);
    expect((await lab.grid.run(['resume', '--job', job, ...JSON_OUTPUT])).code).to.equal(0);
    await until('the job to end', () => readFileSync(log, 'utf8').includes('"state":"resumed"'));
    const result = readFileSync(log, 'utf8')
      .split('\n')
      .find((line) => line.startsWith('{'));
    expect(JSON.parse(result ?? '')).to.include({ job, number, state: 'resumed' });
    await until('the process to be gone', () => !existsSync(`/proc/${pid}`));

    const refused = await lab.grid.run([
      'quiesce',
      '--background',
      log,
      '--cluster',
      'other',
      ...JSON_OUTPUT,
    ]);
    expect(refused.code).to.equal(3);
    expect((refused.json as { error: Failure }).error).to.include({ code: 'wrong-grid' });
  });

  it('holds nobody in the background of which nobody was told: its first process was killed before', async () => {
    const hooks = new Hooks(file('hooks'));
    hooks.hold('accepted', 'coordinator');
    const log = file('orphan.log');
    const job = lab.grid.begin(['quiesce', '--background', log], hooks.env);
    await hooks.reachedBy(job, 'accepted', 'coordinator');
    job.signal('SIGKILL');
    await job.finished;
    hooks.release('accepted', 'coordinator');
    await until('the job to end', () =>
      readFileSync(log, 'utf8').includes('stillpoint: interrupted by SIGINT'),
    );
    expect(readFileSync(log, 'utf8')).not.to.include('quiesced:');
    await expectFree(lab);
  });

  it('is aborted where a node dies while it is held', async () => {
    const { job } = await held('died', 'quiesce');
    const node = lab.reference.process('b1');
    await node.kill('SIGKILL');
    const { code, error } = await failed(job);
    expect([code, error.member]).to.deep.equal([4, 'b1']);
    expect(error.hint).to.include('is not to be trusted');
    await node.start();
    await expectFree(lab);
    await expectWrites(lab);
  });
});
