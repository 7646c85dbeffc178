import { expect } from 'chai';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { DrillReport } from '../../coordinator/drill/report.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { ROOT, stillpoint, until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a drill tells whether a person could have gone live, and leaves nothing, whoever dies in it.
// Method: a real grid is captured and taken away for good; all that is left is the repository, and empty hosts.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const COPYSETS = [
  { name: 'orders', hosts: [0] },
  { name: 'ledger', hosts: [1, 0] },
];

describe('a drill of a grid whose hosts are gone', () => {
  const folder = temporaryFolder('drill');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let target: TestGrid;
  let pristine: string;
  let checkpoints: string;

  before(async () => {
    const grid = await createGrid({
      hosts: ['127.0.96.1', '127.0.96.2'],
      copysets: COPYSETS,
      superuser: true,
      repository: join(folder.path, 'repository'),
    });
    try {
      for (const { server } of grid.primaries)
        await server.query('CREATE TABLE sums AS SELECT g AS id FROM generate_series(1, 42) g');
      const created = await grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
      expect(created.code, created.stdout).to.equal(0);
    } finally {
      await grid.killEverything();
      await grid.close();
    }
    target = await createGrid({
      empty: true,
      hosts: ['127.0.97.1', '127.0.97.2'],
      copysets: COPYSETS,
      superuser: true,
      repository: join(folder.path, 'repository'),
      memberLines: () => ['drill: true'],
      leaseSeconds: 2,
      env: hooks.env,
    });
    pristine = readFileSync(target.gridFile, 'utf8');
    checkpoints = (await catalogue()).stdout;
  });

  beforeEach(() => {
    hooks.reset();
    writeFileSync(target.gridFile, pristine);
  });

  after(async () => {
    hooks.reset();
    await target?.close();
    folder.remove();
  });

  const catalogue = (): ReturnType<typeof stillpoint> =>
    stillpoint(['checkpoint', 'list', '--repository', target.repository, '--output', 'json']);

  const checked = (...checks: readonly string[]): void =>
    appendFileSync(target.gridFile, `drill:\n  checks:\n${checks.map((line) => `    - ${line}\n`).join('')}`);

  async function drill(...words: readonly string[]): Promise<{ code: number | null; report: DrillReport }> {
    const { code, stdout, stderr, json } = await target.run(['drill', ...words, ...JSON_OUTPUT]);
    expect(stdout, stderr).to.not.equal('');
    return { code, report: json as DrillReport };
  }

  async function expectNothingLeft(): Promise<void> {
    for (const { server, name } of target.members)
      await until(
        `nothing to be left of ${name}`,
        () => readdirSync(dirname(server.data)).length === 0,
        20_000,
      );
    for (const { state } of target.hosts)
      await until('no record to be left', () => readdirSync(join(state, 'restores')).length === 0, 20_000);
    for (const { state } of target.hosts) expect(existsSync(join(state, 'lineage.json'))).to.equal(false);
    expect((await catalogue()).stdout).to.equal(checkpoints);
  }

  it('passes, answers the checks from the restored data, reports, and leaves nothing', async () => {
    checked(
      "{ name: rows, member: ordersa, sql: 'SELECT count(*) FROM sums', expect: 42 }",
      '{ name: enough, member: ledgera, sql: "SELECT max(id) FROM sums", expect: { atLeast: 40 } }',
      '{ name: tool, command: [sh, -c, "echo $STILLPOINT_GRID_NAME"], expect: orders }',
    );
    const page = join(folder.path, 'drill.html');
    const { code, report } = await drill('--report', page);
    expect(code, JSON.stringify(report)).to.equal(0);
    expect(report).to.include({ outcome: 'passed', kept: false, exitCode: 0 });
    expect(report.checks.map(({ name, passed }) => `${name} ${passed}`)).to.deep.equal([
      'rows true',
      'enough true',
      'tool true',
    ]);
    expect(report.rtoMs).to.be.within(1, report.durationMs);
    expect(report.rpoMs).to.be.greaterThan(0);
    expect(report.bytes).to.be.greaterThan(1e6);
    expect(report.phases.map(({ phase }) => phase)).to.deep.equal([
      'plan',
      'stop check',
      'stage',
      'verify',
      'switch',
      'check',
      'tear down',
    ]);
    expect(report.hosts.map(({ host }) => host)).to.have.members(['127.0.97.1', '127.0.97.2']);
    expect(readFileSync(page, 'utf8')).to.include('A person could have gone live on it.');
    await expectNothingLeft();
  });

  it('fails with exit code 6 where a check of its operator fails, and is compared with the last one', async () => {
    checked(
      "{ name: rows, member: ordersa, sql: 'SELECT count(*) FROM sums', expect: 43 }",
      '{ name: tool, command: [sh, -c, "echo broken >&2; exit 3"] }',
    );
    const { code, report } = await drill();
    expect(code, JSON.stringify(report)).to.equal(6);
    expect(report).to.include({ outcome: 'failed', rtoMs: null });
    expect(report.error?.code).to.equal('drill-check-failed');
    expect(report.checks.map(({ cause }) => cause)).to.deep.equal(['it said 42', 'exit code 3: broken']);
    expect(report.earlier.map(({ outcome }) => outcome)).to.deep.equal(['passed']);
    expect(report.left).to.deep.equal([]);
    await expectNothingLeft();
  });

  it('lets no check write, leave the transaction, run a program or say two statements', async () => {
    const never = join(folder.path, 'never');
    const hostile = [
      'INSERT INTO sums VALUES (7)',
      'SELECT 1; DROP TABLE sums',
      `COPY sums TO PROGRAM 'touch ${never}'`,
      "SELECT pg_read_file('postgresql.conf')",
      "SELECT set_config('role', 'postgres', false), pg_read_file('postgresql.conf')",
      "SELECT set_config('session_authorization', 'postgres', false)",
      'SELECT g FROM generate_series(1, 100000) g',
    ];
    checked(
      ...hostile.map((sql, index) =>
        JSON.stringify({ name: `hostile ${index}`, member: 'ordersa', sql, expect: true }),
      ),
      "{ name: rows, member: ordersa, sql: 'SELECT count(*) FROM sums', expect: 42 }",
    );
    const { code, report } = await drill();
    expect(code, JSON.stringify(report)).to.equal(6);
    const causes = report.checks.map(({ cause }) => cause);
    expect(causes.at(-1)).to.equal('');
    for (const cause of causes.slice(0, -1)) expect(cause).to.match(/syntax|multiple|permission|more than/);
    expect(existsSync(never)).to.equal(false);
    await expectNothingLeft();
  });

  it('is refused with exit code 3 where something lies in a place, and that stays as it is', async () => {
    const { server } = target.member('ledgerb');
    mkdirSync(server.data);
    writeFileSync(join(server.data, 'precious'), 'mine');
    try {
      const { code, report } = await drill();
      expect(code, JSON.stringify(report)).to.equal(3);
      expect(report.error).to.include({ code: 'drill-occupied', member: 'ledgerb' });
      expect(report).to.include({ outcome: 'refused', bytes: 0 });
      expect(readdirSync(dirname(server.data))).to.deep.equal(['data']);
      expect(readFileSync(join(server.data, 'precious'), 'utf8')).to.equal('mine');
    } finally {
      rmSync(server.data, { recursive: true });
    }
    await expectNothingLeft();
  });

  it('is refused where an agent file does not give its places to drills', async () => {
    const { configuration } = target.hosts[0] ?? { configuration: '' };
    const file = readFileSync(configuration, 'utf8');
    await target.killAgent(0);
    writeFileSync(configuration, file.replaceAll('drill: true', 'drill: false'));
    await target.startAgent(0);
    try {
      const { code, report } = await drill();
      expect(code, JSON.stringify(report)).to.equal(3);
      expect(report.error?.code).to.equal('drill-not-allowed');
    } finally {
      await target.killAgent(0);
      writeFileSync(configuration, file);
      await target.startAgent(0);
    }
    await expectNothingLeft();
  });

  it('is refused where a check cannot be made of its member', async () => {
    checked("{ name: rows, member: ledgerb, sql: 'SELECT 1', expect: 1 }");
    const { code, report } = await drill();
    expect(code, JSON.stringify(report)).to.equal(3);
    expect(report.error?.code).to.equal('drill-check-unfit');
    await expectNothingLeft();
  });

  it('is torn down by the agents when its command is killed', async () => {
    hooks.hold('checking');
    const command = target.begin(['drill', ...JSON_OUTPUT]);
    await hooks.reachedBy(command, 'checking');
    command.signal('SIGKILL');
    await command.finished;
    hooks.reset();
    await expectNothingLeft();
  });

  it('is torn down by an agent that was killed in it, when that starts again', async () => {
    hooks.hold('switched', 'ordersa');
    const command = target.begin(['drill', ...JSON_OUTPUT]);
    await hooks.reachedBy(command, 'switched', 'ordersa');
    await target.killAgent(0);
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(7);
    expect((JSON.parse(stdout) as DrillReport).left.map(({ name }) => name)).to.include('ordersa');
    await target.startAgent(0);
    await expectNothingLeft();
  });

  it('that is kept stays over a restart of its agents, keeps others off, and is torn down when asked', async () => {
    const { code, report } = await drill('--keep');
    expect(code, JSON.stringify(report)).to.equal(0);
    expect(report.kept).to.equal(true);
    const { server } = target.member('ordersa');
    await target.killAgent(0);
    await target.startAgent(0);
    expect(existsSync(join(server.data, 'PG_VERSION'))).to.equal(true);
    const again = await drill();
    expect(again.code).to.equal(3);
    expect(again.report.error?.code).to.equal('drill-kept');
    const finished = await target.run(['drill', '--finish', report.drill, '--yes', ...JSON_OUTPUT]);
    expect(finished.code, finished.stdout).to.equal(0);
    await expectNothingLeft();
    const late = await target.run(['drill', '--go-live', report.drill, '--yes', ...JSON_OUTPUT]);
    expect(late.code, late.stdout).to.equal(7);
    expect(late.json).to.have.nested.property('error.code', 'drill-not-kept');
    await expectNothingLeft();
  });

  it('is how the runbook brings a grid back, command by command; and what is live is not torn down', async () => {
    const known: Record<string, string> = {
      '/srv/stillpoint': target.repository,
      '/etc/stillpoint/recovery.yaml': target.gridFile,
      '/root/recovery.html': join(folder.path, 'recovery.html'),
    };
    const commands = runbook();
    expect(commands.map(([, ...words]) => words.slice(0, 2).join(' '))).to.deep.equal([
      'checkpoint list',
      'checkpoint verify',
      'grid status',
      'restore latest',
      'drill latest',
      'drill --go-live',
      'grid doctor',
      'checkpoint create',
    ]);
    for (const [, ...words] of commands) {
      const { code, stdout, stderr } = await performed(words.map((word) => known[word] ?? word));
      expect(code, `${words.join(' ')}: ${stdout}${stderr}`).to.equal(0);
      const kept = /--go-live ([0-9a-f-]{36})/.exec(stdout)?.[1];
      if (kept !== undefined) known['DRILL'] = kept;
    }
    const counted = await target.member('ordersa').server.query('SELECT count(*)::int AS n FROM sums');
    expect(counted).to.deep.equal([{ n: 42 }]);
    const finished = await target.run(['drill', '--finish', known['DRILL'] ?? '', '--yes', ...JSON_OUTPUT]);
    expect(finished.code, finished.stdout).to.equal(0);
    expect(finished.json).to.include({ outcome: 'restored' });
    for (const { server } of target.members) expect(server.postmasterPid()).to.not.equal(null);
    const over = await drill();
    expect(over.code).to.equal(3);
    expect(over.report.error?.code).to.equal('drill-occupied');
  });
});

/** As a person does it: who is told by the doctor that something is not so far looks again. */
async function performed(words: readonly string[]): ReturnType<typeof stillpoint> {
  let finished = await stillpoint(words);
  if (words[1] === 'doctor')
    await until('a healthy grid', async () => (finished = await stillpoint(words)).code === 0, 30_000).catch(
      () => undefined,
    );
  return finished;
}

/** The commands that docs/disaster-recovery.md tells, each as its words. */
function runbook(): string[][] {
  const text = readFileSync(join(ROOT, 'docs/disaster-recovery.md'), 'utf8');
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)]
    .flatMap(([, block = '']) => block.trim().split('\n'))
    .map((line) => line.split(' '));
}
