import { expect } from 'chai';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { RestoreKeeper } from '../../agent/restore-keeper.ts';
import type { Engine, RestorePlace } from '../../agent/engines/engine.ts';
import { openStateDirectory, type StateDirectory } from '../../agent/state-directory.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import { initRepository, openRepository } from '../../shared/repository/open.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: an agent whose coordinator is gone ends a restore as the repository says, and never by a repository that does not know of it.
// Method: real repositories in directories, a real state directory, an engine that only remembers.

const PRODUCTION = crypto.randomUUID();
const COPY = crypto.randomUUID();

describe('a restore that lost its coordinator', () => {
  const folder = temporaryFolder('restore-keeper');
  let ours: Repository;
  let other: Repository;
  let mounted: () => Promise<Repository>;
  let state: StateDirectory;
  let done: string[];
  let onRecover: () => Promise<void>;
  let place: RestorePlace;
  let keeper: RestoreKeeper;
  let number = 0;

  before(async () => {
    for (const name of ['ours', 'other']) await initRepository(join(folder.path, name));
    ours = await openRepository(join(folder.path, 'ours'));
    other = await openRepository(join(folder.path, 'other'));
    await ours.announceRestore('orders', 'r1', { checkpoint: 'c', hosts: [], lineage: COPY });
    await ours.announceRestore('orders', 'r2', { checkpoint: 'c', hosts: [], lineage: COPY });
    await ours.decideRestore('orders', 'r2', 'restored');
  });

  after(async () => {
    await ours.close();
    await other.close();
    folder.remove();
  });

  beforeEach(async () => {
    number += 1;
    const path = join(folder.path, `state-${number}`);
    mkdirSync(path);
    state = await openStateDirectory(path);
    done = [];
    onRecover = () => Promise.resolve();
    place = { isThere: true, isOccupied: true, left: null };
    const engine = {
      restorePlace: () => Promise.resolve(place),
      recoverRestore: (outcome: string, switched: boolean) => {
        done.push(`${outcome} ${switched ? 'after' : 'before'} the switch`);
        return onRecover();
      },
    } as unknown as Engine;
    keeper = new RestoreKeeper({
      members: new Map([['aa', { name: 'aa', engine }]]),
      state,
      repository: () => mounted(),
      log: createLog({ name: 'test', level: 'silent' }),
    });
  });

  afterEach(() => keeper.stop());

  const left = (restoreId: string, switched: boolean): Promise<void> =>
    state.saveRestore({ member: 'aa', grid: 'orders', restoreId, repositoryId: ours.id, switched });

  it('goes back where nothing was decided, and stays so', async () => {
    mounted = () => Promise.resolve(ours);
    await left('r1', false);
    await keeper.recover();
    expect(done).to.deep.equal(['rolledBack before the switch']);
    expect(await ours.decideRestore('orders', 'r1', 'restored')).to.equal('rolledBack');
    expect(await state.restoreRecords()).to.deep.equal([]);
  });

  it('goes forward where that was decided', async () => {
    mounted = () => Promise.resolve(ours);
    await left('r2', true);
    await keeper.recover();
    expect(done).to.deep.equal(['restored after the switch']);
  });

  for (const [restoreId, lineage, whose] of [
    ['r1', PRODUCTION, 'that it was of'],
    ['r2', COPY, 'that the restore has made'],
  ] as const) {
    it(`leaves its host in the lineage ${whose}, also where its coordinator told nobody`, async () => {
      mounted = () => Promise.resolve(ours);
      await state.saveLineage(PRODUCTION);
      await left(restoreId, true);
      let atTheEnd: string | null = null;
      onRecover = async () => {
        atTheEnd = await state.lineage();
      };
      await keeper.recover();
      // Before clients come in: no checkpoint of the copy is ever taken for one of production.
      expect([atTheEnd, await state.lineage()]).to.deep.equal([lineage, lineage]);
    });
  }

  it('is left alone while another repository lies in its place, and ended when its own is there', async () => {
    mounted = () => Promise.resolve(other);
    await left('r2', true);
    await keeper.recover();
    expect(done).to.deep.equal([]);
    expect(await state.restoreRecords()).to.have.length(1);
    const asked = await keeper.endNow('aa', 'r2').catch((error: unknown) => error);
    expect((asked as StillpointError).failure.code).to.equal('restore-undecided');
    mounted = () => Promise.resolve(ours);
    // It asks by itself.
    await until('the restore to be ended', () => done.length > 0, 5000);
    expect(done).to.deep.equal(['restored after the switch']);
  });

  for (const [restoreId, outcome] of [
    ['r1', 'rolledBack'],
    ['r2', 'restored'],
  ] as const) {
    it(`is not taken for ended (${outcome}) while the disk of its data is not mounted, and ended when it is`, async () => {
      mounted = () => Promise.resolve(ours);
      const record = { member: 'aa', grid: 'orders', restoreId, repositoryId: ours.id, switched: true };
      await state.saveRestore({ ...record, replaced: true });
      place = { isThere: false, isOccupied: false, left: null };
      await keeper.recover();
      expect(done).to.deep.equal([]);
      const asked = await keeper.endNow('aa', restoreId).catch((error: unknown) => error);
      expect(asked).to.have.nested.property('failure.code', 'restore-unfinished');
      place = { isThere: true, isOccupied: true, left: { restore: null, switched: true } };
      await keeper.endNow('aa', restoreId);
      expect(done).to.deep.equal([`${outcome} after the switch`]);
    });
  }

  it('is ended by an agent whose state is new: its directories say which one it is', async () => {
    mounted = () => Promise.resolve(ours);
    const restore = { grid: 'orders', restoreId: 'r2', repositoryId: ours.id };
    place = { isThere: true, isOccupied: true, left: { restore, switched: true } };
    await keeper.recover();
    expect(done).to.deep.equal(['restored after the switch']);
  });

  it('is not said to be ended where its directories do not say which one it is', async () => {
    mounted = () => Promise.resolve(ours);
    place = { isThere: true, isOccupied: true, left: { restore: null, switched: true } };
    await keeper.recover();
    const asked = await keeper.endNow('aa', 'r2').catch((error: unknown) => error);
    expect(asked).to.have.nested.property('failure.code', 'restore-unfinished');
    expect(done).to.deep.equal([]);
  });

  it('is left alone by a repository that does not know of it', async () => {
    mounted = () => Promise.resolve(ours);
    await left('r3', true);
    await keeper.recover();
    expect(done).to.deep.equal([]);
    expect(await ours.readRestore('orders', 'r3')).to.equal(null);
  });

  it('is left alone while the repository cannot be read', async () => {
    mounted = () => Promise.reject(new Error('ESTALE'));
    await left('r2', true);
    await keeper.recover();
    expect(done).to.deep.equal([]);
  });
});
