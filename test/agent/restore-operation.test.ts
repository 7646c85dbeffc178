import { expect } from 'chai';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RestoreKeeper } from '../../agent/restore-keeper.ts';
import { RestoreOperation } from '../../agent/restore-operation.ts';
import type { ArtifactSource, Engine, Restoration } from '../../agent/engines/engine.ts';
import { openStateDirectory, type StateDirectory } from '../../agent/state-directory.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { goOn } from '../../shared/runtime/moments.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from '../repository/made.ts';
import { IMAGE } from '../repository/sets-suite.ts';

// Goal: two restores never work on one member, and the end of one always comes, whatever else is damaged.
// Method: the real operation, keeper, state directory and repository; members that hold nothing, as proxies do.

const GRID = 'orders';
const COPY = crypto.randomUUID();

describe('a restore on its host', () => {
  const folder = temporaryFolder('restore-operation');
  let repository: Repository;
  let state: StateDirectory;
  let keeper: RestoreKeeper;
  let cannotStart: boolean;
  let started: string[];
  let number = 0;

  before(async () => {
    repository = await madeRepository(join(folder.path, 'repository'));
  });

  after(async () => {
    await repository.close();
    folder.remove();
  });

  /** A restore leaves no directory of it; opening it is starting it. */
  const proxy = (name: string): Engine => {
    const start = (): Promise<void> => {
      if (cannotStart) return Promise.reject(new Error('its port is taken'));
      started.push(name);
      return Promise.resolve();
    };
    const nothing = (): Promise<void> => Promise.resolve();
    const restoration = {
      check: () => Promise.resolve({ provesInPrivate: true, warnings: [], rooms: [] }),
      stage: () => Promise.resolve({ followsAs: null }),
      switchIn: nothing,
      open: () => start().then(() => ({ warnings: [], problems: [] })),
      finish: nothing,
      rollBack: nothing,
    } as unknown as Restoration;
    return {
      restoration: () => restoration,
      restorePlace: () => Promise.resolve({ isThere: true, isOccupied: true, left: null }),
      recoverRestore: (outcome: string) => (outcome === 'restored' ? start() : nothing()),
    } as unknown as Engine;
  };

  let members: Map<string, { name: string; engine: Engine }>;

  beforeEach(async () => {
    number += 1;
    const path = join(folder.path, `state-${number}`);
    mkdirSync(path);
    state = await openStateDirectory(path);
    cannotStart = false;
    started = [];
    members = new Map(['pa', 'pb'].map((name) => [name, { name, engine: proxy(name) }]));
    const log = createLog({ name: 'test', level: 'silent' });
    keeper = new RestoreKeeper({ members, state, repository: () => Promise.resolve(repository), log });
  });

  afterEach(() => keeper.stop());

  const operation = (): RestoreOperation =>
    new RestoreOperation({
      members,
      state,
      restoreKeeper: keeper,
      repository: () => Promise.resolve(artless(repository)),
      log: createLog({ name: 'test', level: 'silent' }),
      reach: goOn,
      progress: () => undefined,
    });

  const plan = (restoreId: string): Parameters<RestoreOperation['perform']>[1] & { type: 'stage' } => ({
    type: 'stage',
    restoreId,
    grid: GRID,
    checkpoint: 'c',
    source: { member: 'pa', digest: 'd' },
    own: null,
    follow: null,
  });

  const announce = (restoreId: string): Promise<void> =>
    repository.announceRestore(GRID, restoreId, { checkpoint: 'c', hosts: [], lineage: COPY });

  const switched = async (restoreId: string, ...names: readonly string[]): Promise<RestoreOperation> => {
    const restore = operation();
    for (const name of names) {
      await restore.perform(name, plan(restoreId));
      await restore.perform(name, { type: 'switchIn' });
    }
    return restore;
  };

  const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      (value) => value,
      (error: unknown) => error,
    );

  it('asks a member nothing, and uses no place, that its file does not give to drills', async () => {
    await announce('plain');
    const restore = operation();
    const refused = await failureOf(restore.perform('pa', { type: 'admitDrill' }));
    expect(refused).to.have.nested.property('failure.code', 'drill-not-allowed');
    await restore.perform('pa', plan('plain'));
    const questions = [{ name: 'q', statement: 'SELECT 1', database: '' }];
    const asked = restore.perform('pa', {
      type: 'prove',
      committed: [],
      standbys: [],
      questions,
      moves: null,
    });
    expect(await failureOf(asked)).to.have.nested.property('failure.code', 'drill-not-allowed');
    await restore.end();
  });

  it("is built from an operator's own image where that is named, and from nothing else [S64]", async () => {
    await announce('image');
    const { digest } = await repository.saveImage(GRID, 'nightly', { ...IMAGE, member: 'pa' });
    const source = {} as ArtifactSource;
    const opened: unknown[] = [];
    const sources: unknown[] = [];
    const engine: Engine = {
      ...proxy('pa'),
      images: {
        read: () => Promise.reject(new Error('it was read already')),
        open(image, mark, approach) {
          opened.push([image.member, mark, approach]);
          return Promise.resolve(source);
        },
      },
      restoration(context) {
        sources.push(context.source);
        return proxy('pa').restoration(context);
      },
    };
    members.set('pa', { name: 'pa', engine });
    const restore = operation();
    const image = { set: 'nightly', digest, approach: 'freeze' } as const;
    await restore.perform('pa', { ...plan('image'), image });
    expect(sources).to.deep.equal([source]);
    expect(opened).to.deep.equal([['pa', { artifacts: [] }, 'freeze']]);
    await restore.perform('pa', { type: 'rollBack' });
    await restore.end();
    members.set('pa', { name: 'pa', engine: { ...engine, images: null } });
    const unknown = await failureOf(operation().perform('pa', { ...plan('image'), image }));
    expect(unknown).to.have.nested.property('failure.code', 'images-unnamed');
    expect(sources).to.have.length(1);
  });

  it('that a drill keeps is left alone by all but who ends it', async () => {
    await announce('kept');
    const drill = await switched('kept', 'pa');
    await drill.perform('pa', { type: 'keep' });
    await drill.end();
    await keeper.recover();
    expect(await state.restoreRecords()).to.have.length(1);
    const other = await failureOf(operation().perform('pa', plan('later')));
    expect(other).to.have.nested.property('failure.code', 'drill-kept');
    await operation().perform('pa', { type: 'end', restoreId: 'kept' });
    expect(await state.restoreRecords()).to.deep.equal([]);
    expect(await repository.decideRestore(GRID, 'kept', 'restored')).to.equal('rolledBack');
  });

  it('is refused while an earlier one is left, also where that lies in no directory', async () => {
    await announce('earlier');
    await announce('later');
    const earlier = await switched('earlier', 'pa');
    await repository.decideRestore(GRID, 'earlier', 'restored');
    cannotStart = true;
    await failureOf(earlier.perform('pa', { type: 'open' }));
    await earlier.end();

    const later = operation();
    for (const step of [{ ...plan('later'), type: 'check' as const, moves: null }, plan('later')]) {
      const refused = await failureOf(later.perform('pa', step));
      expect(refused).to.have.nested.property('failure.code', 'restore-unfinished');
      expect(refused).to.have.nested.property('failure.hint').that.includes('--finish earlier');
    }
    expect((await state.restoreRecords()).map(({ restoreId }) => restoreId)).to.deep.equal(['earlier']);

    cannotStart = false;
    await keeper.endNow('pa', 'earlier');
    await later.perform('pa', plan('later'));
    await later.perform('pa', { type: 'rollBack' });
    expect(started).to.deep.equal(['pa']);
  });

  it('that lost its coordinator after the decision is of the lineage that was announced', async () => {
    await announce('orphaned');
    const orphaned = await switched('orphaned', 'pa');
    await repository.decideRestore(GRID, 'orphaned', 'restored');
    await orphaned.end();
    expect([await state.lineage(), started]).to.deep.equal([COPY, ['pa']]);
  });

  it('ends on the other members, and is tried again, where what is recorded of one is damaged', async () => {
    await announce('damaged');
    const restore = await switched('damaged', 'pa', 'pb');
    await repository.decideRestore(GRID, 'damaged', 'restored');
    cannotStart = true;
    writeFileSync(join(state.path, 'restores', 'pa.json'), '{"half');
    await restore.end();
    cannotStart = false;
    await keeper.endNow('pb', 'damaged');
    await keeper.endNow('pa', 'damaged');
    expect(started).to.deep.equal(['pb', 'pa']);
    expect(await state.restoreRecords()).to.deep.equal([]);
  });
});

/** Where the members of a checkpoint are no matter. */
function artless(repository: Repository): Repository {
  return new Proxy(repository, {
    get(target, key) {
      if (key === 'readMember') return () => Promise.resolve({ artifacts: [] });
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
