import { expect } from 'chai';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { Layout } from '../../shared/repository/layout.ts';
import { ATTACKS, copyOver, keepTree } from './attacks.ts';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import {
  checkpointId,
  collect,
  failureOf,
  GRID,
  memberOf,
  noise,
  rows,
  sha256,
  storeCheckpoint,
  storeMember,
  verified,
} from './samples.ts';
import { BEGUN, IMAGE, summaryOf } from './sets-suite.ts';

/** Methods of Layout that name a directory, and not a class of stored file. */
const DIRECTORIES = [
  'grids',
  'checkpoints',
  'checkpoint',
  'members',
  'chunks',
  'operations',
  'leftovers',
  'restores',
  'retentions',
  'drills',
  'verifications',
  'epochs',
  'sets',
  'set',
  'backups',
  'images',
];

const CHECKPOINT = checkpointId(1);
const OLDER = checkpointId(2);
const GONE = checkpointId(3);
const COPY = 'c0b1e0a4-3b0e-4c57-9f3d-1f1f0a3d5c11';
const ABORTED = checkpointId(8);
const DRILL = '{"drill":"of a test"}';
const SET = 'nightly';
const DELETED_SET = 'forgotten';
const IMAGE_DIGEST = sha256(Buffer.from(JSON.stringify(IMAGE)));
const VERIFIED = { checkpoint: CHECKPOINT, verifiedAtMs: 1000, durationMs: 5, bytes: 7, damagedPlaces: 0 };
const packed = rows(20_000, 'packed');
const raw = noise(20_000, 'raw');
const FILES = { 'base/packed': packed, 'base/raw': raw, 'base/sound': rows(500, 'sound') };
/** What may be in memory at once for a file that should be small: far less than the attack puts there. */
const MOST_GROWTH_BYTES = 300 * 1024 * 1024;

/** A class of stored file: where one of it is, and what must hold when it is damaged. */
interface StoredClass {
  readonly file: (layout: Layout) => string;
  /** Throws where the damage goes unseen, or does what it must not. */
  readonly mustBeSeen: (lab: DirectoryLab, attack: string) => Promise<void>;
}

async function mustBeNamed(lab: DirectoryLab, damage: readonly string[]): Promise<void> {
  expect(await verified(lab.repository, CHECKPOINT)).to.deep.equal(damage);
}

/** What a restore would read, all of it. */
async function read(lab: DirectoryLab): Promise<Failure> {
  return failureOf(
    (async () => {
      for (const name of ['a', 'b']) {
        const manifest = await memberOf(lab.repository, CHECKPOINT, name);
        for (const { kind, path } of manifest.artifacts)
          if (kind === 'file') await collect(lab.repository.readFile(manifest, path));
      }
    })(),
  );
}

async function stateOf(lab: DirectoryLab, checkpoint: string): Promise<string | undefined> {
  return (await lab.repository.list(GRID)).find((entry) => entry.checkpoint === checkpoint)?.state;
}

const CLASSES: Readonly<Record<string, StoredClass>> = {
  identity: {
    file: (layout) => layout.identity(),
    async mustBeSeen(lab) {
      await mustBeNamed(lab, ['grid: repository.json']);
      const opened = await lab.open().then(
        () => null,
        (error: unknown) => (error instanceof StillpointError ? error.failure : null),
      );
      expect(opened?.code).to.be.oneOf(['repository-damaged', 'repository-format']);
      expect(opened?.message).to.include(join(lab.path, 'repository.json'));
    },
  },
  gridManifest: {
    file: (layout) => layout.gridManifest(GRID, CHECKPOINT),
    async mustBeSeen(lab, attack) {
      if (attack === 'the file removed') {
        expect(await stateOf(lab, CHECKPOINT)).to.equal('uncommitted');
        expect(await failureOf(verified(lab.repository, CHECKPOINT))).to.include({
          code: 'checkpoint-missing',
        });
        return;
      }
      await mustBeNamed(lab, ['grid: grid.json']);
      expect(await stateOf(lab, CHECKPOINT)).to.equal('damaged');
      const failure = await read(lab);
      expect(failure).to.include({ code: 'manifest-damaged' });
      expect(failure.message).to.include(CHECKPOINT);
    },
  },
  member: {
    file: (layout) => layout.member(GRID, CHECKPOINT, 'b'),
    async mustBeSeen(lab) {
      await mustBeNamed(lab, ['b: members/b.json']);
      expect(await stateOf(lab, CHECKPOINT)).to.equal('damaged');
      const failure = await read(lab);
      expect(failure).to.include({ code: 'manifest-damaged' });
      expect(failure.message).to.include(CHECKPOINT).and.include('b.json');
    },
  },
  chunk: {
    file: (layout) => layout.chunk(GRID, sha256(packed)),
    async mustBeSeen(lab) {
      await mustBeNamed(lab, ['a: base/packed']);
      const failure = await read(lab);
      expect(failure).to.include({ code: 'chunk-damaged', member: 'a' });
      expect(failure.message).to.include('base/packed');
      expect(failure.hint).to.include(CHECKPOINT);
      // It is no reason not to store the same again: the good bytes go beside it.
      await storeMember(lab.repository, checkpointId(9), 'a', { 'base/packed': packed });
    },
  },
  deletedManifest: {
    file: (layout) => layout.deletedManifest(GRID, GONE),
    async mustBeSeen(lab, attack) {
      // It says by its name alone that the checkpoint is valid no more.
      expect(await stateOf(lab, GONE)).to.equal(attack === 'the file removed' ? 'uncommitted' : 'deleting');
      await lab.repository.deleteCheckpoint(GRID, GONE);
      expect(await stateOf(lab, GONE)).to.equal(undefined);
    },
  },
  operation: {
    file: (layout) => layout.operation(GRID, 'under-way'),
    async mustBeSeen(lab, attack) {
      // Whatever it says, it is there: nothing may be collected.
      const { skipped } = await lab.repository.collectGarbage(GRID);
      expect(skipped).to.equal(attack !== 'the file removed');
    },
  },
  collection: {
    file: (layout) => layout.collection(GRID, 'a test', '01234567-0123-0123-0123-0123456789ab'),
    async mustBeSeen(lab, attack) {
      if (attack === 'the file removed') return;
      const other = await lab.open({ patienceMs: 0 });
      const begun = failureOf(other.beginOperation({ grid: GRID, id: 'late', holder: 'a test' }));
      expect(await begun).to.include({ code: 'repository-busy' });
    },
  },
  restore: {
    file: (layout) => layout.restore(GRID, 'decided'),
    async mustBeSeen(lab, attack) {
      const again = lab.repository.decideRestore(GRID, 'decided', 'rolledBack');
      // Where there is none, the first is the first.
      if (attack === 'the file removed') {
        expect(await again).to.equal('rolledBack');
        return;
      }
      // The last byte ends the line, and says nothing.
      if (attack === 'its last byte cut off') {
        expect(await again).to.equal('restored');
        return;
      }
      const failure = await failureOf(again);
      expect(failure).to.include({ code: 'decision-damaged' });
      expect(failure.message).to.include(lab.file('restores', 'decided.json'));
    },
  },
  announcedRestore: {
    file: (layout) => layout.announcedRestore(GRID, 'decided'),
    async mustBeSeen(lab, attack) {
      const known = lab.repository.readRestore(GRID, 'decided');
      if (attack === 'the file removed') {
        expect(await known).to.equal(null);
        return;
      }
      // The last byte ends the line, and says nothing.
      if (attack === 'its last byte cut off') {
        expect(await known).to.deep.equal({ checkpoint: CHECKPOINT, hosts: ['alpha'], lineage: COPY });
        return;
      }
      const failure = await failureOf(known);
      expect(failure).to.include({ code: 'decision-damaged' });
      expect(failure.message).to.include(lab.file('restores', 'decided.announced.json'));
    },
  },
  leftover: {
    file: (layout) => layout.leftover(GRID, ABORTED),
    async mustBeSeen(lab, attack) {
      // It says all by its name and its time.
      const kept = (await lab.repository.leftovers(GRID)).map(({ checkpoint }) => checkpoint);
      expect(kept).to.deep.equal(attack === 'the file removed' ? [] : [ABORTED]);
    },
  },
  deletion: {
    file: (layout) => layout.deletion(GRID, CHECKPOINT, '01234567-0123-0123-0123-0123456789ab'),
    async mustBeSeen(lab, attack) {
      const reading = { grid: GRID, id: 'late', holder: 'a test', reads: CHECKPOINT };
      if (attack === 'the file removed') {
        await (await lab.repository.beginOperation(reading)).end();
        return;
      }
      expect(await failureOf(lab.repository.beginOperation(reading))).to.include({ code: 'repository-busy' });
    },
  },
  retention: {
    file: (layout) => layout.retention(GRID, OLDER),
    async mustBeSeen(lab, attack) {
      const retained = (await lab.repository.retained(GRID)).map(({ checkpoint }) => checkpoint);
      expect(retained).to.deep.equal(attack === 'the file removed' ? [] : [OLDER]);
      if (attack === 'the file removed') return;
      expect(await failureOf(lab.repository.deleteCheckpoint(GRID, OLDER))).to.include({
        code: 'checkpoint-held',
      });
    },
  },
  drill: {
    file: (layout) => layout.drill(GRID, 'drilled'),
    async mustBeSeen(lab) {
      // History and nothing else: what is left of it is not the report that was kept.
      const reports = (await lab.repository.drills(GRID)).map(({ report }) => report);
      expect(reports).not.to.include(`${DRILL}\n`);
    },
  },
  verification: {
    file: (layout) => layout.verification(GRID, CHECKPOINT, VERIFIED.verifiedAtMs),
    async mustBeSeen(lab, attack) {
      // Nothing relies on it. The last byte ends the line, and says nothing.
      const last = await lab.repository.lastVerification(GRID);
      if (attack === 'its last byte cut off') expect(last).to.deep.equal(VERIFIED);
      else expect(last).not.to.deep.equal(VERIFIED);
    },
  },
  epoch: {
    file: (layout) => layout.epoch(GRID, 7),
    async mustBeSeen(lab, attack) {
      const { epoch } = await lab.repository.highestNumber(GRID);
      expect(epoch).to.equal(attack === 'the file removed' ? 0 : 7);
    },
  },
  setHead: {
    file: (layout) => layout.setHead(GRID, SET),
    async mustBeSeen(lab) {
      expect(await setState(lab, SET)).to.equal('damaged');
      const failure = await failureOf(lab.repository.readSet(GRID, SET));
      expect(failure).to.include({ code: 'set-damaged' });
      expect(failure.message).to.include('set.json');
    },
  },
  deletedSet: {
    file: (layout) => layout.deletedSet(GRID, DELETED_SET),
    async mustBeSeen(lab) {
      // It says by its name alone that the set is one no more; and without it the set has no head.
      expect(await setState(lab, DELETED_SET)).to.be.oneOf(['deleting', 'damaged']);
    },
  },
  backup: {
    file: (layout) => layout.backup(GRID, SET, 'begun', 'a'),
    async mustBeSeen(lab, attack) {
      // What is not there was not recorded, and a set that lacks it is restored to nothing.
      if (attack === 'the file removed') {
        const { backups } = await lab.repository.readSet(GRID, SET);
        expect(backups.map(({ begun }) => begun)).to.deep.equal([null]);
        return;
      }
      expect(await setState(lab, SET)).to.equal('damaged');
      const failure = await failureOf(lab.repository.readSet(GRID, SET));
      expect(failure).to.include({ code: 'set-damaged' });
      expect(failure.message).to.include('a.json');
    },
  },
  image: {
    file: (layout) => layout.image(GRID, SET, IMAGE_DIGEST),
    async mustBeSeen(lab, attack) {
      const failure = await failureOf(lab.repository.readImage(GRID, SET, IMAGE_DIGEST));
      expect(failure).to.include({ code: attack === 'the file removed' ? 'set-missing' : 'set-damaged' });
      expect(failure.message).to.include(IMAGE_DIGEST);
    },
  },
};

async function setState(lab: DirectoryLab, set: string): Promise<string | undefined> {
  return (await lab.repository.sets(GRID)).find(({ name }) => name === set)?.state;
}

describe('a repository under attack', () => {
  // Goal: whatever is done to whichever class of stored file, it is seen and named, and what is sound stays usable.
  // Method: every class that the layout knows, times every attack; each is undone before the next.
  let lab: DirectoryLab;
  let layout: Layout;

  before(async () => {
    lab = await directoryLab();
    layout = new Layout(lab.path);
    await storeCheckpoint(lab.repository, CHECKPOINT, { a: FILES, b: { 'base/raw': raw } });
    await storeCheckpoint(lab.repository, OLDER, { a: { 'base/sound': FILES['base/sound'] } });
    await storeCheckpoint(lab.repository, GONE, { a: { 'base/sound': FILES['base/sound'] } });
    copyOver(layout.gridManifest(GRID, GONE), layout.deletedManifest(GRID, GONE));
    rmSync(layout.gridManifest(GRID, GONE));
    await lab.repository.announceRestore(GRID, 'decided', {
      checkpoint: CHECKPOINT,
      hosts: ['alpha'],
      lineage: COPY,
    });
    await lab.repository.decideRestore(GRID, 'decided', 'restored');
    await lab.repository.expectLeftovers(GRID, ABORTED);
    await lab.repository.retain(GRID, OLDER, { reason: 'audit', by: 'doe@alpha', sinceMs: 1000 });
    await lab.repository.saveDrill(GRID, 'drilled', DRILL);
    await lab.repository.recordVerification(GRID, VERIFIED);
    await lab.repository.raiseEpoch(GRID, 7);
    await lab.repository.beginBackup(GRID, SET, 'a', BEGUN);
    const { digest } = await lab.repository.saveImage(GRID, SET, IMAGE);
    await lab.repository.recordImage(GRID, SET, 'a', summaryOf(digest));
    await lab.repository.beginBackup(GRID, DELETED_SET, 'a', BEGUN);
    renameSync(layout.setHead(GRID, DELETED_SET), layout.deletedSet(GRID, DELETED_SET));
    mkdirSync(layout.operations(GRID), { recursive: true });
  });

  after(() => lab.close());

  it('has every class of file that the layout knows among those that are attacked', () => {
    const known = Object.getOwnPropertyNames(Layout.prototype).filter((name) => name !== 'constructor');
    expect(known.filter((name) => !DIRECTORIES.includes(name)).sort()).to.deep.equal(
      Object.keys(CLASSES).sort(),
    );
  });

  for (const [name, { file, mustBeSeen }] of Object.entries(CLASSES)) {
    it(`notices whatever is done to a file of the class '${name}'`, async () => {
      const path = file(layout);
      if (name === 'operation') writeFileSync(path, '{"holder":"a test"}');
      if (name === 'collection' || name === 'deletion') writeFileSync(path, '');
      const putBack = keepTree(lab.path);
      const before = process.resourceUsage().maxRSS * 1024;
      let struck = 0;
      for (const { name: attack, strike, possible } of ATTACKS) {
        if (!possible(path)) continue;
        strike(path);
        struck += 1;
        try {
          await mustBeSeen(lab, attack);
        } catch (error) {
          throw new Error(`with ${attack}: ${error instanceof Error ? error.message : String(error)}`, {
            cause: error,
          });
        }
        putBack();
        expect(await verified(lab.repository, CHECKPOINT), `after ${attack}`).to.deep.equal([]);
      }
      if (['operation', 'collection', 'deletion'].includes(name)) rmSync(path);
      expect(struck).to.be.greaterThan(5);
      expect(process.resourceUsage().maxRSS * 1024 - before).to.be.lessThan(MOST_GROWTH_BYTES);
    });
  }
});
