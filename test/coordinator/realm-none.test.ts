import { expect } from 'chai';
import { planFailover } from '../../coordinator/failover-plan.ts';
import { preflight, type PreflightReport } from '../../coordinator/preflight.ts';
import type { RealmKey } from '../../coordinator/realm-preflight.ts';
import { planRestore, type RestorePlan } from '../../coordinator/restore-plan.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { HostDescription, MemberDescription } from '../../shared/domain/grid.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { describedMember, manifestOf } from './descriptions.ts';
import { DOWN, each, NAMES, realmGrid } from './realm-grid.ts';

// Goal: nodes that a realm could define are a grid by themselves where the grid file says so, and nowhere else.
// Method: descriptions in, report, plan or refusal out; the same decisions with real processes are in
// test/examples/examples.test.ts.

const NODES = ['a1', 'a2', 'b1', 'b2'] as const;
const others = NAMES.filter((name) => !NODES.some((node) => node === name));
/** Nodes alone; changed as named, null takes one away. */
function nodes(changes: Parameters<typeof realmGrid>[0] = {}, more: readonly MemberDescription[] = []) {
  const none = Object.fromEntries(others.map((name) => [name, null]));
  return realmGrid({ ...none, ...changes }, more);
}
const shard = describedMember('sa', { copyset: 'shard' });

function look(
  hosts: readonly HostDescription[],
  { realm = 'none', copysets = null }: { realm?: RealmKey; copysets?: readonly string[] | null } = {},
): PreflightReport {
  return preflight({
    grid: 'orders',
    realm,
    copysets,
    maintenance: true,
    hosts: hosts.map((host) => ({ host, repositoryId: 'r' })),
    repositoryId: 'r',
    repositoryFreeBytes: 1e9,
    earlier: null,
  });
}

function checkpoint(hosts: readonly HostDescription[]): GridManifest {
  const described = hosts.flatMap(({ host, members }) => members.map((member) => ({ host, member })));
  return manifestOf(
    described.filter(({ member }) => member.running),
    described.filter(({ member }) => !member.running).map(({ member }) => member.name),
  );
}

function plan(
  manifest: GridManifest,
  target: readonly HostDescription[],
  realm: RealmKey = 'none',
): RestorePlan {
  return planRestore({
    manifest,
    hosts: target.map((host) => ({ agent: `${host.host}:7411`, host })),
    maps: new Map(),
    realm,
  });
}

function refusal(attempt: () => unknown): Failure {
  try {
    attempt();
  } catch (error) {
    if (error instanceof StillpointError && error.exitCode === 3) return error.failure;
    throw error;
  }
  throw new Error('accepted');
}

describe('a grid without a realm, of processes that a realm could define', () => {
  it('is let through, down to a single node', () => {
    expect(look(nodes()).members.map(({ description }) => description.name)).to.deep.equal(NODES);
    const alone = look(nodes({ a2: null, b1: null, b2: null }));
    expect(alone.members).to.have.length(1);
    expect(alone.warnings).to.deep.equal([]);
  });

  it('has its copysets in the order of the grid file, and each that is named must be there', () => {
    expect(look(nodes(), { copysets: ['b', 'a'] }).copysets).to.deep.equal(['b', 'a']);
    expect(refusal(() => look(nodes(), { copysets: ['a', 'b', 'c'] })).code).to.equal('copyset-missing');
    expect(refusal(() => look(nodes(), { copysets: ['a'] })).code).to.equal('foreign-copyset');
  });

  it('may have servers of another engine beside its nodes', () => {
    const mixed = preflight({
      grid: 'orders',
      realm: 'none',
      copysets: ['shard', 'b', 'a'],
      maintenance: false,
      hosts: nodes({}, [shard]).map((host) => ({ host, repositoryId: 'r' })),
      repositoryId: 'r',
      repositoryFreeBytes: 1e9,
      earlier: null,
    });
    expect(mixed.copysets).to.deep.equal(['shard', 'b', 'a']);
    expect(mixed.members).to.have.length(5);
  });

  it('needs of a copyset what every grid needs of it', () => {
    expect(refusal(() => look(nodes({ a1: DOWN }))).code).to.equal('copyset-without-primary');
    expect(refusal(() => look(nodes({ a1: DOWN, a2: DOWN }))).code).to.equal('copyset-down');
    expect(look(nodes({ a2: DOWN })).absent.map(({ name }) => name)).to.deep.equal(['a2']);
  });

  it('is asked for its realm where the grid file does not say so, and the hint names the key', () => {
    for (const attempt of [
      () => look(nodes(), { realm: null }),
      () => plan(checkpoint(nodes()), nodes(each(NODES, DOWN)), null),
      () => planFailover({ hosts: nodes(), realm: null, repository: { epoch: 0, counter: 0 }, usedEpoch: 0 }),
    ])
      expect(refusal(attempt).hint).to.contain('realm: none');
  });

  it('has neither realm service nor keeper, whether it is captured or restored', () => {
    const whole = realmGrid();
    const { code, message } = refusal(() => look(whole));
    expect(code).to.equal('realm-unexpected');
    expect(message).to.contain('r1 on host-r1 is a realm-service');
    expect(refusal(() => look(nodes({ k2: {} }))).message).to.contain('k2 on host-k2 is a state-keeper');
    expect(refusal(() => plan(checkpoint(whole), realmGrid(each(NAMES, DOWN)))).code).to.equal(
      'realm-unexpected',
    );
  });

  it('is restored with nobody to tell where it is, what was absent from its copyset', () => {
    const { members, relocation, warnings } = plan(checkpoint(nodes({ b2: DOWN })), nodes(each(NODES, DOWN)));
    expect(members.map(({ name, source }) => `${name} from ${source.name}`)).to.deep.equal([
      'a1 from a1',
      'a2 from a2',
      'b1 from b1',
      'b2 from b1',
    ]);
    expect(relocation).to.equal(null);
    expect(warnings.map(({ code }) => code)).to.deep.equal(['member-rebuilt']);
  });

  it('may have a node more in the place that it is restored to: no realm would have to know it', () => {
    const target = nodes(each(NODES, DOWN));
    const made = plan(checkpoint(nodes({ a2: null })), target);
    expect(made.members.find(({ name }) => name === 'a2')?.source.name).to.equal('a1');
  });

  it('is failed over by what repository and agents know', () => {
    const hosts = nodes().map((host) => ({ ...host, highestEpoch: 4 }));
    const repository = { epoch: 2, counter: 9 };
    expect(planFailover({ hosts, realm: 'none', repository, usedEpoch: 2 }).epoch).to.equal(5);
  });
});
