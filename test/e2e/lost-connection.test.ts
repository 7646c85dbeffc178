import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Failure, Phase } from '../../shared/domain/errors.ts';
import { CausalClients, UNHURRIED } from '../lab/causal-clients.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until, type RunningCommand } from '../lab/processes.ts';
import { networkTo, type Direction, type Network } from '../lab/proxy.ts';
import { postgresShards, TABLE_SQL } from '../lab/shards.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a network that fails without a word while members are frozen holds nobody longer than the lease, and
// the command says who was cut off: exit 4 when it could make sure in the end, 5 when it could not.
// Method: a proxy before one of two agents stops to carry bytes, with every connection open. Clients that
// write all the time tell how long they were held.

const LEASE_SECONDS = 2;
const HELD_AT_MOST_MS = LEASE_SECONDS * 1000 + 2000;
const CREATE = ['checkpoint', 'create', 'lost', '--quiet'];
const JSON_OUTPUT = ['--output', 'json'];

describe('a checkpoint whose network fails in the freeze', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;
  let network: Network;
  /** Of each primary: one that is behind the network that fails, and one that is not. */
  let behind: CausalClients;
  let beside: CausalClients;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.41.1', '127.0.41.2'],
      copysets: [
        { name: 'a', hosts: [0] },
        { name: 'b', hosts: [1] },
      ],
      leaseSeconds: LEASE_SECONDS,
      env: hooks.env,
    });
    const agent = grid.hosts[0]?.agentAddress ?? '';
    network = await networkTo(agent);
    writeFileSync(grid.gridFile, readFileSync(grid.gridFile, 'utf8').replace(agent, network.address));
    for (const { server } of grid.primaries) await server.query(TABLE_SQL);
    behind = await CausalClients.start(postgresShards([grid.member('aa').server.url]), 1, UNHURRIED);
    beside = await CausalClients.start(postgresShards([grid.member('ba').server.url]), 1, UNHURRIED);
  });

  afterEach(() => {
    hooks.reset();
    network.mend();
  });

  after(async () => {
    network?.close();
    await behind?.stop();
    await beside?.stop();
    await grid?.close();
    folder.remove();
  });

  /** Both members are frozen when the directions are cut. Returns the command, and when it was. */
  async function cutInTheFreeze(
    directions: readonly Direction[],
    args: readonly string[],
  ): Promise<{ command: RunningCommand; cutAt: number }> {
    hooks.hold('marked', 'aa');
    const command = grid.begin([...CREATE, ...args]);
    await hooks.reachedBy(command, 'marked', 'aa');
    const cutAt = performance.now();
    network.cut(...directions);
    hooks.reset();
    return { command, cutAt };
  }

  async function expectHeldByTheLeaseAlone(cutAt: number): Promise<void> {
    for (const clients of [behind, beside]) {
      await until(
        'clients to go on',
        () => (clients.writes.at(-1)?.sentAt ?? 0) > cutAt + 100,
        HELD_AT_MOST_MS,
      );
    }
    const heldMs = (clients: CausalClients): number =>
      Math.max(
        ...clients.writes.flatMap(({ sentAt, acknowledgedAt }) =>
          acknowledgedAt > cutAt ? acknowledgedAt - sentAt : [],
        ),
      );
    expect(heldMs(behind)).to.be.within(100, HELD_AT_MOST_MS);
    expect(heldMs(beside)).to.be.lessThan(HELD_AT_MOST_MS);
  }

  /** Nothing is left, and nothing is listed. The next checkpoint is that of the next test, or of the last one. */
  async function expectUntouched(): Promise<void> {
    await grid.expectUntouched();
    const { checkpoints } = (await grid.run(['checkpoint', 'list', ...JSON_OUTPUT])).json as {
      checkpoints: unknown[];
    };
    expect(checkpoints).to.deep.equal([]);
  }

  const CUTS: readonly { name: string; directions: readonly Direction[]; phase: Phase }[] = [
    // That it has marked is still heard: the word that is lost is to thaw.
    { name: 'towards the agent', directions: ['toAgent'], phase: 'thaw' },
    { name: 'towards the coordinator', directions: ['toCoordinator'], phase: 'freeze' },
  ];
  for (const { name, directions, phase } of CUTS) {
    it(`aborts when nothing comes through ${name}: exit 4 as soon as the thaw can be confirmed`, async () => {
      const { command, cutAt } = await cutInTheFreeze(directions, [...JSON_OUTPUT, '--log-level', 'debug']);
      await expectHeldByTheLeaseAlone(cutAt);
      await until('the coordinator to connect anew in vain', () =>
        command.stderr().includes('"event":"reconnectFailed"'),
      );
      network.mend();
      const { code, stdout } = await command.finished;
      expect(code, stdout).to.equal(4);
      const { error } = JSON.parse(stdout) as { error: Failure };
      expect(error).to.include({ member: 'aa', host: '127.0.41.1', phase });
      expect(error.code).to.be.oneOf(['agent-lost', 'fence-not-reached', 'thaw-unconfirmed']);
      expect(error.members).to.deep.equal([
        { name: 'aa', state: 'running' },
        { name: 'ba', state: 'running' },
      ]);
      await expectUntouched();
    });
  }

  it('never commits a cut whose thaw arrives after the lease', async () => {
    const { command, cutAt } = await cutInTheFreeze(['toAgent'], JSON_OUTPUT);
    await expectHeldByTheLeaseAlone(cutAt);
    network.mend();
    const { code, stdout } = await command.finished;
    // In time for a new attempt, which makes a cut of its own; else the connection was given up meanwhile.
    if (code === 0) {
      const described = await grid.run(['checkpoint', 'describe', 'lost', ...JSON_OUTPUT]);
      expect(described.json).to.have.nested.property('token.attempt').that.is.greaterThan(1);
      await grid.run(['checkpoint', 'delete', 'lost', '--yes']);
    } else expect(code, stdout).to.equal(4);
    await expectUntouched();
  });

  it('tells after half a minute whose thaw it could not confirm: exit 5', async () => {
    const { command, cutAt } = await cutInTheFreeze(['toAgent', 'toCoordinator'], []);
    await expectHeldByTheLeaseAlone(cutAt);
    const { code, stderr } = await command.finished;
    expect(code, stderr).to.equal(5);
    expect(stderr).to.match(
      /^stillpoint: .*; the thaw of aa is not confirmed \[freeze aa on 127\.0\.41\.1\]$/m,
    );
    expect(stderr).to.match(/^hint: .*stillpoint grid status/m);
    expect(stderr)
      .to.match(/^ {2}aa: unknown on 127\.0\.41\.1$/m)
      .and.to.match(/^ {2}ba: running$/m);
    network.mend();
    await expectUntouched();
  });

  it('stops waiting for what cannot be confirmed when it is told so twice: exit 5', async () => {
    const { command, cutAt } = await cutInTheFreeze(['toAgent', 'toCoordinator'], JSON_OUTPUT);
    command.signal('SIGINT');
    await expectHeldByTheLeaseAlone(cutAt);
    command.signal('SIGINT');
    const toldAt = performance.now();
    const { code, stdout } = await command.finished;
    expect(performance.now() - toldAt).to.be.lessThan(10_000);
    expect(code, stdout).to.equal(5);
    const { error } = JSON.parse(stdout) as { error: Failure };
    expect(error.code).to.equal('interrupted');
    expect(error.message).to.match(/the thaw of aa is not confirmed$/);
    expect(error.members).to.deep.equal([
      { name: 'aa', state: 'unknown', host: '127.0.41.1' },
      { name: 'ba', state: 'running' },
    ]);
    network.mend();
    await expectUntouched();
  });

  it('is followed by one that works and verifies', async () => {
    const next = await grid.run(['checkpoint', 'create', 'good', '--quiet', ...JSON_OUTPUT]);
    expect(next.code, next.stderr + next.stdout).to.equal(0);
    const verified = await grid.run(['checkpoint', 'verify', 'good', '--quiet']);
    expect(verified.code, verified.stderr).to.equal(0);
  });
});
