import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Random } from '../../simulator/random.ts';
import { labRoot } from '../../lab/temporary.ts';
import type { Files } from '../../repository/samples.ts';
import { checkAfterCut } from './after-cut.ts';
import type { Recorded } from './changes.ts';
import { DiskModel, momentsOf, type Tree, type Way } from './disk-model.ts';
import { Told, type Expectations } from './expectations.ts';

export const WAYS = ['kept', 'lost', 'torn', 'mixed'] as const;
export type WayName = (typeof WAYS)[number];

/** One power cut: after so many moments of the record, in one way; the seed belongs to the ways that have chance. */
export interface Cut {
  readonly after: number;
  readonly way: WayName;
  readonly seed: number;
}

export interface BrokenCut {
  readonly cut: Cut;
  /** The last moment before it, in words. */
  readonly last: string;
  readonly cause: string;
}

export interface ReplayResult {
  readonly way: WayName;
  readonly cuts: number;
  /** So many different disks; the others were the same as one that had been asked. */
  readonly different: number;
  readonly broken: readonly BrokenCut[];
}

export interface ReplayInput {
  readonly changes: readonly Recorded[];
  /** The recorded repository's directory. */
  readonly repository: string;
  /** Files whose chunks the recorded run had stored. */
  readonly shared: Files;
  readonly seed: number;
  readonly ways?: readonly WayName[];
  /** Only after every so many moments, from a place that the seed gives; 1 when it is left out. */
  readonly every?: number;
  /** One cut alone, to see it again. */
  readonly only?: Cut | undefined;
  progress?(done: number, all: number): void;
}

/** What breaks is told so often and then given up: the same cause breaks many cuts. */
const MOST_BROKEN = 5;
const HOUR_MS = 3_600_000;
/** A disk in memory is as good as any, and syncs cost nothing there. */
const FAST_ROOM = '/dev/shm';

/** Cuts the power after every moment of a record, in every way, and asks what is left. */
export async function replay(input: ReplayInput): Promise<ReplayResult[]> {
  const { changes, repository, seed, ways = WAYS, every = 1, only } = input;
  const moments = momentsOf(changes);
  const above = dirname(repository);
  const room = mkdtempSync(join(existsSync(FAST_ROOM) ? FAST_ROOM : labRoot(), 'stillpoint-power-cut-'));
  const results = new Map(ways.map((way) => [way, { cuts: 0, different: 0, broken: [] as BrokenCut[] }]));
  const asked = new Set<string>();
  const model = new DiskModel(above);
  const told = new Told();
  try {
    for (let after = 0; after <= moments.length; after += 1) {
      const moment = moments[after - 1];
      if (moment !== undefined) {
        model.apply(moment);
        told.heard(moment);
      }
      for (const way of ways) {
        const result = results.get(way);
        if (result === undefined || result.broken.length >= MOST_BROKEN) continue;
        const cut = { after, way, seed };
        if (only === undefined ? (after + seed) % every !== 0 : !sameCut(only, cut)) continue;
        result.cuts += 1;
        const tree = model.cut(wayOf(cut));
        const expected = told.now();
        const identity = identityOf(tree, expected);
        if (asked.has(identity)) continue;
        asked.add(identity);
        result.different += 1;
        const place = join(room, String(after));
        try {
          layOut(tree, place);
          await checkAfterCut(join(place, basename(repository)), expected, input.shared);
        } catch (error) {
          const cause = error instanceof Error ? error.message : String(error);
          const last = moment === undefined ? 'nothing' : inWords(moment.type, moment.change, above);
          result.broken.push({ cut, last, cause });
        }
        rmSync(place, { recursive: true, force: true });
      }
      input.progress?.(after, moments.length);
    }
  } finally {
    rmSync(room, { recursive: true, force: true });
  }
  return [...results].map(([way, result]) => ({ way, ...result }));
}

/** What the processes saw in the end: the record is whole when this is what lies there. Names as in the tree. */
export function endOf(changes: readonly Recorded[], repository: string): Tree {
  const model = new DiskModel(dirname(repository));
  for (const moment of momentsOf(changes)) model.apply(moment);
  return model.cut({ type: 'kept' });
}

/** Each cut has its own chance, so that it can be seen again alone. */
function wayOf({ way, seed, after }: Cut): Way {
  if (way === 'kept' || way === 'lost') return { type: way };
  return { type: way, random: new Random(seed * 1_000_003 + after) };
}

function sameCut(a: Cut, b: Cut): boolean {
  return a.after === b.after && a.way === b.way && a.seed === b.seed;
}

function layOut(tree: Tree, place: string): void {
  mkdirSync(place, { recursive: true });
  const written = new Map<object, string>();
  const old = new Date(Date.now() - HOUR_MS);
  for (const [name, found] of tree) {
    const path = join(place, name);
    if (found === null) {
      mkdirSync(path);
      continue;
    }
    const other = written.get(found.file);
    if (other === undefined) {
      writeFileSync(path, found.content);
      // Whoever worked here has been dead for long when the power is back and somebody looks.
      utimesSync(path, old, old);
      written.set(found.file, path);
    } else linkSync(other, path);
  }
}

function identityOf(tree: Tree, { valid, gone }: Expectations): string {
  const hash = createHash('sha256');
  const numbers = new Map<object, number>();
  for (const name of [...tree.keys()].sort()) {
    const found = tree.get(name);
    hash.update(`${name}\0`);
    if (found === null || found === undefined) continue;
    if (!numbers.has(found.file)) numbers.set(found.file, numbers.size);
    hash.update(`${numbers.get(found.file)} ${found.content.length}\0`).update(found.content);
  }
  return hash.update(`${[...valid].join()} ${[...gone].join()}`).digest('hex');
}

function inWords(type: 'asked' | 'answered', change: Recorded, above: string): string {
  const what = change.call === 'said' ? change.text : change.path.slice(above.length + 1);
  return `${change.call} ${what} was ${type === 'asked' ? 'asked for' : 'answered'}`;
}
