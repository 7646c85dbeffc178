import { expect } from 'chai';
import { initRepository, openRepository } from '../../shared/repository/open.ts';
import { HOLD_PURPOSES, type HoldPurpose } from '../../shared/domain/purpose.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import {
  breakingOff,
  checkpointId,
  CHUNK_BYTES,
  collect,
  failureOf,
  GRID,
  gridManifest,
  inPieces,
  memberHead,
  memberOf,
  noise,
  readBack,
  rows,
  sha256,
  storeCheckpoint,
  storeHeld,
  storeMember,
  verified,
} from './samples.ts';
import { itRemovesAndDecides } from './removing-suite.ts';
import { itKeepsBackupSets } from './sets-suite.ts';

/** A place where a repository can be made; each call gives a fresh, empty one. */
export interface Place {
  readonly location: string;
  remove(): void;
}

/** What the contract in shared/repository/repository.ts promises, whatever the place. */
export function repositorySuite(kind: string, emptyPlace: () => Place): void {
  describe(`a repository in ${kind}`, () => {
    let place: Place;
    let opened: Repository[];
    let repository: Repository;

    async function open(): Promise<Repository> {
      const one = await openRepository(place.location);
      opened.push(one);
      return one;
    }

    beforeEach(async () => {
      place = emptyPlace();
      opened = [];
      await initRepository(place.location);
      repository = await open();
    });

    afterEach(async () => {
      await Promise.all(opened.map((one) => one.close()));
      place.remove();
    });

    it('is the same for all who make it at once', async () => {
      place.remove();

      const all = await Promise.all(Array.from({ length: 8 }, () => initRepository(place.location)));

      const { id } = await open();
      expect(all.map((one) => one.id)).to.deep.equal(all.map(() => id));
      expect(await initRepository(place.location)).to.deep.equal({ id, made: false });
    });

    it('is not there until it is made', async () => {
      place.remove();

      const missing = await failureOf(open());
      expect(missing).to.include({ code: 'repository-missing' });
      expect(missing.hint).to.match(/is it mounted\? .*: stillpoint repository init --repository /);
    });

    it('knows its free space and can be probed', async () => {
      await repository.probe();

      expect(await repository.freeBytes()).to.be.greaterThan(0);
      expect(await repository.list()).to.deep.equal([]);
    });

    it('gives back every byte that was stored', async () => {
      const files = {
        'base/empty': Buffer.alloc(0),
        'base/small': rows(100, 'a'),
        'base/one-chunk': noise(CHUNK_BYTES, 'b'),
        'base/chunk-and-a-byte': noise(CHUNK_BYTES + 1, 'c'),
        'journal/long': rows(2.5 * CHUNK_BYTES, 'd'),
      };

      await storeCheckpoint(repository, checkpointId(1), { 'orders-1a': files });

      expect(await readBack(await open(), checkpointId(1), 'orders-1a')).to.deep.equal(files);
    });

    it('tells size and digest of a file, and records them for the whole and each chunk', async () => {
      const bytes = noise(CHUNK_BYTES + 7, 'e');
      const writer = repository.beginMember(GRID, checkpointId(1));

      const stored = await writer.file({ path: 'base/1', mode: 0o600, mtimeMs: 5 }, inPieces(bytes, 1000));

      expect(stored).to.deep.equal({ sizeBytes: bytes.byteLength, digest: sha256(bytes) });
      const finished = await writer.finish(memberHead(checkpointId(1), 'orders-1a'));
      const manifest = await repository.readMember(
        GRID,
        checkpointId(1),
        'orders-1a',
        finished.manifestDigest,
      );
      const [file] = manifest.artifacts;
      if (file?.kind !== 'file') throw new Error('not a file');
      expect(file.chunks.map(({ sizeBytes }) => sizeBytes)).to.deep.equal([CHUNK_BYTES, 7]);
      expect(file.chunks.map(({ digest }) => digest)).to.deep.equal([
        sha256(bytes.subarray(0, CHUNK_BYTES)),
        sha256(bytes.subarray(CHUNK_BYTES)),
      ]);
      expect(finished.sizeBytes).to.equal(bytes.byteLength);
    });

    it('keeps directories, links, modes and times, in order of path', async () => {
      const writer = repository.beginMember(GRID, checkpointId(1));
      writer.symlink({ path: 'base/pg_tblspc/1', target: '/srv/space one' });
      await writer.file({ path: 'base/a', mode: 0o640, mtimeMs: 1234.5 }, inPieces(rows(10, 'a')));
      writer.directory({ path: 'base', mode: 0o750 });

      const { manifestDigest } = await writer.finish(memberHead(checkpointId(1), 'orders-1a'));

      const { artifacts } = await repository.readMember(GRID, checkpointId(1), 'orders-1a', manifestDigest);
      expect(artifacts.map(({ path }) => path)).to.deep.equal(['base', 'base/a', 'base/pg_tblspc/1']);
      expect(artifacts[0]).to.deep.equal({ kind: 'directory', path: 'base', mode: 0o750 });
      expect(artifacts[1]).to.deep.include({ kind: 'file', mode: 0o640, mtimeMs: 1234.5, sizeBytes: 10 });
      expect(artifacts[2]).to.deep.include({ kind: 'symlink', target: '/srv/space one' });
    });

    it('stores what is the same only once, within a checkpoint and between checkpoints', async () => {
      const same = noise(CHUNK_BYTES, 'same');
      const files = { 'base/1': same, 'base/2': same, 'base/3': Buffer.concat([same, same]) };

      const first = await storeCheckpoint(repository, checkpointId(1), { a: files, b: files });
      const second = await storeCheckpoint(await open(), checkpointId(2), { a: files });

      expect(first.storedBytes).to.equal(CHUNK_BYTES);
      expect(second.storedBytes).to.equal(0);
      expect(await readBack(repository, checkpointId(2), 'a')).to.deep.equal(files);
    });

    it('stores what is the same only once when two write it at the same time', async () => {
      const files = Object.fromEntries(
        Array.from({ length: 6 }, (_, index) => [`base/${index}`, noise(300_000, `shared ${index % 3}`)]),
      );
      const writers = [repository, await open()];

      const members = await Promise.all(
        writers.map((one, index) => storeMember(one, checkpointId(1), `orders-${index}`, files)),
      );
      await repository.commit(gridManifest(checkpointId(1), members));

      expect(members.reduce((sum, { storedBytes }) => sum + storedBytes, 0)).to.equal(3 * 300_000);
      expect(await verified(repository, checkpointId(1))).to.deep.equal([]);
    });

    it('takes many files at once', async () => {
      const writer = repository.beginMember(GRID, checkpointId(1));
      const names = Array.from({ length: 300 }, (_, index) => `base/${index}`);

      await Promise.all(
        names.map((path) => writer.file({ path, mode: 0o600, mtimeMs: 0 }, inPieces(rows(500, path)))),
      );

      const { manifestDigest } = await writer.finish(memberHead(checkpointId(1), 'orders-1a'));
      const manifest = await repository.readMember(GRID, checkpointId(1), 'orders-1a', manifestDigest);
      expect(manifest.artifacts).to.have.length(300);
      expect(await collect(repository.readFile(manifest, 'base/123'))).to.deep.equal(rows(500, 'base/123'));
    });

    it('passes on the failure of a source, and stores the file when it is offered again', async () => {
      const writer = repository.beginMember(GRID, checkpointId(1));
      const entry = { path: 'base/1', mode: 0o600, mtimeMs: 0 };

      const broken = await writer
        .file(entry, breakingOff(noise(100, 'x'), 'the server went away'))
        .catch((error: unknown) => error);
      await writer.file(entry, inPieces(rows(50, 'y')));

      expect(broken).to.be.instanceOf(Error).with.property('message', 'the server went away');
      const finished = await writer.finish(memberHead(checkpointId(1), 'orders-1a'));
      expect(finished.sizeBytes).to.equal(50);
    });

    it('refuses paths that lead out of the member, and names that lead out of the repository', async () => {
      const writer = repository.beginMember(GRID, checkpointId(1));
      const outside = ['/etc/passwd', '../x', 'base/../../x', 'base//x', 'base/./x', 'a\0b', ''];

      for (const path of outside) {
        expect(() => writer.directory({ path, mode: 0 }), path).to.throw(/leads out of its member/);
        const stored = writer.file({ path, mode: 0, mtimeMs: 0 }, inPieces(rows(1, 'x')));
        expect(await failureOf(stored)).to.include({ code: 'manifest-damaged' });
      }

      for (const name of ['..', '../orders', 'a/b', '', '.hidden', 'a\0']) {
        expect(() => repository.beginMember(name, checkpointId(1)), name).to.throw(/cannot be a name/);
        expect(() => repository.beginMember(GRID, name), name).to.throw(/cannot be a name/);
        const read = repository.readMember(GRID, checkpointId(1), name, sha256(rows(1, 'x')));
        expect(await failureOf(read)).to.include({ code: 'bad-name' });
      }
    });

    it('refuses a tree that could not be restored as it is named', async () => {
      const writer = repository.beginMember(GRID, checkpointId(1));
      writer.symlink({ path: 'base/link', target: '/etc' });
      await writer.file({ path: 'base/link/passwd', mode: 0o600, mtimeMs: 0 }, inPieces(rows(5, 'x')));

      const finished = writer.finish(memberHead(checkpointId(1), 'orders-1a'));

      expect(await failureOf(finished)).to.include({ code: 'bad-manifest' });
    });

    it('stores a member of a checkpoint once', async () => {
      await storeMember(repository, checkpointId(1), 'orders-1a', { 'base/1': rows(10, 'first') });

      const again = storeMember(await open(), checkpointId(1), 'orders-1a', { 'base/1': rows(10, 'second') });

      expect(await failureOf(again)).to.include({ code: 'checkpoint-exists' });
    });

    it('commits a checkpoint once', async () => {
      const manifest = await storeCheckpoint(repository, checkpointId(1), { a: { 'base/1': rows(9, 'a') } });

      const again = (await open()).commit({ ...manifest, warnings: ['another'] });

      expect(await failureOf(again)).to.include({ code: 'checkpoint-exists' });
      expect(await repository.readCheckpoint(GRID, checkpointId(1))).to.deep.equal(manifest);
    });

    it('leaves what is committed where it is when the very same is committed once more', async () => {
      const manifest = await storeCheckpoint(repository, checkpointId(1), { a: { 'base/1': rows(9, 'a') } });

      const again = (await open()).commit(manifest);

      expect(await failureOf(again)).to.include({ code: 'checkpoint-exists' });
      expect(await repository.readCheckpoint(GRID, checkpointId(1))).to.deep.equal(manifest);
    });

    it('commits nothing of which a member is missing or another than it was', async () => {
      const member = await storeMember(repository, checkpointId(1), 'a', { 'base/1': rows(9, 'a') });
      const missing = gridManifest(checkpointId(1), [member, { ...member, name: 'b' }]);
      const other = gridManifest(checkpointId(1), [{ ...member, manifestDigest: sha256(rows(1, 'x')) }]);

      expect(await failureOf(repository.commit(missing))).to.include({ code: 'manifest-damaged' });
      expect(await failureOf(repository.commit(other))).to.include({ code: 'manifest-damaged' });
      expect((await repository.list(GRID)).map(({ state }) => state)).to.deep.equal(['uncommitted']);
    });

    it('commits no member of another checkpoint', async () => {
      const member = await storeMember(repository, checkpointId(1), 'a', { 'base/1': rows(9, 'a') });
      await storeMember(repository, checkpointId(2), 'a', { 'base/1': rows(9, 'b') });

      const mixed = repository.commit(gridManifest(checkpointId(2), [member]));

      expect(await failureOf(mixed)).to.include({ code: 'manifest-damaged' });
    });

    it('lists checkpoints newest first, by epoch and counter, and each as what it is', async () => {
      for (const id of [checkpointId(2), checkpointId(10), checkpointId(1, 1)]) {
        await storeCheckpoint(repository, id, { a: { 'base/1': rows(9, 'a') } });
      }
      await storeMember(repository, checkpointId(11), 'a', { 'base/1': rows(9, 'a') });

      const entries = await (await open()).list();

      expect(entries.map(({ checkpoint, state }) => [checkpoint, state])).to.deep.equal([
        [checkpointId(1, 1), 'valid'],
        [checkpointId(11), 'uncommitted'],
        [checkpointId(10), 'valid'],
        [checkpointId(2), 'valid'],
      ]);
      expect(entries[1]).to.include({ manifest: null, grid: GRID });
      expect(entries[2]?.manifest?.counter).to.equal(10);
      expect(await repository.list('another')).to.deep.equal([]);
    });

    it('lists what copies nothing where its purpose is asked for, and knows its number always', async () => {
      await storeCheckpoint(repository, checkpointId(1), { a: { 'base/1': rows(9, 'a') } });
      await storeHeld(repository, checkpointId(2), 'quiesce');
      await storeHeld(repository, checkpointId(3), 'journalCheckpoint');

      const listed = async (purposes: readonly HoldPurpose[]): Promise<string[]> =>
        (await repository.list(GRID, { purposes })).map(({ checkpoint }) => checkpoint);
      expect((await repository.list(GRID)).map(({ checkpoint }) => checkpoint)).to.deep.equal([
        checkpointId(1),
      ]);
      expect(await listed(['quiesce'])).to.deep.equal([checkpointId(2), checkpointId(1)]);
      expect(await listed(HOLD_PURPOSES)).to.deep.equal([3, 2, 1].map((counter) => checkpointId(counter)));
      expect(await repository.highestNumber(GRID)).to.deep.equal({ epoch: 0, counter: 3 });
      expect((await repository.readCheckpoint(GRID, checkpointId(2))).purpose).to.equal('quiesce');
      expect(await verified(repository, checkpointId(3))).to.deep.equal([]);
      await repository.deleteCheckpoint(GRID, checkpointId(3));
      expect(await listed(HOLD_PURPOSES)).to.deep.equal([checkpointId(2), checkpointId(1)]);
    });

    it('knows the highest number, also of what was never committed', async () => {
      expect(await repository.highestNumber(GRID)).to.deep.equal({ epoch: 0, counter: 0 });
      await storeCheckpoint(repository, checkpointId(2, 1), { a: {} });
      await storeMember(repository, checkpointId(7), 'a', {});

      expect(await repository.highestNumber(GRID)).to.deep.equal({ epoch: 1, counter: 7 });
      expect(await repository.highestNumber('another')).to.deep.equal({ epoch: 0, counter: 0 });
    });

    it('says that a checkpoint is missing', async () => {
      await storeMember(repository, checkpointId(2), 'a', {});

      for (const id of [checkpointId(1), checkpointId(2)]) {
        expect(await failureOf(repository.readCheckpoint(GRID, id))).to.include({
          code: 'checkpoint-missing',
        });
        expect(await failureOf(verified(repository, id))).to.include({ code: 'checkpoint-missing' });
      }
      expect(await failureOf(repository.deleteCheckpoint(GRID, checkpointId(1)))).to.include({
        code: 'checkpoint-missing',
      });
    });

    it('verifies a sound checkpoint, with progress that ends at its size', async () => {
      const files = { 'base/1': rows(CHUNK_BYTES + 1, 'a'), 'base/2': noise(1000, 'b') };
      const { sizeBytes } = await storeCheckpoint(repository, checkpointId(1), { a: files, b: files });
      const seen: number[] = [];

      const damage = await repository.verify(GRID, checkpointId(1), (done, total) => {
        expect(total).to.equal(sizeBytes);
        seen.push(done);
      });

      expect(damage).to.deep.equal([]);
      expect(seen).to.deep.equal([...seen].sort((a, b) => a - b));
      expect(seen.at(-1)).to.equal(sizeBytes);
    });

    const given = {
      get repository() {
        return repository;
      },
      open,
    };
    itRemovesAndDecides(given);
    itKeepsBackupSets(given);

    it('reads no member of another checkpoint as one of this', async () => {
      await storeCheckpoint(repository, checkpointId(1), { a: { 'base/1': rows(9, 'a') } });
      await storeCheckpoint(repository, checkpointId(2), { a: { 'base/1': rows(9, 'b') } });
      const older = await repository.readCheckpoint(GRID, checkpointId(1));
      const mixed = repository.readMember(GRID, checkpointId(2), 'a', older.members[0]?.manifestDigest ?? '');

      expect(await failureOf(mixed)).to.include({ code: 'manifest-damaged' });
    });

    it('has no file that the manifest does not name', async () => {
      await storeCheckpoint(repository, checkpointId(1), { a: { 'base/1': rows(9, 'a') } });
      const manifest = await memberOf(repository, checkpointId(1), 'a');

      const read = collect(repository.readFile(manifest, 'base/2'));

      expect(await failureOf(read)).to.include({ code: 'chunk-damaged', member: 'a' });
    });

    it('can be closed twice, and then stores nothing more', async () => {
      const writer = repository.beginMember(GRID, checkpointId(1));
      await Promise.all([repository.close(), repository.close()]);

      const late = await writer
        .file({ path: 'base/1', mode: 0, mtimeMs: 0 }, inPieces(rows(9, 'a')))
        .catch((error: unknown) => error);

      expect(late).to.be.instanceOf(Error).with.property('message').that.includes('was closed');
    });
  });
}
