import type { CatalogueEntry, Damage, Repository } from '../../shared/repository/repository.ts';
import { GRID } from '../repository/samples.ts';
import { chunkPath, chunksOf, gridPath, memberPath, ROOT, type Recorded } from './ledger.ts';
import { Broken } from './promises.ts';
import type { Storage } from './storage.ts';

/** Longer than any marker and any temporary file is believed. */
const LONG_AFTER_MS = 2 * 60 * 60_000;

/** Judges, when all has ended, what is in the repository: by what was captured and by what was said. */
export async function checkStorage(storage: Storage): Promise<void> {
  storage.kernel.setClocksAhead(LONG_AFTER_MS);
  await storage.judge(async (repository) => {
    const entries = await repository.list(GRID);
    for (const entry of entries) checkListed(storage, entry);
    for (const one of storage.ledger.recorded.values()) checkKept(storage, one, entries);
    for (const { checkpoint, state } of entries)
      if (state === 'valid' || state === 'damaged')
        await checkRestores(storage, repository, storage.ledger.begin(checkpoint));
    await checkSpace(storage, repository, entries);
  });
}

/** Nobody lists as valid what was given up, or what was deleted. */
function checkListed(storage: Storage, { checkpoint, state, cause }: CatalogueEntry): void {
  const { ledger } = storage;
  if (state === 'damaged' && damageOf(storage, ledger.begin(checkpoint)).length === 0)
    throw new Broken('restores', `${checkpoint} is listed as damaged, and nothing of it rotted: ${cause}`);
  const one = ledger.recorded.get(checkpoint);
  const commit = one?.commit ?? 'none';
  if (state !== 'valid') return;
  if (commit === 'none' || commit === 'failed')
    throw new Broken('listed-only-if-committed', `${checkpoint} is listed as valid; its commit: ${commit}`);
  if (one?.deletion === 'done')
    throw new Broken('stays-deleted', `${checkpoint} was deleted, and is listed as valid`);
  const rotten =
    one === undefined ? undefined : damageOf(storage, one).find(({ file }) => file.endsWith('.json'));
  if (rotten !== undefined)
    throw new Broken('says-damage', `${checkpoint} is listed as valid: ${rotten.cause}`);
}

function checkKept({ ledger }: Storage, one: Recorded, entries: readonly CatalogueEntry[]): void {
  if (one.commit !== 'done' || one.deletion !== 'none') return;
  const entry = entries.find(({ checkpoint }) => checkpoint === one.id);
  if (entry?.state === 'valid' || (entry?.state === 'damaged' && ledger.isRotten)) return;
  const state = `${entry?.state ?? 'not there'}${entry?.cause === null ? '' : `: ${entry?.cause}`}`;
  throw new Broken('restores', `${one.id} was committed, and is ${state}`);
}

/** Every byte, through the real code, against what was captured; damage only where something rotted, and there. */
async function checkRestores(storage: Storage, repository: Repository, one: Recorded): Promise<void> {
  const said = await repository.verify(GRID, one.id, () => undefined);
  const expected = damageOf(storage, one);
  for (const { member, file, isExcused, cause } of expected) {
    if (!isExcused)
      throw new Broken('restores', `${one.id}: ${member}: ${file}: ${cause} before it was stored`);
    if (!said.some((damage) => damage.member === member && damage.file === file))
      throw new Broken('says-damage', `${one.id}: verify does not name ${member}: ${file}: ${cause}`);
  }
  const isNamed = ({ member, file }: Damage): boolean =>
    expected.some((damage) => damage.member === member && damage.file === file);
  const surplus = said.find((damage) => !isNamed(damage));
  if (surplus !== undefined)
    throw new Broken('restores', `${one.id}: ${surplus.member}: ${surplus.file}: ${surplus.cause}`);
  for (const [member, captured] of one.members) {
    for (const [path, bytes] of captured) {
      const read = await readAll(repository, one.id, member, path);
      const isDamaged = said.some((damage) =>
        [path, `members/${member}.json`, 'grid.json'].includes(damage.file),
      );
      if (read === null && !isDamaged)
        throw new Broken('restores', `${one.id}: ${member}: ${path} cannot be read`);
      if (
        read !== null &&
        !bytes.every((byte, at) => read[at] === byte && read.byteLength === bytes.byteLength)
      )
        throw new Broken(
          isDamaged ? 'says-damage' : 'restores',
          `${one.id}: ${member}: ${path} is read with other bytes than were captured`,
        );
    }
  }
}

interface Rotten {
  readonly member: string | null;
  readonly file: string;
  readonly cause: string;
  /** It rotted after the checkpoint was begun: nobody could know it then. */
  readonly isExcused: boolean;
}

/** Where the checkpoint must be damaged: by the files that have rotted, and by no word of the repository. */
function damageOf({ kernel, ledger }: Storage, one: Recorded): Rotten[] {
  const rotten = (path: string): { cause: string; isExcused: boolean } | null => {
    if (!kernel.disk.exists(path)) throw new Broken('restores', `${one.id} needs ${path}, and it is gone`);
    const rot = ledger.rotOf(kernel.disk.file(path, 'read'));
    return rot === null ? null : { cause: `${path} rotted`, isExcused: rot.call >= one.from };
  };
  const grid = rotten(gridPath(one.id));
  if (grid !== null) return [{ member: null, file: 'grid.json', ...grid }];
  return [...one.members.keys()].flatMap((member): Rotten[] => {
    const path = memberPath(one.id, member);
    const manifest = rotten(path);
    if (manifest !== null) return [{ member, file: `members/${member}.json`, ...manifest }];
    return [...chunksOf(kernel.disk.file(path, 'read'))].flatMap(([file, keys]) => {
      const chunk = keys.map((key) => rotten(chunkPath(key))).find((found) => found !== null);
      return chunk === undefined || chunk === null ? [] : [{ member, file, ...chunk }];
    });
  });
}

/** Null where the repository says that it cannot. */
async function readAll(
  repository: Repository,
  id: string,
  name: string,
  path: string,
): Promise<Uint8Array | null> {
  try {
    const { members } = await repository.readCheckpoint(GRID, id);
    const { manifestDigest } = members.find((one) => one.name === name) ?? { manifestDigest: '' };
    const member = await repository.readMember(GRID, id, name, manifestDigest);
    const pieces: Uint8Array[] = [];
    for await (const piece of repository.readFile(member, path)) pieces.push(piece);
    return Buffer.concat(pieces);
  } catch (error) {
    if (error instanceof Error && 'failure' in error) return null;
    throw error;
  }
}

/** After one collection there is what the valid checkpoints need, and nothing else. */
async function checkSpace(
  { kernel, ledger }: Storage,
  repository: Repository,
  entries: readonly CatalogueEntry[],
): Promise<void> {
  const needed = new Set([`${ROOT}/repository.json`]);
  // Refused, or without harm to those that are damaged: the ledger sees what it removes.
  let damaged = entries.filter(({ state }) => state === 'damaged').length;
  if (damaged > 0) await repository.collectGarbage(GRID).catch(refused);
  for (const { checkpoint, state } of entries) {
    if (state === 'damaged') {
      damaged -= 1;
      ledger.deleting(checkpoint);
      const deletion = repository.deleteCheckpoint(GRID, checkpoint);
      // It is gone, but while another is damaged the collection that ends a deletion cannot know what is needed.
      await (damaged > 0 ? deletion.catch(refused) : deletion);
    } else if (state === 'valid') {
      const one = ledger.begin(checkpoint);
      one.needs = ledger.needsOf(one);
      for (const path of one.needs) needed.add(path);
    }
  }
  // The marker of a collection that was killed goes with the next operation.
  await (await repository.beginOperation({ grid: GRID, id: 'judge', holder: 'judge' })).end();
  await repository.dropLeftovers(GRID);
  const { skipped } = await repository.collectGarbage(GRID);
  if (skipped) throw new Broken('space-comes-back', 'a collection is skipped when nobody works');
  const left = kernel.disk.files().find(([path]) => !needed.has(path));
  if (left !== undefined) throw new Broken('space-comes-back', `${left[0]} is left, and nobody needs it`);
  const listed = (await repository.list(GRID)).find(({ state }) => state !== 'valid');
  if (listed !== undefined)
    throw new Broken('no-reachable-partial', `${listed.checkpoint} is listed as ${listed.state} in the end`);
}

function refused(error: unknown): void {
  if (!(error instanceof Error && 'failure' in error)) throw error;
}
