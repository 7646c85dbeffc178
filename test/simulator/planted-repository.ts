import { plant, type Planted } from './plant.ts';

const FILES = 'repository/durable-files';
const WRITER = 'repository/member-writer';
const WORK = 'repository/chunk-work';
const COMMIT = 'repository/commit';
const CATALOGUE = 'repository/catalogue';
const DELETION = 'repository/deletion';
const GARBAGE = 'repository/garbage';
const REPOSITORY = 'repository/directory-repository';
const OPERATIONS = 'repository/operations';
const VERIFY = 'repository/verify';

/** Rules of the repository. Looked for in the seeds that run with the real one. */
export const PLANTED_IN_THE_REPOSITORY: readonly Planted[] = [
  // Nothing refers to what is not yet durable.
  plant('a-manifest-before-its-chunks-are-durable', 'survives-power-cut', [
    WRITER,
    'await syncUpTo(this.#layout.root, this.#directories);',
    '',
  ]),
  plant('a-name-before-its-content-is-synced', 'survives-power-cut', [FILES, 'await file.datasync();', '']),
  plant('a-directory-is-not-synced', 'survives-power-cut', [
    FILES,
    'if (syncEntry) await syncDirectory(dirname(path));',
    '',
  ]),
  plant(
    'the-way-to-a-new-directory-is-not-synced',
    'survives-power-cut',
    [FILES, 'await syncUpTo(layout.root, [dirname(path)]);', ''],
    [COMMIT, 'await syncUpTo(layout.root, [layout.checkpoints(grid)]);', ''],
  ),
  // Write once.
  plant('a-name-is-taken-over-by-a-rename', 'write-once', [
    FILES,
    'import { link, mkdir, open, rm, stat, unlink }',
    'import { rename as link, mkdir, open, rm, stat, unlink }',
  ]),
  plant(
    'a-commit-makes-the-directory-of-its-checkpoint-anew',
    'restores',
    [COMMIT, 'import { createExclusively, syncUpTo }', 'import { createExclusively, ensureDirectory }'],
    [COMMIT, 'await syncUpTo(layout.root, [layout.checkpoints(grid)]);', ''],
    [
      COMMIT,
      'if (!(await isThere(dirname(path)))) throw alreadyDecided(checkpoint);',
      'await ensureDirectory(layout, dirname(path));',
    ],
    [COMMIT, 'if (!(await haveManifests(layout, manifest))) throw alreadyDecided(checkpoint);', ''],
  ),
  plant('what-was-committed-is-given-up', 'restores', [
    DELETION,
    "stored.type === 'read' && isGivenUp(stored.bytes.toString());",
    'true;',
  ]),
  plant('a-commit-that-failed-is-not-taken-back', 'ending', [
    COMMIT,
    'await takeBack(layout, manifest, text, error);',
    '',
  ]),
  // What a commit relies on.
  plant('a-commit-does-not-look-at-the-chunks', 'restores', [
    COMMIT,
    'if (!(await chunks.isStored(grid, chunk))) throw',
    'if (!(await chunks.isStored(grid, chunk)) && grid === "") throw',
  ]),
  plant('a-chunk-that-is-there-is-trusted', 'restores', [
    WORK,
    'if (storedDigest === digest && stored.byteLength === sizeBytes) {',
    'if (stored.byteLength === sizeBytes) {',
  ]),
  plant('chunks-known-from-the-last-checkpoint-are-trusted', 'next-succeeds', [
    REPOSITORY,
    'this.#chunks.forget();',
    '',
  ]),
  // Who works here.
  plant('a-collection-runs-beside-an-operation', 'no-reason', [
    OPERATIONS,
    "if ((await othersOf(layout, grid, 'operation', path)).length === 0)",
    'if (lease !== null)',
  ]),
  plant('an-operation-does-not-wait-for-a-collection', 'keeps', [
    OPERATIONS,
    'if (collecting === undefined) return lease;',
    'if (lease !== null) return lease;',
  ]),
  plant('the-living-are-taken-for-dead', 'no-reason', [
    OPERATIONS,
    'if (now - found.writtenAt > SILENT_MS[kind])',
    'if (now - found.writtenAt > 0)',
  ]),
  plant('the-dead-keep-collections-off-for-ever', 'space-comes-back', [
    OPERATIONS,
    'if (now - found.writtenAt > SILENT_MS[kind])',
    "if (kind === 'collection' && now - found.writtenAt > SILENT_MS[kind])",
  ]),
  plant('a-dead-collection-keeps-operations-off-for-ever', 'next-succeeds', [
    OPERATIONS,
    'if (now - found.writtenAt > SILENT_MS[kind])',
    "if (kind === 'operation' && now - found.writtenAt > SILENT_MS[kind])",
  ]),
  plant('a-collection-does-not-ask-before-its-first-removal', 'keeps', [
    GARBAGE,
    'let asked = { monotonicMs: -Infinity, wallMs: -Infinity };',
    'let asked = { monotonicMs: performance.now(), wallMs: Date.now() };',
  ]),
  plant(
    'a-deletion-is-taken-for-damage',
    'says-damage',
    [GARBAGE, 'if (await isStillCommitted(layout, grid, checkpoint)) throw error;', 'throw error;'],
    [CATALOGUE, 'if (!(await isStillCommitted(layout, grid, checkpoint)))', "if (grid === '')"],
  ),
  plant('a-deletion-is-damage-to-who-reads', 'says-damage', [
    CATALOGUE,
    'return (await isStillCommitted(layout, grid, checkpoint)) ? damage :',
    'return (await isStillCommitted(layout, grid, checkpoint)) || grid !== "" ? damage :',
  ]),
  plant('a-directory-that-another-removed-is-an-error', 'no-reason', [
    FILES,
    "if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(error, path);",
    'throw storageError(error, path);',
  ]),
  // Who reads.
  plant('a-deletion-does-not-look-for-readers', 'restores', [
    OPERATIONS,
    'if (reader === undefined) return lease;',
    'if (reader === undefined || grid !== "") return lease;',
  ]),
  plant('a-reader-does-not-name-what-it-reads', 'restores', [
    OPERATIONS,
    'JSON.stringify({ holder, reads })',
    'JSON.stringify({ holder })',
  ]),
  // What is removed.
  plant('one-checkpoint-counts-for-all', 'keeps', [
    GARBAGE,
    'for (const { state, checkpoint, manifest, cause } of entries) {',
    'for (const { state, checkpoint, manifest, cause } of entries.slice(0, 1)) {',
  ]),
  plant('the-damaged-need-nothing', 'keeps', [
    GARBAGE,
    "if (state === 'damaged' || manifest === null) throw unknownNeeds(checkpoint, cause);",
    "if (state === 'damaged' || manifest === null) continue;",
  ]),
  plant('manifests-go-before-the-commit-object', 'restores', [
    GARBAGE,
    'await retireUnread(layout, grid, checkpoint);\n  await removeManifests(layout, grid, checkpoint);\n  const',
    'await removeManifests(layout, grid, checkpoint);\n  await retireUnread(layout, grid, checkpoint);\n  const',
  ]),
  plant('a-retirement-is-not-synced', 'restores', [DELETION, '  await syncIfThere(directory);', '']),
  plant('temporary-files-are-not-swept', 'space-comes-back', [
    GARBAGE,
    'if (now - writtenAt > STALE_MS) await removeFile(path);',
    '',
  ]),
  plant('temporary-files-beside-a-commit-object-are-not-swept', 'space-comes-back', [
    GARBAGE,
    'await sweepTemporaries(layout, grid, living);',
    'await sweepTemporaries(layout, grid, []);',
  ]),
  plant('what-was-not-committed-stays', 'space-comes-back', [
    GARBAGE,
    "({ state }) => state === 'uncommitted' || state === 'deleting'",
    "({ state }) => state === 'deleting'",
  ]),
  // Damage.
  plant(
    'digests-are-not-compared-when-bytes-are-read',
    'says-damage',
    [WORK, 'if (storedDigest !== reference.storedDigest) return', 'if (storedDigest === "") return'],
    [WORK, 'plain.byteLength !== reference.sizeBytes || digest !== reference.digest', 'digest === ""'],
  ),
  plant('verify-names-one-file-only', 'says-damage', [
    VERIFY,
    'if (cause !== undefined) damage.push',
    'if (cause !== undefined && damage.length === 0) damage.push',
  ]),
  plant('damaged-manifests-are-listed-as-valid', 'says-damage', [
    CATALOGUE,
    'await readDigested(layout.member(grid, checkpoint, name), manifestDigest);',
    '',
  ]),
];
