import { createHash } from 'node:crypto';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { forEachEntry, type ArchiveContent, type ArchivedCache } from '../archive/archive.ts';
import { endOfLife, entryParts } from '../archive/records.ts';

/** An archive of what was to be restored, and one that the cluster wrote afterwards. */
export interface Compared {
  readonly expected: { readonly file: string; readonly content: ArchiveContent };
  readonly found: { readonly file: string; readonly content: ArchiveContent };
  /** Caches that stay although they are not in the archive: they must be empty. */
  readonly emptied: ReadonlySet<string>;
  /** Caches that are not looked at. */
  readonly apart: ReadonlySet<string>;
  /** Caches that throw entries out by themselves when they are full. */
  readonly bounded: ReadonlySet<string>;
  /** When it was looked: by then a life may have ended. */
  readonly now: () => number;
}

export interface Equal {
  /** What was looked at, in words. */
  readonly checks: readonly string[];
  /** Entries that are not there any more, by right: their life has ended, or a full cache threw them out. */
  readonly ended: number;
  readonly thrownOut: number;
}

/** Everything is as it was, of every kind, or it rejects `restore-not-verified` with what is not. */
export async function mustBeEqual(compared: Compared, signal: AbortSignal): Promise<Equal> {
  const { expected, found, apart, emptied } = compared;
  const caches = expected.content.caches.filter(({ name }) => !apart.has(name));
  const there = new Map(found.content.caches.map((cache) => [cache.name, cache]));
  const tally = { ended: 0, thrownOut: 0 };
  for (const cache of caches) {
    const restored = there.get(cache.name);
    if (restored === undefined) throw differs(`cache ${cache.name} is missing`);
    if (restored.contentSha256 !== cache.contentSha256)
      await mustBeMissedByRight(compared, cache, tally, signal);
  }
  const names = new Set(expected.content.caches.map(({ name }) => name));
  for (const { name, entries } of found.content.caches) {
    if (names.has(name) || apart.has(name)) continue;
    if (!emptied.has(name)) throw differs(`cache ${name} was made meanwhile`);
    if (entries > 0) throw differs(`cache ${name}, which was emptied, has ${entries} entries`);
  }
  const kinds = [
    ['counter', expected.content.counters, found.content.counters, true],
    ['schema', expected.content.protoSchemas, found.content.protoSchemas, true],
    ['task', expected.content.tasks, found.content.tasks, false],
  ] as const;
  for (const [kind, wanted, has, mayNoMore] of kinds) mustBeSame(kind, wanted, has, mayNoMore);
  const templates = new Set(found.content.templates.map(({ name }) => name));
  const lost = expected.content.templates.find(({ name }) => !templates.has(name));
  if (lost !== undefined) throw differs(`template ${lost.name} is missing`);

  const entries = caches.reduce((sum, cache) => sum + cache.entries, 0) - tally.ended - tally.thrownOut;
  const counted = (what: string, things: readonly unknown[]): string => `${what}: ${things.length}`;
  return {
    ...tally,
    checks: [
      `caches: ${caches.length}, ${entries} entries, equal by digest`,
      counted('counters', expected.content.counters),
      counted('schemas', expected.content.protoSchemas),
      counted('templates', expected.content.templates),
      counted('tasks', expected.content.tasks),
    ],
  };
}

/** What a cache lacks must have come to its end; what it has must all have been in the archive. */
async function mustBeMissedByRight(
  { expected, found, bounded, now }: Compared,
  cache: ArchivedCache,
  tally: { ended: number; thrownOut: number },
  signal: AbortSignal,
): Promise<void> {
  const left = new Map<string, number>();
  await forEachEntry(found.file, cache.name, signal, (record) => {
    const digest = digestOf(record);
    left.set(digest, (left.get(digest) ?? 0) + 1);
  });
  let missing = 0;
  await forEachEntry(expected.file, cache.name, signal, (record) => {
    const digest = digestOf(record);
    const count = left.get(digest) ?? 0;
    if (count > 1) left.set(digest, count - 1);
    else if (count === 1) left.delete(digest);
    else if ((endOfLife(record) ?? Infinity) <= now()) tally.ended += 1;
    else if (bounded.has(cache.name)) tally.thrownOut += 1;
    else missing += 1;
  });
  const more = [...left.values()].reduce((sum, count) => sum + count, 0);
  if (missing > 0 || more > 0)
    throw differs(`cache ${cache.name} lacks ${missing} entries of ${cache.entries}, and has ${more} others`);
}

function digestOf(record: Buffer): string {
  return createHash('sha256').update(entryParts(record)).digest('base64');
}

function mustBeSame(
  kind: string,
  expected: readonly { readonly name: string }[],
  found: readonly { readonly name: string }[],
  mayNoMore: boolean,
): void {
  const there = new Map(found.map((thing) => [thing.name, JSON.stringify(thing)]));
  for (const thing of expected) {
    const has = there.get(thing.name);
    if (has === undefined) throw differs(`${kind} ${thing.name} is missing`);
    if (has !== JSON.stringify(thing))
      throw differs(`${kind} ${thing.name} is another: ${has}, not ${JSON.stringify(thing)}`);
  }
  const names = new Set(expected.map(({ name }) => name));
  const more = found.find(({ name }) => !names.has(name));
  if (mayNoMore && more !== undefined) throw differs(`${kind} ${more.name} was made meanwhile`);
}

function differs(what: string): StillpointError {
  return new StillpointError({
    code: 'restore-not-verified',
    message: `the cluster was restored, but is not what the archive has: ${what}`,
    hint: 'did a client write to it meanwhile? Counters, and caches made anew, cannot be kept from clients: end their connections, then restore again',
  });
}
