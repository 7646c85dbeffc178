import { expect } from 'chai';
import { restoreGrid } from '../../coordinator/restore.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { goOn } from '../../shared/runtime/moments.ts';
import { manifestOf } from './descriptions.ts';
import { DOWN, each, NAMES, realmGrid } from './realm-grid.ts';
import { patient, quiet, scriptedAgents, storeManifest, type ScriptedAgents } from './scripted-agents.ts';

// Goal: the steps of a restore come in an order in which each process finds what it needs.
// Method: agents that remember what they were asked, over the real wire.

const described = manifestOf(
  realmGrid().flatMap(({ host, members }) => members.map((member) => ({ host, member }))),
);
const target = realmGrid({ ...each(NAMES, DOWN), a2: { ...DOWN, address: 'elsewhere:7000' } });

describe('the restore of a grid with a realm', () => {
  let agents: ScriptedAgents;
  let manifest: GridManifest;

  before(async () => {
    agents = await scriptedAgents(target);
    manifest = await storeManifest(agents.repository, described);
  });

  after(() => agents.close());

  beforeEach(() => {
    agents.asked.splice(0);
    agents.onRequest = () => undefined;
    agents.running = false;
  });

  const restore = (options: { stop?: boolean; dryRun?: boolean } = {}): ReturnType<typeof restoreGrid> =>
    restoreGrid({
      gridFile: agents.gridFile,
      repositoryLocation: agents.gridFile.repository,
      manifest,
      maps: new Map(),
      stop: options.stop ?? false,
      dryRun: options.dryRun ?? false,
      cancellation: patient,
      progress: quiet,
      log: createLog({ name: 'test', level: 'silent' }),
      reach: goOn,
    });

  function steps(...types: readonly string[]): string[] {
    return agents.asked.flatMap(({ request }) =>
      request.type === 'restore' && types.includes(request.step.type)
        ? [`${request.step.type} ${request.member}`]
        : [],
    );
  }

  it('tells the realm where its processes are when it is healthy, the primary alone, and before anything else starts [S17]', async () => {
    const { relocations } = await restore();

    const order = steps('start', 'relocate');
    expect(order.slice(0, 3)).to.deep.equal(['start r1', 'relocate r1', 'start r2']);
    expect(order.slice(3, 6)).to.have.members(['start k1', 'start k2', 'start k3']);
    expect(order.slice(6, 10)).to.have.members(['start a1', 'start a2', 'start b1', 'start b2']);
    expect(order.slice(10)).to.deep.equal(['start p1']);
    expect(relocations).to.deep.equal([{ name: 'a2', from: 'host-a2:7000', to: 'elsewhere:7000' }]);
  });

  it('is blocked by any one process that runs, and writes nothing [S9]', async () => {
    for (const name of NAMES) {
      agents.running = [name];
      const { failure, exitCode } = (await restore().catch((error: unknown) => error)) as StillpointError;
      expect({ ...failure, exitCode }).to.include({ code: 'member-running', member: name, exitCode: 3 });
    }
    expect(steps('stage', 'stop', 'switchIn')).to.deep.equal([]);
  });

  it('stops proxies, nodes, keepers, realm services, in this order', async () => {
    agents.running = true;
    await restore({ stop: true });

    const order = steps('stop').map((step) => step.slice('stop '.length));
    expect(order[0]).to.equal('p1');
    expect(order.slice(1, 5)).to.have.members(['a1', 'a2', 'b1', 'b2']);
    expect(order.slice(5, 8)).to.have.members(['k1', 'k2', 'k3']);
    expect(order.slice(8)).to.deep.equal(['r2', 'r1']);
  });

  it('shows what the realm is to be told, and touches nothing, with --dry-run', async () => {
    const { relocations, members } = await restore({ dryRun: true });

    expect(relocations).to.deep.equal([{ name: 'a2', from: 'host-a2:7000', to: 'elsewhere:7000' }]);
    expect(members).to.have.length(NAMES.length);
    const asked = agents.asked.flatMap(({ request }) =>
      request.type === 'restore' ? [request.step.type] : [],
    );
    expect(asked, 'every host is looked at').to.have.length(NAMES.length);
    expect(new Set(asked)).to.deep.equal(new Set(['check']));
  });

  it('goes back everywhere, with nothing else started, when the realm cannot be told [S12]', async () => {
    agents.onRequest = (_, request) => {
      if (request.type === 'restore' && request.step.type === 'relocate')
        throw new StillpointError({ code: 'relocate-unsupported', message: 'm', hint: 'h' });
    };

    const { failure, exitCode } = (await restore().catch((error: unknown) => error)) as StillpointError;

    expect({ ...failure, exitCode }).to.include({ code: 'relocate-unsupported', member: 'r1', exitCode: 7 });
    expect(steps('start')).to.deep.equal(['start r1']);
    expect(steps('rollBack')).to.have.length(NAMES.length);
  });
});
