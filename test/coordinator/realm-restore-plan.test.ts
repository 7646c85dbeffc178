import { expect } from 'chai';
import { warningLine } from '../../shared/domain/warning.ts';
import { planRestore, startWaves, type RestorePlan } from '../../coordinator/restore-plan.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { HostDescription, MemberDescription } from '../../shared/domain/grid.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { describedMember, manifestOf, standby } from './descriptions.ts';
import { DOWN, each, NAMES, realm, realmGrid } from './realm-grid.ts';

// Goal: every process of a grid with a realm is built from what it stored itself, in the order in which each
// needs the other, and the realm learns where they are before any of them asks.

type Changes = Parameters<typeof realmGrid>[0];

function checkpoint(changes: Changes = {}, more: readonly MemberDescription[] = []): GridManifest {
  const described = realmGrid(changes, more).flatMap(({ host, members }) =>
    members.map((member) => ({ host, member })),
  );
  return manifestOf(
    described.filter(({ member }) => member.running),
    described.filter(({ member }) => !member.running).map(({ member }) => member.name),
  );
}

const stopped = each(NAMES, DOWN);

function plan(manifest: GridManifest, target: readonly HostDescription[] = realmGrid(stopped)): RestorePlan {
  return planRestore({
    manifest,
    hosts: target.map((host) => ({ agent: `${host.host}:7411`, host })),
    maps: new Map(),
    realm: null,
  });
}

function refusal(...args: Parameters<typeof plan>): string {
  try {
    plan(...args);
  } catch (error) {
    const { failure, exitCode } = error as StillpointError;
    return `${failure.code}: ${exitCode}`;
  }
  return 'accepted';
}

function inShort({ members }: RestorePlan, names: readonly string[]): string[] {
  return members
    .filter(({ name }) => names.includes(name))
    .map(
      ({ name, source, own, follow }) =>
        `${name} from ${source.name}${own === null ? '' : ` and ${own.name}`}${follow === null ? '' : ` following ${follow}`}`,
    );
}

describe('the plan of a restore of a grid with a realm', () => {
  it('builds each from what it stored itself, a satellite from its primary', () => {
    expect(inShort(plan(checkpoint()), NAMES)).to.deep.equal([
      'r1 from r1',
      'r2 from r1 and r2 following host-r1:7000',
      'k1 from k1',
      'k2 from k2',
      'k3 from k3',
      'a1 from a1',
      'a2 from a2',
      'b1 from b1',
      'b2 from b2',
      'p1 from p1',
    ]);
  });

  it('builds what was absent from the lead of its kind, and says so [S39]', () => {
    const absent = ['r2', 'k3', 'a2', 'p1'] as const;
    const made = plan(checkpoint(each(absent, DOWN)));

    expect(inShort(made, absent)).to.deep.equal([
      'r2 from r1 following host-r1:7000',
      'k3 from k1',
      'a2 from a1',
      'p1 from r1',
    ]);
    expect(made.warnings.map(warningLine)).to.deep.equal([
      'r2 was down and is absent from the checkpoint: it is rebuilt from r1; where that is not what you want, restore a checkpoint that has it',
      'k3 was down and is absent from the checkpoint: it is rebuilt from k1; where that is not what you want, restore a checkpoint that has it',
      'a2 was down and is absent from the checkpoint: it is rebuilt from a1 of its copyset; where that is not what you want, restore a checkpoint that has it',
      'p1 was down and is absent from the checkpoint: it is rebuilt from r1; where that is not what you want, restore a checkpoint that has it',
    ]);
  });

  it('builds an absent keeper from any other while none of them led [S39]', () => {
    const manifest = checkpoint({ ...each(['k1', 'k2'], { primary: false }), k3: DOWN });
    expect(inShort(plan(manifest), ['k3'])).to.deep.equal(['k3 from k1']);
  });

  it('starts realm services, keepers, nodes, proxies, and stops them in reverse [S43]', () => {
    const manifest = checkpoint({}, [describedMember('sa'), standby('sb', { copyset: 's' })]);
    const target = realmGrid(stopped, [
      describedMember('sa', DOWN),
      describedMember('sb', { ...DOWN, copyset: 's' }),
    ]);
    const waves = startWaves(plan(manifest, target).members).map((wave) => wave.map(({ name }) => name));

    expect(waves).to.deep.equal([
      ['r1'],
      ['r2'],
      ['k1', 'k2', 'k3'],
      ['a1', 'a2', 'b1', 'b2', 'sa'],
      ['sb'],
      ['p1'],
    ]);
  });

  it('tells the primary realm service where every process of it is [S5]', () => {
    const moved = realmGrid({
      ...stopped,
      a2: { ...DOWN, address: 'elsewhere:7000', dataDirectory: '/data/a2' },
      k3: { ...DOWN, address: 'elsewhere:7001' },
    });
    const { relocation } = plan(checkpoint({ k3: DOWN }), moved);

    expect(relocation?.tell.name).to.equal('r1');
    expect(relocation?.processes.map(({ name }) => name)).to.have.members(NAMES);
    expect(relocation?.processes.find(({ name }) => name === 'a2')).to.deep.equal({
      name: 'a2',
      address: 'elsewhere:7000',
      dataDirectory: '/data/a2',
      running: false,
    });
    expect(relocation?.moved).to.deep.equal([
      { name: 'k3', from: null, to: 'elsewhere:7001' },
      { name: 'a2', from: 'host-a2:7000', to: 'elsewhere:7000' },
    ]);
  });

  it('tells one of several primary realm services, and lets each have what it stored [S19]', () => {
    const made = plan(checkpoint({ r2: { primary: true, freezeKind: 'fenced' } }));

    expect(inShort(made, ['r1', 'r2'])).to.deep.equal(['r1 from r1', 'r2 from r2']);
    expect(made.relocation?.tell.name).to.equal('r1');
    expect(startWaves(made.members)[0]?.map(({ name }) => name)).to.deep.equal(['r1', 'r2']);
  });

  it('has nothing to tell where there is no realm', () => {
    const manifest = manifestOf([{ host: 'host-sa', member: describedMember('sa') }]);
    const target = realmGrid(Object.fromEntries(NAMES.map((name) => [name, null])), [
      describedMember('sa', DOWN),
    ]);
    expect(plan(manifest, target).relocation).to.equal(null);
  });

  it('warns of what was absent and has no place in the target', () => {
    expect(
      plan(checkpoint({ p1: DOWN }), realmGrid({ ...stopped, p1: null })).warnings.map(warningLine),
    ).to.deep.equal([
      'p1 is absent from the checkpoint, and no agent of the target grid has it; name it in an agent file to have it back',
    ]);
  });

  const lacking: Record<string, () => GridManifest> = {
    'its realm service': () => checkpoint({ r1: null, r2: null }),
    'its primary realm service': () => checkpoint({ r1: null }),
    'its keepers': () => checkpoint({ k1: null, k2: null, k3: null }),
    'a copyset': () => ({ ...checkpoint({ b1: null, b2: null }), copysets: ['b', 'a'] }),
  };
  for (const [what, manifest] of Object.entries(lacking)) {
    it(`refuses a checkpoint that lacks ${what} [S12]`, () => {
      expect(refusal(manifest())).to.equal('checkpoint-incomplete: 3');
    });
  }

  it('refuses a target whose realm runs and has more than the grid [S6] [S7]', () => {
    const foreign = { realm: realm({ foreign: ['grid payroll'] }) };
    expect(refusal(checkpoint(), realmGrid({ r1: foreign }))).to.equal('realm-not-alone: 3');
  });

  it('refuses a target whose realm is stopped, and by its files has more than the grid, or is of another [S6] [S7]', () => {
    const foreign = { ...DOWN, realm: realm({ foreign: ['process audit'] }) };
    expect(refusal(checkpoint(), realmGrid({ ...stopped, r1: foreign }))).to.equal('realm-not-alone: 3');
    const other = { ...DOWN, realm: realm({ grid: 'payroll' }) };
    expect(refusal(checkpoint(), realmGrid({ ...stopped, r1: other }))).to.equal('wrong-realm: 3');
  });

  it('refuses a process of another name: the realm knows them by name', () => {
    const renamed = describedMember('k9', {
      ...DOWN,
      engine: 'native',
      role: 'state-keeper',
      copyset: null,
    });
    expect(refusal(checkpoint(), realmGrid({ ...stopped, k3: null }, [renamed]))).to.equal(
      'plan-no-target: 3',
    );
    expect(refusal(checkpoint(), realmGrid(stopped, [renamed]))).to.equal('plan-no-source: 3');
  });
});
