import { expect } from 'chai';
import { restoreGrid } from '../../coordinator/restore.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { goOn } from '../../shared/runtime/moments.ts';
import { describedHost, describedMember, manifestOf } from './descriptions.ts';
import { patient, quiet, scriptedAgents, storeManifest, type ScriptedAgents } from './scripted-agents.ts';

// Goal: what is restored while it runs is never stopped, and never restored without the word that lets clients be kept
// out. Method: agents that remember what they were asked, over the real wire.

const memory = { copyset: 'm', dataIdentity: 'this run', traits: { restoresRunning: true } } as const;
const member = describedMember('m1', memory);
const disk = describedMember('d1', { copyset: 'd' });

describe('a restore of a grid with a member that is restored while it runs', () => {
  let agents: ScriptedAgents;
  let manifest: GridManifest;

  before(async () => {
    // What is in memory is of another run by now; what is on a disk is still what it was.
    agents = await scriptedAgents([
      describedHost('alpha', [{ ...member, dataIdentity: 'another run' }]),
      describedHost('beta', [disk]),
    ]);
    manifest = await storeManifest(
      agents.repository,
      manifestOf([
        { host: 'alpha', member },
        { host: 'beta', member: disk },
      ]),
    );
  });
  after(() => agents.close());
  beforeEach(() => {
    agents.asked.splice(0);
    agents.onRequest = () => undefined;
  });

  const restore = (stop: boolean): ReturnType<typeof restoreGrid> =>
    restoreGrid({
      gridFile: agents.gridFile,
      repositoryLocation: agents.gridFile.repository,
      manifest,
      maps: new Map(),
      stop,
      dryRun: false,
      cancellation: patient,
      progress: quiet,
      log: createLog({ name: 'test', level: 'silent' }),
      reach: goOn,
    });

  const asked = (type: string): string[] =>
    agents.asked.flatMap(({ request }) =>
      request.type === 'restore' && request.step.type === type ? [request.member] : [],
    );

  it('needs --stop, although it is not stopped', async () => {
    agents.running = ['m1'];
    const { failure, exitCode } = (await restore(false).catch((error: unknown) => error)) as StillpointError;
    expect([failure.code, failure.member, exitCode]).to.deep.equal(['member-running', 'm1', 3]);
    expect(failure.hint).to.equal(
      'it is restored while it runs: with --stop its clients are refused until that is done',
    );
    expect(asked('stage')).to.deep.equal([]);
  });

  it('stops all others, and goes on while it runs', async () => {
    agents.running = ['m1', 'd1'];
    agents.onRequest = (_, request) => {
      if (request.type === 'restore' && request.step.type === 'stop') agents.running = ['m1'];
    };
    const { verified } = await restore(true);
    expect(verified).to.equal(true);
    expect(asked('stop')).to.deep.equal(['d1']);
    expect(asked('start')).to.have.members(['m1', 'd1']);
  });
});
