import { expect } from 'chai';
import { copyFileSync } from 'node:fs';
import { restoreGrid } from '../../coordinator/restore.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { Layout } from '../../shared/repository/layout.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { goOn } from '../../shared/runtime/moments.ts';
import { ATTACKS, keepTree } from '../repository/attacks.ts';
import { rows, sha256 } from '../repository/samples.ts';
import { describedHost, describedMember, manifestOf } from './descriptions.ts';
import { patient, quiet, scriptedAgents, storeManifest, type ScriptedAgents } from './scripted-agents.ts';

// Goal: of a damaged checkpoint nothing is restored, and for it no process is stopped and no file is written.
// Method: agents that remember what they were asked, a grid that runs, and `--stop`: every damage, one after the other.

const hosts = ['aa', 'ba'].map((name) => describedHost(`host-${name}`, [describedMember(name)]));
const described = manifestOf(
  hosts.flatMap(({ host, members }) => members.map((member) => ({ host, member }))),
);
/** What an agent may be asked while nothing is touched. */
const HARMLESS = ['describe', 'claim', 'release', 'check', 'isRunning'];

describe('the restore of a damaged checkpoint', () => {
  let agents: ScriptedAgents;
  let manifest: GridManifest;
  let layout: Layout;

  before(async () => {
    agents = await scriptedAgents(hosts);
    manifest = await storeManifest(agents.repository, described);
    layout = new Layout(agents.gridFile.repository);
  });

  after(() => agents.close());

  async function failureOf(options: { stop: boolean; dryRun: boolean }): Promise<StillpointError> {
    agents.asked.splice(0);
    agents.running = true;
    try {
      await restoreGrid({
        gridFile: agents.gridFile,
        repositoryLocation: agents.gridFile.repository,
        manifest,
        maps: new Map(),
        cancellation: patient,
        progress: quiet,
        log: createLog({ name: 'test', level: 'silent' }),
        reach: goOn,
        ...options,
      });
    } catch (error) {
      if (error instanceof StillpointError) return error;
      throw error;
    }
    throw new Error('it was restored');
  }

  function asked(): string[] {
    return [
      ...new Set(
        agents.asked.map(({ request }) => (request.type === 'restore' ? request.step.type : request.type)),
      ),
    ];
  }

  const CLASSES = [
    {
      title: 'in a chunk',
      file: () => layout.chunk('orders', sha256(rows(5000, 'ba'))),
      names: { code: 'checkpoint-damaged', member: 'ba' },
      says: 'ba: base/rows',
    },
    {
      title: 'in a member manifest',
      file: () => layout.member('orders', manifest.checkpoint, 'ba'),
      names: { code: 'checkpoint-damaged', member: 'ba' },
      says: 'ba: members/ba.json',
    },
    {
      title: 'in the commit object',
      file: () => layout.gridManifest('orders', manifest.checkpoint),
      names: { code: 'checkpoint-damaged' },
      says: 'grid: grid.json',
    },
  ] as const;

  for (const { title, file, names, says } of CLASSES) {
    it(`stops before it touches a host, whatever the damage is ${title}`, async () => {
      const putBack = keepTree(layout.root);
      for (const { name, strike } of ATTACKS) {
        strike(file());
        const { failure, exitCode } = await failureOf({ stop: true, dryRun: false });
        putBack();
        expect(HARMLESS, name).to.include.members(asked());
        if (failure.code === 'checkpoint-missing') {
          expect({ title, name }).to.deep.equal({ title: 'in the commit object', name: 'the file removed' });
          expect(failure.message).to.include(manifest.checkpoint);
          continue;
        }
        expect({ ...failure, exitCode }, name).to.include({ ...names, exitCode: 6 });
        expect(failure.message, name).to.include(manifest.checkpoint).and.include(says);
        expect(failure.hint, name).to.include('no host was touched');
      }
    });
  }

  it('stops before it touches a host when one member is of the checkpoint before [S13]', async () => {
    const before = '20261120T110000.123Z_00000000_00000006_nightly';
    await storeManifest(agents.repository, { ...described, checkpoint: before, counter: 6 });
    const putBack = keepTree(layout.root);
    copyFileSync(layout.member('orders', before, 'ba'), layout.member('orders', manifest.checkpoint, 'ba'));
    for (const options of [
      { stop: true, dryRun: false },
      { stop: false, dryRun: true },
    ]) {
      const { failure, exitCode } = await failureOf(options);
      expect(HARMLESS).to.include.members(asked());
      expect({ ...failure, exitCode }).to.include({ code: 'checkpoint-damaged', member: 'ba', exitCode: 6 });
      expect(failure.message).to.include('ba: members/ba.json');
    }
    putBack();
  });

  it('stops before it touches a host when repository.json is damaged or of another repository', async () => {
    const putBack = keepTree(layout.root);
    for (const { name, strike } of ATTACKS) {
      strike(layout.identity());
      const { failure, exitCode } = await failureOf({ stop: true, dryRun: false });
      putBack();
      expect(HARMLESS, name).to.include.members(asked());
      expect(failure.code, name).to.be.oneOf(['repository-damaged', 'repository-format']);
      expect(exitCode, name).to.equal(3);
    }
  });

  it('is told by --dry-run where the damage can be seen without reading every byte', async () => {
    const putBack = keepTree(layout.root);
    for (const { name, strike } of ATTACKS.filter(({ name: attack }) => !/flipped|zeros/.test(attack))) {
      strike(layout.chunk('orders', sha256(rows(5000, 'ba'))));
      const { failure, exitCode } = await failureOf({ stop: false, dryRun: true });
      putBack();
      expect({ code: failure.code, exitCode }, name).to.deep.equal({
        code: 'checkpoint-damaged',
        exitCode: 6,
      });
    }
  });

  it('is another matter when the checkpoint is sound: then the same command stops the processes', async () => {
    agents.asked.splice(0);
    agents.onRequest = (_, request) => {
      if (request.type === 'restore' && request.step.type === 'switchIn')
        throw new StillpointError({ code: 'host-disk-full', message: 'm', hint: 'h' });
    };
    const { exitCode } = await failureOf({ stop: true, dryRun: false });
    expect(exitCode).to.equal(7);
    expect(asked()).to.include.members(['stage', 'stop', 'switchIn', 'rollBack']);
  });
});
