import { expect } from 'chai';
import fc from 'fast-check';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stage } from '../../agent/engines/restore/stage.ts';
import type { Artifact, MemberManifest } from '../../shared/domain/manifest.ts';
import { parseMemberManifest } from '../../shared/repository/manifest-schema.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { checkpointId, inPieces, memberHead } from '../repository/samples.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: no manifest, whoever wrote it, puts a byte outside of the directory that a restore builds.
// Method: trees of names that climb, links that lead out, and rooms that lie in one another, really staged.

const digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('the tree of a manifest from outside', () => {
  const folder = temporaryFolder('fuzz');
  const outside = join(folder.path, 'outside');
  const staged = join(folder.path, 'staged');
  after(() => folder.remove());

  const part = fc.constantFrom(
    'base',
    'journal',
    'pg_wal',
    'a',
    'b',
    '..',
    '.',
    '',
    '\0',
    'x'.repeat(300),
    'pg_tblspc',
  );
  const path = fc.oneof(
    fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
    fc.constantFrom(
      'base',
      'base/a',
      'base/pg_wal',
      'journal',
      'journal/1',
      'base/pg_wal/1',
      '/etc/x',
      'base/../../x',
      outside,
    ),
  );
  const target = fc.constantFrom(outside, '../outside', '..', '/', 'a');
  const artifact: fc.Arbitrary<Artifact> = fc.oneof(
    fc.record({
      kind: fc.constant('file' as const),
      path,
      mode: fc.constant(0o600),
      mtimeMs: fc.constant(0),
      sizeBytes: fc.constant(0),
      digest: fc.constant(digest),
      chunks: fc.constant([]),
    }),
    fc.record({ kind: fc.constant('directory' as const), path, mode: fc.constant(0o700) }),
    fc.record({ kind: fc.constant('symlink' as const), path, target }),
  );

  /** As an engine stages: one room, and another into a directory of the first. */
  async function build(manifest: MemberManifest): Promise<void> {
    const stage = new Stage({
      owner: null,
      signal: new AbortController().signal,
      bytesTotal: 0,
      progress: () => undefined,
    });
    const source = { manifest, read: () => inPieces(Buffer.from('written')) };
    await stage.room(source, 'base', staged);
    await stage.room(source, 'journal', join(staged, 'pg_wal'));
    await stage.replace(join(staged, 'pg_wal', 'own'), 'own');
    await stage.seal();
  }

  it('is staged within its directory, or refused', async () => {
    let done = 0;
    await fuzz(fc.array(artifact, { maxLength: 6 }), 400, async (artifacts) => {
      for (const one of [outside, staged]) rmSync(one, { recursive: true, force: true });
      mkdirSync(outside);
      writeFileSync(join(outside, 'precious'), 'precious');
      const text = JSON.stringify({ ...memberHead(checkpointId(1), 'a'), artifacts });
      const manifest = await accepted(() => parseMemberManifest(text, 'members/a.json'));
      if (manifest !== null) {
        // What the file system refuses (a name twice, in another room) is no matter here: only where bytes go.
        await build(manifest).then(
          () => (done += 1),
          () => undefined,
        );
      }
      expect(readdirSync(outside), JSON.stringify(artifacts)).to.deep.equal(['precious']);
      expect(readFileSync(join(outside, 'precious'), 'utf8')).to.equal('precious');
      expect(readdirSync(folder.path).sort()).to.deep.equal(
        existsSync(staged) ? ['outside', 'staged'] : ['outside'],
      );
    });
    expect(done, 'some were staged').to.be.greaterThan(10);
  });

  it('with a link where another room is to lie is refused, with the link named', async () => {
    for (const one of [outside, staged]) rmSync(one, { recursive: true, force: true });
    mkdirSync(outside);
    const artifacts: Artifact[] = [
      { kind: 'symlink', path: 'base/pg_wal', target: outside },
      { kind: 'file', path: 'journal/1', mode: 0o600, mtimeMs: 0, sizeBytes: 0, digest, chunks: [] },
    ];
    await fuzz(fc.constant(artifacts), 1, async (all) => {
      const staging = accepted(() =>
        build({ ...memberHead(checkpointId(1), 'a'), artifacts: all }).then(() => true),
      );
      expect(await staging).to.equal(null);
    });
    expect(readdirSync(outside)).to.deep.equal([]);
  });
});
