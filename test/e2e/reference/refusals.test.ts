import { expect } from 'chai';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport, RestoreReport } from '../../../coordinator/reports.ts';
import { until } from '../../lab/processes.ts';
import { isUnsettled } from '../../lab/reference-checks.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { treeOf } from '../../lab/trees.ts';

// Goal: what the source documents rule out is refused before anything changes, and what they allow with fewer
// processes is done and said.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const HOSTS = ['127.0.53.1', '127.0.53.2', '127.0.53.3'];

/** What lies of checkpoints on the hosts. */
function checkpointsOf(lab: ReferenceLab): string[] {
  return lab.reference.processes.flatMap(({ dataDirectory }) => {
    const room = join(dataDirectory, 'checkpoints');
    return existsSync(room) ? readdirSync(room) : [];
  });
}

describe('a grid of which something is missing', () => {
  let lab: ReferenceLab;
  let whole: CheckpointReport;

  before(async () => {
    lab = await createReferenceLab({ hosts: HOSTS });
    const client = lab.reference.client();
    for (let row = 0; row < 20; row += 1) await client.put('orders', String(row), 'x', row % 2 ? 'a' : 'b');
    client.close();
    whole = await created('whole');
  });

  after(async () => {
    await lab?.close();
  });

  /** Right after a process came or went the keepers' state may change once more: then it is as the error says. */
  async function created(name: string): Promise<CheckpointReport> {
    for (let tries = 1; ; tries += 1) {
      const finished = await lab.grid.run(['checkpoint', 'create', name, ...JSON_OUTPUT]);
      if (tries < 4 && isUnsettled(finished)) continue;
      const { code, stdout, stderr } = finished;
      expect(code, stdout + stderr).to.equal(0);
      return JSON.parse(stdout) as CheckpointReport;
    }
  }

  /** Refused by preflight: with this code, and nothing is listed that was not before. */
  async function refused(code: string): Promise<string> {
    const before = await listed();
    const places = checkpointsOf(lab);
    const { code: exit, stdout, json } = await lab.grid.run(['checkpoint', 'create', 'no', ...JSON_OUTPUT]);
    expect(exit, stdout).to.equal(3);
    expect(json).to.have.nested.property('error.code', code);
    expect(await listed()).to.deep.equal(before);
    expect(checkpointsOf(lab)).to.deep.equal(places);
    return stdout;
  }

  async function listed(): Promise<string[]> {
    const { json } = await lab.grid.run(['checkpoint', 'list', '--output', 'json']);
    return (json as { checkpoints: { checkpoint: string }[] }).checkpoints.map(
      ({ checkpoint }) => checkpoint,
    );
  }

  async function withDown<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    const down = names.map((name) => lab.reference.process(name));
    await Promise.all(down.map((process) => process.kill('SIGKILL')));
    try {
      return await work();
    } finally {
      for (const process of down) await process.start();
      await lab.reference.healthy();
    }
  }

  it('is refused without its primary realm service, also when a satellite runs [S23]', async () => {
    await withDown(['realm'], () => refused('realm-unreachable'));
  });

  it('is captured with two of three keepers, and the third is recorded as absent [S27] [S49]', async () => {
    const report = await withDown(['k3'], () => created('two-keepers'));
    expect(report.absent).to.deep.equal(['k3']);
  });

  it('is captured while the lead keeper is down and another has taken over [S26]', async () => {
    const { json } = await lab.grid.run(['grid', 'status', '--output', 'json']);
    const { members } = json as { members: { name: string; role: string; primary: boolean }[] };
    const lead = members.find(({ role, primary }) => role === 'state-keeper' && primary)?.name ?? '';
    await withDown([lead], async () => {
      await until('another to lead', async () => {
        const status = await lab.grid.run(['grid', 'status', '--output', 'json']);
        const now = status.json as { members: { name: string; role: string; primary: boolean }[] };
        return now.members.some(
          ({ name, role, primary }) => role === 'state-keeper' && primary && name !== lead,
        );
      });
      expect((await created('new-lead')).absent).to.deep.equal([lead]);
    });
  });

  it('is refused below the quorum of keepers, also while operations go on, and nothing that could be used is left [S30] [S123]', async () => {
    await withDown(['k1', 'k2'], async () => {
      await refused('keepers-below-quorum');
      const client = lab.reference.client();
      try {
        await client.put('orders', '0', 'x', 'b');
      } finally {
        client.close();
      }
      expect(await refused('keepers-below-quorum')).to.match(/stop the others too, then start all of them/);
    });
  });

  it('shows a copyset that changed below the quorum, is refused, and goes on when all keepers were stopped [S50] [S51]', async () => {
    const keepers = ['k1', 'k2', 'k3'].map((name) => lab.reference.process(name));
    const dead = [...keepers.slice(0, 2), lab.reference.process('b2')];
    await Promise.all(dead.map((process) => process.kill('SIGKILL')));
    let told = '';
    await until('the status to show it', async () => {
      told = (await lab.grid.run(['grid', 'status', '--output', 'json'])).stdout;
      return told.includes('copyset-undecided');
    });
    expect(told).to.match(/stop the remaining keepers, then start all of them/);
    await refused('keepers-below-quorum');
    for (const process of dead) await process.start();
    // Those that came back do not do: the keeper that went on without them is to be stopped too.
    await until('three keepers', async () => {
      const { json } = await lab.grid.run(['grid', 'status', '--output', 'json']);
      const { members } = json as { members: { role: string; running: boolean }[] };
      return members.every(({ role, running }) => role !== 'state-keeper' || running);
    });
    await refused('copyset-undecided');
    for (const keeper of keepers) await keeper.stop();
    for (const keeper of keepers) await keeper.start();
    await lab.reference.healthy();
    expect((await created('decided')).absent).to.deep.equal([]);
  });

  it('is captured without a node that is down; a restore says so and rebuilds it from its copyset [S39]', async () => {
    const report = await withDown(['b2'], async () => {
      await until('b1 to be primary', async () => {
        const { running } = await lab.reference.status();
        return running.some(({ name, primary }) => name === 'b1' && primary);
      });
      return created('without-b2');
    });
    expect(report.absent).to.deep.equal(['b2']);
    const restored = await lab.grid.run(['restore', 'without-b2', '--yes', '--stop', ...JSON_OUTPUT]);
    expect(restored.code, restored.stdout + restored.stderr).to.equal(0);
    expect((restored.json as RestoreReport).warnings.join('\n')).to.match(/b2 was down and is absent.*b1/);
    const client = lab.reference.client();
    try {
      const rows = await client.scan('orders', 'b');
      expect(rows).to.have.length(10);
      await lab.reference.process('b1').kill('SIGKILL');
      expect(await client.scan('orders', 'b')).to.deep.equal(rows);
    } finally {
      client.close();
    }
    await lab.reference.process('b1').start();
    await lab.reference.healthy();
  });

  it('is refused without any node of one copyset [S11]', async () => {
    await withDown(['b1', 'b2'], () => refused('copyset-down'));
  });

  it('is not restored from a set of two checkpoints: nothing is stopped or written [S13]', async () => {
    const second = await created('second');
    const members = (id: string): string =>
      join(lab.grid.repository, 'grids/orders/checkpoints', id, 'members');
    const kept = join(lab.grid.root, 'kept.json');
    cpSync(join(members(second.checkpoint), 'b1.json'), kept);
    cpSync(join(members(whole.checkpoint), 'b1.json'), join(members(second.checkpoint), 'b1.json'));
    const pids = lab.reference.processes.map(({ pid }) => pid);
    const started = Date.now();
    try {
      const { code, stdout } = await lab.grid.run(['restore', 'second', '--yes', '--stop', ...JSON_OUTPUT]);
      expect(code, stdout).to.equal(6);
      expect(stdout).to.include('b1');
      expect(lab.reference.processes.map(({ pid }) => pid)).to.deep.equal(pids);
      for (const { dataDirectory } of lab.reference.processes) {
        const traces = readdirSync(dataDirectory).filter((name) => name.includes('stillpoint'));
        expect(traces, dataDirectory).to.deep.equal([]);
        expect(statSync(join(dataDirectory, 'live')).birthtimeMs, dataDirectory).to.be.lessThan(started);
      }
    } finally {
      cpSync(kept, join(members(second.checkpoint), 'b1.json'));
    }
  });

  it('is restored whole or not at all: no subset can be asked for [S10]', async () => {
    const { code, stderr } = await lab.grid.run(['restore', 'whole', '--yes', '--stop', '--member', 'b1']);
    expect(code, stderr).to.equal(2);
    expect(stderr).to.match(/unknown option/);
  });
});

describe('a realm that is not for one grid alone', () => {
  let lab: ReferenceLab;

  before(async () => {
    lab = await createReferenceLab({
      hosts: ['127.0.54.1'],
      copysets: { a: 2, b: 1 },
      keepers: 1,
      proxies: 1,
      satellites: 0,
      cluster: 3,
    });
  });

  after(async () => {
    await lab?.close();
  });

  it('is captured when it is small, with warnings about what it cannot survive [S41] [S49] [S52]', async () => {
    const { code, stdout, stderr } = await lab.grid.run(['checkpoint', 'create', 'small', ...JSON_OUTPUT]);
    expect(code, stdout + stderr).to.equal(0);
    const warnings = (JSON.parse(stdout) as CheckpointReport).warnings.join('\n');
    expect(warnings)
      .to.match(/keeper/)
      .and.to.match(/copyset a: a1 and a2 are on the same host/)
      .and.to.match(/copyset b/);
  });

  it('is captured while most of the services of its realm run, whichever these are, and not by one alone [S19] [S46]', async () => {
    const [first, ...others] = lab.reference.processes.filter(({ role }) => role === 'realm-service');
    await first?.kill('SIGKILL');
    await untilCreated('two-of-three');
    await others[0]?.kill('SIGKILL');
    await until('the last to notice', async () => {
      const { json } = await lab.grid.run(['checkpoint', 'create', 'no', ...JSON_OUTPUT]);
      return (json as { error?: { code: string } }).error?.code === 'realm-unreachable';
    });
    await first?.start();
    await others[0]?.start();
    await lab.reference.healthy();
  });

  /** Who was down is seen to be down by and by. */
  async function untilCreated(name: string): Promise<void> {
    let told = '';
    await until('a checkpoint', async () => {
      const { code, stdout } = await lab.grid.run(['checkpoint', 'create', name, ...JSON_OUTPUT]);
      told = stdout;
      return code === 0;
    }).catch((error: unknown) => {
      throw new Error(told, { cause: error });
    });
  }

  for (const [what, id, foreign] of [
    ['another grid', 'S6', ['grid payments']],
    ['a process of something else', 'S7', ['process billing-service']],
  ] as const) {
    it(`is refused with ${what} in it, for a checkpoint and for a restore, and names it [${id}]`, async () => {
      await lab.reference.define({ foreign });
      const before = checkpointsOf(lab);
      const pids = lab.reference.processes.map(({ pid }) => pid);
      for (const command of [
        ['checkpoint', 'create', 'no'],
        ['restore', 'small', '--yes', '--stop'],
      ]) {
        const { code, stdout, json } = await lab.grid.run([...command, ...JSON_OUTPUT]);
        expect(code, stdout).to.equal(3);
        expect(json).to.have.nested.property('error.code', 'realm-not-alone');
        expect(stdout).to.include(foreign[0]);
      }
      expect(lab.reference.processes.map(({ pid }) => pid)).to.deep.equal(pids);
      expect(checkpointsOf(lab)).to.deep.equal(before);
    });
  }

  it('is not restored over either when all of it is stopped, and is left as it was [S6] [S7]', async () => {
    const realmService = lab.reference.process('realm');
    const described = join(realmService.dataDirectory, 'described.json');
    await lab.reference.define({ foreign: ['grid payments', 'process billing-service'] });
    await until('it to be known from its files', () =>
      /payments.*billing-service/.test(readFileSync(described, 'utf8')),
    );
    await Promise.all(lab.reference.processes.map((process) => process.kill('SIGKILL')));
    const before = lab.reference.processes.map(({ dataDirectory }) => treeOf(dataDirectory));
    const { code, stdout, json } = await lab.grid.run(['restore', 'small', '--yes', ...JSON_OUTPUT]);
    expect(code, stdout).to.equal(3);
    expect(json).to.have.nested.property('error.code', 'realm-not-alone');
    expect(stdout).to.include('grid payments').and.to.include('process billing-service');
    expect(lab.reference.processes.map(({ dataDirectory }) => treeOf(dataDirectory))).to.deep.equal(before);

    // As it was when it was alone in its realm, it is brought back: all services of the cluster, from what each had.
    for (const { dataDirectory, role } of lab.reference.processes)
      if (role === 'realm-service') rmSync(join(dataDirectory, 'live'), { recursive: true });
    const restored = await lab.grid.run(['restore', 'small', '--yes', ...JSON_OUTPUT]);
    expect(restored.code, restored.stdout).to.equal(0);
    expect((await lab.reference.status()).definition?.foreign).to.deep.equal([]);
  });
});
