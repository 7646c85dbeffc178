import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Archives, Engine, ReadArchive } from '../../agent/engines/engine.ts';
import { ArchiveImports } from '../../agent/import-archive.ts';
import { checkRequest } from '../../agent/request-check.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import type { ImportedMember } from '../../shared/domain/wire.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { describedMember } from '../coordinator/descriptions.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from '../repository/made.ts';
import { checkpointId, GRID, inPieces, memberHead, noise, sha256 } from '../repository/samples.ts';

// Goal: an archive becomes the state of a member byte for byte, or nothing of it is anywhere. Method: the agent's part of
// an import on a real repository; what an engine says of an archive is the test's.

const ARCHIVE = noise(300_000, 'an archive');
const PATH = 'backup.zip';
const GIVEN = checkpointId(1);
const CHECKPOINT = checkpointId(2);

describe('an archive that is imported on a host', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let repository: Repository;
  let read: Archives['read'];
  let archives: Archives | null;
  let description: MemberDescription;
  let imports: ArchiveImports;
  const spool = (): string => join(folder.path, 'spool');

  const found: ReadArchive = {
    version: '16.0.5',
    writtenAt: '2026-11-30T09:51:06.000Z',
    leftOut: 'tasks',
    content: ['caches: 1'],
    engineFacts: { caches: 1 },
    warnings: [{ code: 'w', about: 'a', text: 'something', hint: 'look' }],
  };

  beforeEach(async () => {
    folder = temporaryFolder('import');
    repository = await madeRepository(join(folder.path, 'repository'), { threads: 0 });
    read = () => Promise.resolve(found);
    archives = { read: (...asked) => read(...asked) };
    description = describedMember('a', { traits: { archive: PATH } });
    imports = new ArchiveImports({
      file: { grid: GRID },
      host: 'alpha',
      members: new Map([
        [
          'a',
          {
            name: 'a',
            get engine() {
              return { archives } as unknown as Engine;
            },
          },
        ],
      ]),
      repository: () => Promise.resolve(repository),
      state: {
        makeSpool: async () => {
          await mkdir(spool());
          return spool();
        },
        dropSpool: () => rm(spool(), { recursive: true, force: true }),
      },
      surroundings: { reach: () => Promise.resolve() },
      descriptions: { get: (name) => (name === 'a' ? description : undefined) },
      progress: () => undefined,
    });
  });

  afterEach(async () => {
    await repository.close();
    folder.remove();
  });

  async function give(paths: readonly string[] = [PATH]): Promise<ImportedMember> {
    const writer = repository.beginMember(GRID, GIVEN);
    for (const path of paths)
      await writer.file({ path, mode: 0o600, mtimeMs: 1_790_000_000_000 }, inPieces(ARCHIVE));
    const { manifestDigest: digest } = await writer.finish({ ...memberHead(GIVEN, 'a'), mark: null });
    return imports.perform({
      type: 'importArchive',
      id: 1,
      member: 'a',
      checkpoint: CHECKPOINT,
      given: GIVEN,
      digest,
    });
  }

  const failureOf = async (giving: Promise<unknown>): Promise<Failure> => {
    const thrown: unknown = await giving.then(
      () => expect.fail('it was imported'),
      (error: unknown) => error,
    );
    expect(thrown).to.be.instanceOf(StillpointError);
    return (thrown as StillpointError).failure;
  };

  const isStored = (): boolean =>
    existsSync(join(folder.path, 'repository/grids', GRID, 'checkpoints', CHECKPOINT));

  it('is read from a private file, with the bytes that lie in the repository', async () => {
    let seen: Buffer | null = null;
    read = ({ file, sizeBytes, sha256: digest }) => {
      seen = readFileSync(file);
      expect([sizeBytes, digest]).to.deep.equal([ARCHIVE.length, sha256(ARCHIVE)]);
      return Promise.resolve(found);
    };
    await give();
    expect(seen).to.deep.equal(ARCHIVE);
    expect(existsSync(spool())).to.equal(false);
  });

  it('is stored as the whole state of the member, held by nobody, with the facts of its engine', async () => {
    const imported = await give();
    expect(imported).to.deep.include({
      writtenAt: found.writtenAt,
      leftOut: 'tasks',
      content: ['caches: 1'],
      sizeBytes: ARCHIVE.length,
    });
    const manifest = await repository.readMember(GRID, CHECKPOINT, 'a', imported.manifestDigest);
    expect(manifest).to.deep.include({
      mark: null,
      engineFacts: { caches: 1 },
      warnings: found.warnings,
      token: { epoch: 0, counter: 2, attempt: 1 },
    });
    expect(manifest.member).to.deep.include({
      host: 'alpha',
      version: '16.0.5',
      dataIdentity: '',
      assignment: { hold: 'none', part: 'whole' },
    });
    const [artifact, ...others] = manifest.artifacts;
    expect(artifact).to.deep.include({ path: PATH, digest: sha256(ARCHIVE), mtimeMs: 1_790_000_000_000 });
    expect(others).to.deep.equal([]);
  });

  it('is not stored where its engine refuses it, and the failure says that it is the archive', async () => {
    read = () =>
      Promise.reject(new StillpointError({ code: 'no-good', message: 'it is no good', hint: 'another' }));
    expect(await failureOf(give())).to.include({ code: 'no-good', phase: 'verify', member: 'a' });
    expect([existsSync(spool()), isStored()]).to.deep.equal([false, false]);
  });

  it('ends with its stream, while its engine reads, and is no failure of the archive', async () => {
    const reading = Promise.withResolvers<void>();
    read = (_, signal) => {
      reading.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('given up')), { once: true });
      });
    };
    const failure = failureOf(give());
    await reading.promise;
    await imports.end();
    expect(existsSync(spool())).to.equal(false);
    expect(await failure)
      .to.include({ code: 'import-given-up' })
      .and.not.have.property('phase');
    expect(isStored()).to.equal(false);
  });

  it('is alone: a second one is refused, and does not disturb the first', async () => {
    const second = Promise.withResolvers<Failure>();
    read = async () => {
      const asked = { member: 'a', checkpoint: CHECKPOINT, given: GIVEN, digest: 'd'.repeat(64) };
      second.resolve(await failureOf(imports.perform({ type: 'importArchive', id: 2, ...asked })));
      return found;
    };
    await give();
    expect((await second.promise).code).to.equal('too-many-requests');
  });

  it('is refused for a member without archives, and where something else lies there', async () => {
    archives = null;
    expect((await failureOf(give())).code).to.equal('archive-unsupported');
  });

  it('is refused where more lies there than an archive, or another thing', async () => {
    expect((await failureOf(give([PATH, 'zz/more']))).code).to.equal('archive-unsupported');
    expect(isStored()).to.equal(false);
  });

  it('is refused where its bytes in the repository are damaged', async () => {
    read = () => expect.fail('it was read');
    const writer = repository.beginMember(GRID, GIVEN);
    await writer.file({ path: PATH, mode: 0o600, mtimeMs: 0 }, inPieces(ARCHIVE));
    const { manifestDigest: digest } = await writer.finish({ ...memberHead(GIVEN, 'a'), mark: null });
    await rm(join(folder.path, 'repository/grids', GRID, 'chunks'), { recursive: true });
    const asked = { member: 'a', checkpoint: CHECKPOINT, given: GIVEN, digest };
    const failure = await failureOf(imports.perform({ type: 'importArchive', id: 1, ...asked }));
    expect(['chunk-damaged', 'checkpoint-missing']).to.include(failure.code);
    expect(existsSync(spool())).to.equal(false);
  });
});

describe('a request to import', () => {
  const RIGHT = {
    type: 'importArchive',
    id: 1,
    member: 'a',
    checkpoint: CHECKPOINT,
    given: GIVEN,
    digest: 'd0'.repeat(32),
  } as const;

  it('names a member, two checkpoints and a digest, and no path', () => {
    checkRequest(RIGHT);
    for (const wrong of [
      { member: '../a' },
      { checkpoint: '../../x' },
      { given: '' },
      { digest: '../x' },
      { digest: 'D0'.repeat(32) },
    ])
      expect(() => checkRequest({ ...RIGHT, ...wrong }), JSON.stringify(wrong)).to.throw('cannot be one');
  });
});
