import { expect } from 'chai';
import { finishRestore } from '../../coordinator/finish-restore.ts';
import { restoreGrid } from '../../coordinator/restore.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import type { AnnouncedRestore } from '../../shared/repository/repository.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { goOn } from '../../shared/runtime/moments.ts';
import { describedHost, describedMember, manifestOf } from './descriptions.ts';
import { patient, quiet, scriptedAgents, storeManifest, type ScriptedAgents } from './scripted-agents.ts';

// Goal: what a command says of the members of a restore is so, and it says nothing of members that it did not ask.
// Method: agents that answer as a test says, over the real wire.

const hosts = ['aa', 'ba'].map((name) => describedHost(`host-${name}`, [describedMember(name)]));

describe('the end of a restore, as its command tells it', () => {
  let agents: ScriptedAgents;

  before(async () => {
    agents = await scriptedAgents(hosts);
  });

  after(() => agents.close());

  const finish = (restoreId: string): Promise<unknown> =>
    finishRestore({
      gridFile: agents.gridFile,
      repository: agents.repository,
      restoreId,
      cancellation: patient,
      progress: quiet,
    });

  const restore = (
    manifest: GridManifest,
    stop: boolean,
    maps: ReadonlyMap<string, string> = new Map(),
  ): Promise<unknown> =>
    restoreGrid({
      gridFile: agents.gridFile,
      repositoryLocation: agents.gridFile.repository,
      manifest,
      maps,
      stop,
      dryRun: false,
      cancellation: patient,
      progress: quiet,
      log: createLog({ name: 'test', level: 'silent' }),
      reach: goOn,
    });

  it('is refused with a grid file that does not name all its hosts, and nothing is decided', async () => {
    await agents.repository.announceRestore('orders', 'elsewhere', {
      checkpoint: 'c',
      hosts: ['host-aa', 'other'],
      lineage: null,
    });
    const refused = await finish('elsewhere').catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(StillpointError);
    const { failure, exitCode } = refused as StillpointError;
    expect([failure.code, exitCode]).to.deep.equal(['restore-elsewhere', 3]);
    expect(failure.message).to.include('other').and.not.include('host-aa');
    expect(await agents.repository.decideRestore('orders', 'elsewhere', 'restored')).to.equal('restored');
  });

  it('is told where all its hosts are asked', async () => {
    await agents.repository.announceRestore('orders', 'here', {
      checkpoint: 'c',
      hosts: ['host-aa', 'host-ba'],
      lineage: null,
    });
    expect(await finish('here')).to.include({ outcome: 'rolledBack', checkpoint: 'c' });
  });

  it('has its lineage in the repository before anything is on a host, the one that agents are told at its end', async () => {
    const elsewhere = hosts.flatMap(({ host, members }) =>
      members.map((member) => ({ host: `production-${host}`, member })),
    );
    const manifest = await storeManifest(agents.repository, {
      ...manifestOf(elsewhere),
      checkpoint: '20261120T120000.123Z_00000000_00000008_copied',
      counter: 8,
    });
    const announced: Promise<AnnouncedRestore | null>[] = [];
    agents.onRequest = (_, request) => {
      if (request.type === 'restore' && request.step.type === 'stage')
        announced.push(agents.repository.readRestore('orders', request.step.restoreId));
    };
    const maps = hosts.map(({ host }) => [`production-${host}`, host] as const);
    await restore(manifest, false, new Map(maps));
    const lineage = (await announced[0])?.lineage;
    expect(lineage).to.be.a('string').and.not.equal(manifest.lineage);
    expect(lineagesJoined(agents)).to.deep.equal([lineage, lineage]);
  });

  it('says of each member what it is, after one was stopped and the next could not be', async () => {
    const manifest = await storeManifest(
      agents.repository,
      manifestOf(hosts.flatMap(({ host, members }) => members.map((member) => ({ host, member })))),
    );
    agents.running = ['aa', 'ba'];
    agents.onRequest = (_, request) => {
      if (request.type !== 'restore' || request.member !== 'ba') return;
      if (request.step.type === 'stop')
        throw new StillpointError({ code: 'command-failed', message: 'it did not stop', hint: 'h' });
      if (request.step.type === 'rollBack') agents.running = ['ba'];
    };
    const failed = await restore(manifest, true).catch((error: unknown) => error);
    const { failure, exitCode } = failed as StillpointError;
    expect([failure.code, exitCode], String(failed)).to.deep.equal(['command-failed', 7]);
    const states = (failure.members ?? []).map(({ name, state }) => [name, state] as const);
    expect(Object.fromEntries(states)['ba']).to.equal('running');
    expect(new Set(agents.asked.flatMap(({ request }) => stepOf(request))).has('rollBack')).to.equal(true);
    expect(agents.asked.map(({ request }) => stepOf(request)).lastIndexOf('isRunning')).to.be.greaterThan(
      agents.asked.map(({ request }) => stepOf(request)).indexOf('rollBack'),
    );
  });
});

function lineagesJoined({ asked }: ScriptedAgents): string[] {
  return asked.flatMap(({ request }) => (request.type === 'joinLineage' ? [request.lineage] : []));
}

function stepOf(request: ScriptedAgents['asked'][number]['request']): string {
  return request.type === 'restore' ? request.step.type : '';
}
