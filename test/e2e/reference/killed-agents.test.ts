import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { CausalClients, latencies, UNHURRIED } from '../../lab/causal-clients.ts';
import { guardOf } from '../../lab/guards.ts';
import { Hooks } from '../../lab/hooks.ts';
import { until, type RunningCommand } from '../../lab/processes.ts';
import {
  committedIds,
  expectFree,
  expectNextCheckpoint,
  expectUntouched,
  expectValidList,
  expectWrites,
  heldBy,
} from '../../lab/reference-checks.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { referenceShards } from '../../lab/shards.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: whoever of ours dies, stops or is interrupted at the worst moment, no process of the grid stays held: clients
// write again within the lease, and within the process's own lease when nobody of ours is left on its host.
// Method: real processes, held at a named moment of the protocol, then SIGKILL, SIGSTOP or Ctrl-C.

const LEASE_SECONDS = 3;
const LEASE_MS = LEASE_SECONDS * 1000;
/** The process's own deadline lies so far behind the agent's. */
const OWN_LEASE_MS = LEASE_MS + 2000;
/** What a loaded machine adds. */
const SLACK_MS = 1000;
const CREATE = ['checkpoint', 'create', 'bad', '--output', 'json', '--quiet'];
const NODES = ['a1', 'a2', 'b1', 'b2'];

describe('a checkpoint of a grid with a realm in which one of ours dies', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let lab: ReferenceLab;

  before(async () => {
    lab = await createReferenceLab({
      hosts: ['127.0.61.1', '127.0.61.2'],
      satellites: 0,
      proxies: 1,
      leaseSeconds: LEASE_SECONDS,
      env: hooks.env,
    });
  });

  beforeEach(() => hooks.reset());

  afterEach(async () => {
    hooks.reset();
    // One that a failed test has left stopped would fail all that follow.
    for (const agent of lab.grid.agents) agent?.signal('SIGCONT');
    for (const [host, agent] of lab.grid.agents.entries())
      if (agent === null) await lab.grid.startAgent(host);
  });

  after(async () => {
    await lab?.close();
    folder.remove();
  });

  async function heldAt(moment: string, who: string, more: readonly string[] = []): Promise<RunningCommand> {
    hooks.hold(moment, who);
    const command = lab.grid.begin([...CREATE, ...more]);
    await hooks.reachedBy(command, moment, who);
    return command;
  }

  /** Whether the next checkpoint works is seen by the next test, which comes to its moment, and by the last one. */
  async function expectAllGoesOn(): Promise<void> {
    hooks.reset();
    await expectUntouched(lab);
  }

  describe('while clients write', () => {
    let clients: CausalClients;

    beforeEach(async () => {
      clients = await CausalClients.start(referenceShards(lab.reference, ['a', 'b']), 2, UNHURRIED);
      await until('writes', () => clients.writes.length > 20);
    });

    afterEach(() => clients.stop());

    /** Every client writes on; resolves to the longest wait since then. */
    async function worstWaitSince(began: number): Promise<number> {
      const ongoing = (client: number, since: number): boolean =>
        clients.writes.some((write) => write.client === client && write.sentAt > since);
      const now = performance.now();
      await until('every client to write on', () => ongoing(0, now) && ongoing(1, now));
      return latencies(clients.writes, began, Infinity).worstMs;
    }

    it('is thawed by the guard when an agent is killed in the window', async () => {
      const began = performance.now();
      const command = await heldAt('marked', 'a1');
      await lab.grid.killAgent(0);
      // Nobody but the guard is left on that host.
      await expectFree(lab, LEASE_MS);
      expect(await worstWaitSince(began)).to.be.lessThan(LEASE_MS);
      hooks.reset();
      await lab.grid.startAgent(0);
      const { code, stdout } = await command.finished;
      expect(code, stdout).to.equal(4);
      expect(stdout).to.match(/"code":"agent-lost"/);
      await expectAllGoesOn();
    });

    it("is thawed by the processes' own leases when an agent and its guard are killed", async () => {
      const began = performance.now();
      const command = await heldAt('marked', 'a1');
      // Of the first host, where a1 is.
      const guard = guardOf(lab.grid.hosts[0]?.configuration ?? '');
      expect((await heldBy(lab.reference.process('a1'))).quiesced).to.equal(true);
      lab.grid.agents[0]?.signal('SIGSTOP');
      process.kill(guard, 'SIGKILL');
      await lab.grid.killAgent(0);
      const writes = await worstWaitSince(began);
      expect(writes).to.be.lessThan(OWN_LEASE_MS + SLACK_MS);
      hooks.reset();
      await lab.grid.startAgent(0);
      const { code, stdout } = await command.finished;
      expect(code, stdout).to.equal(4);
      await expectAllGoesOn();
    });

    it('is thawed by the guard when an agent is stopped in the window', async () => {
      const began = performance.now();
      const command = await heldAt('marked', 'a1');
      const log = lab.grid.hosts[0]?.log ?? '';
      const said = readFileSync(log, 'utf8').length;
      lab.grid.agents[0]?.signal('SIGSTOP');
      expect(await worstWaitSince(began)).to.be.lessThan(OWN_LEASE_MS + SLACK_MS);
      // On a loaded machine the process's own lease may have been a little faster.
      await until('the guard to have undone it too', () =>
        /"member":"a1".*undone by the guard/.test(readFileSync(log, 'utf8').slice(said)),
      );
      lab.grid.agents[0]?.signal('SIGCONT');
      hooks.reset();
      const { code, stdout } = await command.finished;
      expect(code, stdout).to.equal(4);
      await expectAllGoesOn();
    });

    // At the other moments: test/crash-matrix.
    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const what = signal === 'SIGKILL' ? 'the coordinator is killed' : 'there is a Ctrl-C';
      it(`is whole or none when ${what} at the commit${signal === 'SIGINT' ? ' [S71]' : ''}`, async () => {
        const before = committedIds(lab).length;
        const began = performance.now();
        const command = await heldAt('committing', 'coordinator');
        command.signal(signal);
        if (signal === 'SIGINT') hooks.reset();
        const { code, stdout } = await command.finished;
        hooks.reset();
        // What is being committed when the Ctrl-C comes may be committed; then that is what it says.
        const committed = signal === 'SIGINT' && code === 0;
        if (signal === 'SIGINT' && !committed) {
          expect(code, stdout).to.equal(4);
          expect(stdout).to.match(/"code":"interrupted"/);
        }
        expect(committedIds(lab).length).to.equal(before + (committed ? 1 : 0));
        expect(await worstWaitSince(began)).to.be.lessThan(LEASE_MS);
        await expectAllGoesOn();
      });
    }
  });

  describe('with maintenance', () => {
    /** All nodes refuse writes; the command waits. */
    async function inMaintenance(): Promise<RunningCommand> {
      hooks.hold('prepared');
      const command = lab.grid.begin([...CREATE, '--maintenance']);
      for (const node of NODES) await hooks.reached('prepared', node);
      await expectWritesRefused();
      return command;
    }

    async function expectWritesRefused(): Promise<void> {
      const client = lab.reference.client();
      try {
        for (const copyset of ['a', 'b']) {
          const refusal = await client.put('checks', 'written', 'never', copyset).catch(String);
          expect(refusal, copyset).to.match(/maintenance/);
          expect(await client.get('checks', 'written', copyset)).to.equal('x');
        }
      } finally {
        client.close();
      }
    }

    before(() => expectWrites(lab));

    it('has writes refused and reads answered until it is done, and no longer [S14]', async () => {
      const command = await inMaintenance();
      // The freeze is over, and what it was for is not stored yet: the backup is under way still.
      hooks.hold('released');
      hooks.release('prepared');
      for (const node of NODES) await hooks.reached('released', node);
      await expectWritesRefused();
      hooks.reset();
      const { code, stdout } = await command.finished;
      expect(code, stdout).to.equal(0);
      await expectAllGoesOn();
    });

    it('is taken while the operator has the grid in maintenance, and leaves it so, also with a maintenance of its own [S119]', async () => {
      await lab.reference.maintain(true);
      try {
        for (const more of [[], ['--maintenance']]) {
          const { code, stdout } = await lab.grid.run([...CREATE, ...more]);
          expect(code, stdout).to.equal(0);
          await expectWritesRefused();
        }
      } finally {
        await lab.reference.maintain(false);
      }
      await expectUntouched(lab);
    });

    it('has writes back after a Ctrl-C [S14]', async () => {
      const command = await inMaintenance();
      command.signal('SIGINT');
      hooks.reset();
      expect((await command.finished).code).to.equal(4);
      await expectAllGoesOn();
    });

    it('has writes back when the coordinator is killed [S14]', async () => {
      const command = await inMaintenance();
      command.signal('SIGKILL');
      await command.finished;
      await expectAllGoesOn();
    });

    it('has writes back when an agent is killed [S14]', async () => {
      const command = await inMaintenance();
      await lab.grid.killAgent(0);
      await expectFree(lab, LEASE_MS);
      await expectWrites(lab);
      hooks.reset();
      await lab.grid.startAgent(0);
      expect((await command.finished).code).to.equal(4);
      await expectAllGoesOn();
    });
  });

  describe('in the end', () => {
    it('is followed by one that is whole, and has left nothing in the list that is not', async () => {
      await expectNextCheckpoint(lab);
      expect(await expectValidList(lab)).to.have.members(committedIds(lab));
    });
  });
});
