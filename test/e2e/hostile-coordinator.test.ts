import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import type { Token } from '../../shared/domain/token.ts';
import { PROTOCOL_VERSION, type AgentRequest, type RestoreStep } from '../../shared/domain/wire.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { until } from '../lab/processes.ts';
import { openRaw, type RawCoordinator } from '../rpc/raw-coordinator.ts';

// Goal: a coordinator with a certificate of the grid can ask for what a coordinator may, and for nothing else:
// no path of its own, no flood, no freeze without end. Method: a real agent and server, frames written by hand.

const HOST = '127.0.19.3';
const CREATE = ['checkpoint', 'create', 'x', '--output', 'json', '--quiet'];
const CHECKPOINT = '20261120T120000.000Z_00000000_00000001_x';

describe('an agent with a hostile coordinator', () => {
  let grid: TestGrid;
  const raws: RawCoordinator[] = [];

  before(async () => {
    grid = await createGrid({ hosts: [HOST], copysets: [{ name: 'a', hosts: [0] }] });
  });

  afterEach(async () => {
    for (const raw of raws) raw.close();
    raws.length = 0;
    await grid.expectUntouched();
  });

  after(() => grid.close());

  function open(): RawCoordinator {
    const at = (file: string): string => join(grid.pki, file);
    const tls = { ca: at('ca.pem'), cert: at('coordinator.pem'), key: at('coordinator-key.pem') };
    const raw = openRaw({ address: grid.hosts[0]?.agentAddress ?? '', tls });
    raws.push(raw);
    return raw;
  }

  async function greeted(): Promise<RawCoordinator> {
    const raw = open();
    raw.send({ type: 'hello', protocolVersion: PROTOCOL_VERSION, grid: 'orders', holder: 'mallory' });
    await raw.answer('welcome', ({ type }) => type === 'welcome');
    return raw;
  }

  let lastId = 100;
  /** Asks and waits: the failure, or null where it was done. */
  async function ask(
    raw: RawCoordinator,
    request: (id: number) => Extract<AgentRequest, { id: number }>,
  ): Promise<Failure | null> {
    lastId += 1;
    const id = lastId;
    raw.send(request(id));
    const answer = await raw.answer(`to ${id}`, (one) => 'id' in one && one.id === id);
    return answer.type === 'failed' ? answer.failure : null;
  }

  const claim =
    (operation: string, leaseMs = 10_000) =>
    (id: number) =>
      ({ type: 'claim', id, operation, purpose: 'checkpoint', leaseMs }) as const;

  async function holding(operation: string, leaseMs?: number): Promise<RawCoordinator> {
    const raw = await greeted();
    expect(await ask(raw, claim(operation, leaseMs))).to.equal(null);
    expect(await ask(raw, (id) => ({ type: 'describe', id }))).to.equal(null);
    return raw;
  }

  /** Commands the member and waits for its next answer of one of these types. */
  async function command<T extends MemberAnswer['type']>(
    raw: RawCoordinator,
    what: MemberCommand,
    ...types: readonly T[]
  ): Promise<Extract<MemberAnswer, { type: T }>> {
    const from = raw.answers.length;
    raw.send({ type: 'member', member: 'aa', command: what });
    const isIt = (answer: MemberAnswer): boolean => types.some((type) => type === answer.type);
    const answer = await raw.answer(
      `${types.join(' or ')} to ${what.type}`,
      (one) => one.type === 'memberAnswer' && isIt(one.answer) && raw.answers.indexOf(one) >= from,
    );
    if (answer.type !== 'memberAnswer') throw new Error(answer.type);
    return answer.answer as Extract<MemberAnswer, { type: T }>;
  }

  const prepare: Extract<MemberCommand, { type: 'prepare' }> = {
    type: 'prepare',
    checkpoint: CHECKPOINT,
    assignment: BY_ITSELF,
    maintenance: false,
  };

  /** With this in its file, a new agent on the state that the old one left. */
  async function restartAgent(freezeBudget: string): Promise<void> {
    await grid.killAgent(0);
    const { configuration = '' } = grid.hosts[0] ?? {};
    const lines = readFileSync(configuration, 'utf8').split('\n');
    const others = lines.filter((line) => !line.startsWith('freezeBudget:'));
    writeFileSync(configuration, [...others, freezeBudget, ''].join('\n'));
    await grid.startAgent(0);
  }

  it('takes no path, no line and no number from the wire that leads out of its own places', async () => {
    const place = join(grid.hosts[0]?.folder ?? '', '..', 'victim-aa');
    mkdirSync(place);
    writeFileSync(join(place, 'kept'), '');
    const evil = [
      '../../../victim',
      '/etc/passwd',
      '..',
      'a\0b',
      'a\nb',
      'x'.repeat(5000),
      `${CHECKPOINT}/../../x`,
    ];
    const token: Token = { epoch: 0, counter: 1, attempt: 1 };
    const digest = '0'.repeat(64);
    const stage = (part: object): RestoreStep => ({
      type: 'stage',
      restoreId: 'r',
      grid: 'orders',
      checkpoint: CHECKPOINT,
      source: { member: 'aa', digest },
      own: null,
      follow: null,
      ...part,
    });
    const member = (name: string, one: MemberCommand): AgentRequest => ({
      type: 'member',
      member: name,
      command: one,
    });
    const restore = (name: string, step: RestoreStep): AgentRequest => ({
      type: 'restore',
      id: 9,
      member: name,
      step,
    });
    const fields: Record<string, (text: string) => AgentRequest> = {
      operation: (operation) => claim(operation)(9),
      'settled checkpoint': (checkpoint) => ({ type: 'settle', id: 9, checkpoint }),
      'read checkpoint': (checkpoint) => ({ type: 'readLocal', id: 9, checkpoint }),
      'salvaged checkpoint': (checkpoint) => ({ type: 'salvage', id: 9, checkpoint, metadata: true }),
      'dropped checkpoint': (one) => ({ type: 'dropLocal', id: 9, checkpoints: [CHECKPOINT, one] }),
      'prepared checkpoint': (checkpoint) => member('aa', { ...prepare, checkpoint }),
      'frozen member': (name) => member(name, { type: 'abort', token: null }),
      'restored member': (name) => restore(name, { type: 'isRunning' }),
      restore: (restoreId) => restore('aa', stage({ restoreId })),
      'grid restored from': (from) => restore('aa', stage({ grid: from })),
      'checkpoint restored from': (checkpoint) => restore('aa', stage({ checkpoint })),
      'member restored from': (name) => restore('aa', stage({ source: { member: name, digest } })),
      'digest restored from': (text) => restore('aa', stage({ own: { member: 'aa', digest: text } })),
      'primary to follow': (follow) => restore('aa', stage({ follow })),
      'process told of': (name) =>
        restore('aa', {
          type: 'relocate',
          processes: [{ name, address: 'h:1', dataDirectory: '', running: false }],
        }),
    };
    for (const [what, request] of Object.entries(fields)) {
      for (const text of evil) {
        const raw = await greeted();
        raw.send(request(text));
        const rejected = await raw.answer(what, ({ type }) => type === 'rejected');
        expect((rejected as { failure: Failure }).failure.code, `${what}: ${text}`).to.equal('bad-message');
        raw.close();
      }
    }
    const others: AgentRequest[] = [
      { type: 'raiseEpoch', id: 9, epoch: 100_000_000 },
      { type: 'joinLineage', id: 9, lineage: '../../lineage' },
      member('aa', { type: 'arm', token: { ...token, counter: 100_000_000 }, leaseMs: 1000 }),
      restore('aa', { type: 'prove', committed: ['a\0b'], standbys: [], questions: [], moves: null }),
      restore('aa', {
        type: 'prove',
        committed: ['x'.repeat(300)],
        standbys: [],
        questions: [],
        moves: null,
      }),
      restore('aa', { type: 'prove', committed: [], standbys: ['a\nb'], questions: [], moves: null }),
      ...[
        { members: [{ from: 'a:1', to: "b'; DROP:1" }], hosts: [] },
        { members: [], hosts: [{ from: 'a', to: 'b\nc' }] },
      ].map((moves) => restore('aa', { type: 'prove', committed: [], standbys: [], questions: [], moves })),
      restore('aa', { type: 'end', restoreId: '../x' }),
      restore('aa', {
        type: 'relocate',
        processes: [{ name: 'n', address: 'h:1', dataDirectory: '/a/../b', running: true }],
      }),
    ];
    for (const request of others) {
      const raw = await greeted();
      raw.send(request);
      await raw.answer('rejected', ({ type }) => type === 'rejected');
      raw.close();
    }
    const hello = open();
    hello.send({ type: 'hello', protocolVersion: PROTOCOL_VERSION, grid: 'orders', holder: 'a\nb' });
    await hello.answer('rejected', ({ type }) => type === 'rejected');
    expect(readdirSync(place)).to.deep.equal(['kept']);
    const { code, stdout } = await grid.run(CREATE);
    expect(code, stdout).to.equal(0);
  });

  it('does nothing out of order, for an unknown token, for a member of others, or after the end', async () => {
    const token: Token = { epoch: 0, counter: 900, attempt: 1 };
    const early = open();
    early.send(claim('early')(1));
    await early.answer('rejected', ({ type }) => type === 'rejected');
    early.send({ type: 'hello', protocolVersion: PROTOCOL_VERSION, grid: 'orders', holder: 'mallory' });
    await early.ended();
    expect(early.answers.map(({ type }) => type)).to.deep.equal(['rejected']);

    const raw = await greeted();
    expect(await command(raw, prepare, 'refused')).to.have.nested.property('failure.code', 'not-claimed');
    for (const request of [
      (id: number) => ({ type: 'settle', id, checkpoint: CHECKPOINT }) as const,
      (id: number) => ({ type: 'dropLocal', id, checkpoints: [CHECKPOINT] }) as const,
      (id: number) => ({ type: 'raiseEpoch', id, epoch: 7 }) as const,
      (id: number) => ({ type: 'joinLineage', id, lineage: '5ab3f1c2-0a6e-4f3b-9a53-0d1f6f8f2b11' }) as const,
      (id: number) => ({ type: 'restore', id, member: 'aa', step: { type: 'stop' } }) as const,
    ])
      expect(await ask(raw, request)).to.include({ code: 'not-claimed' });

    expect(await ask(raw, claim('mine'))).to.equal(null);
    expect(await ask(raw, (id) => ({ type: 'describe', id }))).to.equal(null);
    raw.send({ type: 'member', member: 'zz', command: prepare });
    await raw.answer(
      'of zz',
      (one) => one.type === 'memberAnswer' && one.member === 'zz' && one.answer.type === 'refused',
    );
    const outOfOrder: readonly (readonly [MemberCommand, string])[] = [
      // Its engine declares that it stands alone: it is not taken for held because a coordinator says so.
      [{ ...prepare, assignment: { hold: 'none', part: 'whole' } }, 'assignment-unfit'],
      [{ type: 'freeze', token, leaseMs: 1000 }, 'stale-token'],
      [{ type: 'thaw', token }, 'stale-token'],
      [{ type: 'collect', token }, 'out-of-order'],
      [{ type: 'arm', token, leaseMs: 1000 }, 'out-of-order'],
    ];
    for (const [what, code] of outOfOrder)
      expect(await command(raw, what, 'refused'), what.type).to.have.nested.property('failure.code', code);
    await command(raw, { type: 'abort', token: null }, 'aborted');
    expect(await command(raw, prepare, 'refused')).to.have.nested.property('failure.code', 'operation-over');
    expect(await ask(raw, (id) => ({ type: 'release', id }))).to.equal(null);
    expect(await command(raw, prepare, 'refused')).to.have.nested.property('failure.code', 'not-claimed');
    const { code, stdout } = await grid.run(CREATE);
    expect(code, stdout).to.equal(0);
  });

  it('lets only one coordinator of its grid hold it, and names that one to the other', async () => {
    const first = await holding('first');
    await command(first, prepare, 'prepared');
    const second = await greeted();
    const busy = await ask(second, claim('second'));
    expect(busy).to.include({ code: 'grid-busy' });
    expect(busy?.message).to.include('mallory');
    expect(await command(second, { type: 'abort', token: null }, 'refused')).to.have.nested.property(
      'failure.code',
      'not-claimed',
    );
    const refused = await grid.run(CREATE);
    expect(refused.code, refused.stdout).to.equal(3);
    expect(refused.stdout).to.include('grid-busy');
    await command(
      first,
      { type: 'arm', token: { epoch: 0, counter: 901, attempt: 1 }, leaseMs: 20_000 },
      'armed',
    );
  });

  it('grants no lease that is longer than its file says', async () => {
    const raw = await greeted();
    for (const leaseMs of [600_001, 1e12])
      expect(await ask(raw, claim('long', leaseMs))).to.include({ code: 'lease-too-long' });
    const held = await holding('short');
    await command(held, prepare, 'prepared');
    const token: Token = { epoch: 0, counter: 902, attempt: 1 };
    const arm = { type: 'arm', token, leaseMs: 1e12 } as const;
    expect(await command(held, arm, 'refused')).to.have.nested.property('failure.code', 'lease-too-long');
    await command(held, { ...arm, leaseMs: 20_000 }, 'armed');
    const freeze = { type: 'freeze', token, leaseMs: 1e12 } as const;
    expect(await command(held, freeze, 'refused')).to.have.nested.property('failure.code', 'lease-too-long');
  });

  it('answers others while one floods it, and does not open a connection for each request', async () => {
    const { pid = 0 } = grid.agents[0] ?? {};
    const memoryOf = (): number =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
    const raw = await greeted();
    const before = memoryOf();
    for (let id = 1000; id < 6000; id += 1) raw.send({ type: 'describe', id });
    let most = 0;
    const { server } = grid.member('aa');
    const isAnswered = (): boolean => raw.answers.filter((answer) => 'id' in answer).length >= 5000;
    const watching = until('the flood to be answered', async () => {
      const rows = await server.query<{ looks: number }>(
        "SELECT count(*)::int AS looks FROM pg_stat_activity WHERE application_name LIKE 'stillpoint-%'",
      );
      most = Math.max(most, rows[0]?.looks ?? 0);
      return isAnswered();
    });
    const status = await grid.run(['grid', 'status', '--output', 'json', '--timeout', '10s']);
    await watching;
    expect(status.code, status.stdout).to.equal(0);
    expect(most).to.be.lessThan(5);
    const refused = raw.answers.filter((answer) => answer.type === 'failed');
    expect(refused.length).to.be.greaterThan(4000);
    expect(refused[0]).to.have.nested.property('failure.code', 'too-many-requests');
    expect(memoryOf() - before).to.be.lessThan(100 * 1024 * 1024);
  });

  it('lets its members be frozen as often as its file says, also after it was killed, and says when again', async () => {
    await restartAgent('freezeBudget: { perHour: 4 }');
    rmSync(join(grid.hosts[0]?.state ?? '', 'spent.json'), { force: true });
    await restartAgent('freezeBudget: { perHour: 4 }');
    const raw = await holding('loop');
    await command(raw, prepare, 'prepared');
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      const token: Token = { epoch: 0, counter: 910, attempt };
      await command(raw, { type: 'arm', token, leaseMs: 20_000 }, 'armed');
      await command(raw, { type: 'freeze', token, leaseMs: 20_000 }, 'marked');
      await command(raw, { type: 'thaw', token }, 'thawed');
    }
    const token: Token = { epoch: 0, counter: 910, attempt: 5 };
    const failed = await command(raw, { type: 'arm', token, leaseMs: 20_000 }, 'failed');
    expect(failed.failure).to.include({ code: 'freeze-budget-spent', host: HOST });
    raw.close();
    await restartAgent('freezeBudget: { perHour: 4 }');
    const refused = await grid.run(CREATE);
    expect(refused.code, refused.stdout).to.equal(4);
    const { error } = refused.json as { error: Failure };
    expect(error).to.include({ code: 'freeze-budget-spent', host: HOST, member: 'aa', phase: 'prepare' });
    expect(error.message).to.match(/allowed in \d+ s/);
    expect(existsSync(join(grid.hosts[0]?.state ?? '', 'spent.json'))).to.equal(true);
    await restartAgent('freezeBudget: { perHour: 5000 }');
    const allowed = await grid.run(CREATE);
    expect(allowed.code, allowed.stdout).to.equal(0);
  });

  it('lets go when its members are held for longer than its file says, however alive the coordinator is', async () => {
    rmSync(join(grid.hosts[0]?.state ?? '', 'spent.json'), { force: true });
    await restartAgent('freezeBudget: { totalSeconds: 2 }');
    const raw = await holding('endless');
    await command(raw, prepare, 'prepared');
    const token: Token = { epoch: 0, counter: 920, attempt: 1 };
    await command(raw, { type: 'arm', token, leaseMs: 20_000 }, 'armed');
    const frozenAt = performance.now();
    await command(raw, { type: 'freeze', token, leaseMs: 20_000 }, 'marked');
    const words = setInterval(() => raw.send({ type: 'keepAlive' }), 100);
    const failed = await raw.answer(
      'failed',
      (one) => one.type === 'memberAnswer' && one.answer.type === 'failed',
    );
    await raw.answer('aborted', (one) => one.type === 'memberAnswer' && one.answer.type === 'aborted');
    clearInterval(words);
    expect(performance.now() - frozenAt).to.be.within(1900, 15_000);
    expect(failed).to.have.nested.property('answer.failure.code', 'freeze-budget-spent');
    raw.close();
    await restartAgent('freezeBudget: { perHour: 5000 }');
  });
});
