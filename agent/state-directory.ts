import { randomUUID } from 'node:crypto';
import { open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { emptyDir, ensureDir, remove } from 'fs-extra/esm';
import * as z from 'zod';
import { StillpointError } from '../shared/domain/errors.ts';
import { NAME } from '../shared/domain/name.ts';
import { compareTokens, type Token } from '../shared/domain/token.ts';
import { agentDiskError } from './disk-error.ts';
import type { Spending } from './freeze-budget.ts';
import type { Undo } from './engines/engine.ts';
import { syncDirectory } from '../shared/runtime/whole-file.ts';

/**
 * What the agent must remember across its own death, each in a file of its own:
 *
 *   token.json             the highest token ever recorded; older ones are refused
 *   repository.json        the repository that this host stores in: another in its place is refused
 *   lineage.json           whose checkpoints those of this host's grid are
 *   spent.json             the freeze budget: what was spent in each minute of the last hour
 *   freezes/<member>.json  the freeze record: what must be undone on this member
 *   restores/<member>.json a restore that has not ended on this member
 *   members/<member>.json  what its engine learned of a member (member-memory.ts): a help, and not durable
 *   lock                   held by the agent that runs (state-lock.ts)
 *   spool/                 journals received for a checkpoint under way; emptied at start
 *
 * Every write is durable on return: a new file is synced, renamed over the old one, and the directory synced.
 */
const count = z.number().int().nonnegative();
const tokenSchema = z.object({ epoch: count, counter: count, attempt: count });
const spendingSchema = z.array(
  z.object({ minute: z.number().int(), freezes: count, heldMs: z.number().nonnegative() }),
);
/** What an undo says is its engine's own, which looks at it before it acts. */
const freezeSchema = z.object({
  member: z.string().min(1),
  operation: z.string().optional(),
  undo: z.record(z.string(), z.unknown()),
});
const restoreSchema = z.object({
  member: z.string().min(1),
  grid: z.string().min(1),
  restoreId: z.string().min(1),
  /** Where the restore is decided; another repository knows nothing of it. */
  repositoryId: z.string().min(1),
  /** Whether the new data may have been switched in: from then on, what runs is what the restore started. */
  switched: z.boolean(),
  /** Whether there was something in the place of the new data. */
  replaced: z.boolean().optional(),
  /** A drill left it undecided for a person to end: nothing ends it before it is asked for. */
  kept: z.boolean().optional(),
});

const repositorySchema = z.object({ location: z.string().min(1), id: z.uuid() });

const lineageSchema = z.object({ lineage: z.uuid() });

export interface FreezeRecord {
  readonly member: string;
  /** Whose freeze it is: a guard undoes nothing of another's. */
  readonly operation?: string | undefined;
  readonly undo: Undo;
}

export type RestoreRecord = Readonly<z.infer<typeof restoreSchema>>;

/** The id of the repository that was seen at this location. */
type KnownRepository = Readonly<z.infer<typeof repositorySchema>>;

/** A state file is small: nobody but the agent writes it. */
const MOST_BYTES = 1024 * 1024;

/** What to do about a damaged file, where each is what it is of. Removed blindly, each has its own harm. */
const REMEDIES = {
  token:
    'see that no stillpoint command works on this grid, then move the file away: the next checkpoint has a number above those of the repository',
  repository:
    'see that the repository in the agent file is the one that this host stores in, then move the file away: the agent takes the one that it finds there',
  lineage:
    'see of which grid this host is (stillpoint checkpoint list), move the file away, then create the next checkpoint with --adopt LINEAGE',
  spent: 'move the file away: freezes of the last hour are forgotten',
  freeze:
    'look at the member it names by hand (postgres: synchronous_standby_names, paused replay), then remove the file',
  restore:
    'a restore of the member that the file is named for has not ended: see that the disk of its data is mounted, then look for the room .stillpoint-… beside its data. With restore.json in it the agent ends the restore without this file: move the file away, and start the agent. Without it, see first that the data in place is the one to keep, and what stillpoint restore --finish says of that restore on other hosts',
} as const;

/** What must be undone. Read apart from all else, so that nothing else that is damaged stands in the way. */
export interface FreezeRecords {
  /** The members with a record, readable or not. */
  frozenMembers(): Promise<string[]>;
  freezeRecord(member: string): Promise<FreezeRecord | null>;
  freezeRecords(): Promise<FreezeRecord[]>;
  saveFreeze(record: FreezeRecord): Promise<void>;
  clearFreeze(member: string): Promise<void>;
}

export interface StateDirectory extends FreezeRecords {
  highestToken(): Token | null;
  /** Resolves at once where this token, or a newer one, is on disk already. */
  recordToken(token: Token): Promise<void>;
  /** As it was when the agent started. */
  spent(): Spending;
  /** Durable on return. One call at a time. */
  saveSpent(spending: Spending): Promise<void>;
  /** Read anew each time: a person may have removed the file to accept another repository. */
  knownRepository(): Promise<KnownRepository | null>;
  saveRepository(known: KnownRepository): Promise<void>;
  lineage(): Promise<string | null>;
  saveLineage(lineage: string): Promise<void>;
  restoreRecords(): Promise<RestoreRecord[]>;
  saveRestore(record: RestoreRecord): Promise<void>;
  clearRestore(member: string): Promise<void>;
  /** A new, empty, private directory for one member of one operation. */
  makeSpool(operation: string, member: string): Promise<string>;
  dropSpool(operation: string, member: string): Promise<void>;
  readonly path: string;
}

const PRIVATE = { mode: 0o700 };

export async function openFreezeRecords(path: string): Promise<FreezeRecords> {
  const room = join(path, 'freezes');
  await ensureDir(room, PRIVATE);
  await dropUnfinished(room);
  return {
    frozenMembers: () => namesIn(room),
    freezeRecord: (member) =>
      readJson<FreezeRecord>(join(room, `${member}.json`), freezeSchema, REMEDIES.freeze),
    freezeRecords: () => readRoom<FreezeRecord>(room, freezeSchema, REMEDIES.freeze),
    saveFreeze: (record) => writeJsonDurably(room, `${record.member}.json`, record),
    // What was frozen is undone: where the directory is gone there is no record, and one that comes back does no harm.
    clearFreeze: (member) =>
      removeDurably(room, `${member}.json`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      }),
  };
}

/** For who is not the agent, and must not touch what it is writing. */
export function readFreezeRecord(path: string, member: string): Promise<FreezeRecord | null> {
  return readJson<FreezeRecord>(join(path, 'freezes', `${member}.json`), freezeSchema, REMEDIES.freeze);
}

export async function openStateDirectory(path: string): Promise<StateDirectory> {
  const freezes = await openFreezeRecords(path);
  await ensureDir(join(path, 'restores'), PRIVATE);
  for (const room of ['.', 'restores']) await dropUnfinished(join(path, room));
  await ensureDir(join(path, 'spool'), PRIVATE);
  await emptyDir(join(path, 'spool'));

  let highest = await readJson<Token>(join(path, 'token.json'), tokenSchema, REMEDIES.token);
  const spent = (await readJson<Spending>(join(path, 'spent.json'), spendingSchema, REMEDIES.spent)) ?? [];
  let writing: Promise<void> = Promise.resolve();

  return {
    path,
    highestToken: () => highest,
    recordToken(token) {
      const record = async (): Promise<void> => {
        if (highest !== null && compareTokens(token, highest) <= 0) return;
        await writeJsonDurably(path, 'token.json', token);
        highest = token;
      };
      // One write at a time: members of one host record the same token at once.
      const written = writing.then(record);
      writing = written.catch(() => undefined);
      return written;
    },
    spent: () => spent,
    saveSpent: (spending) => writeJsonDurably(path, 'spent.json', spending),
    knownRepository: () =>
      readJson<KnownRepository>(join(path, 'repository.json'), repositorySchema, REMEDIES.repository),
    saveRepository: (known) => writeJsonDurably(path, 'repository.json', known),
    lineage: async () =>
      (await readJson<{ lineage: string }>(join(path, 'lineage.json'), lineageSchema, REMEDIES.lineage))
        ?.lineage ?? null,
    saveLineage: (lineage) => writeJsonDurably(path, 'lineage.json', { lineage }),
    ...freezes,
    restoreRecords: () => readRoom<RestoreRecord>(join(path, 'restores'), restoreSchema, REMEDIES.restore),
    saveRestore: (record) => writeJsonDurably(join(path, 'restores'), `${record.member}.json`, record),
    clearRestore: (member) => removeDurably(join(path, 'restores'), `${member}.json`),
    async makeSpool(operation, member) {
      // The directory is emptied below: a path in one of the two names would empty another one.
      if (!NAME.test(operation) || !NAME.test(member)) throw new Error(`${operation}-${member} is no name`);
      const spool = join(path, 'spool', `${operation}-${member}`);
      await ensureDir(spool, PRIVATE);
      await emptyDir(spool);
      return spool;
    },
    dropSpool: (operation, member) => remove(join(path, 'spool', `${operation}-${member}`)),
  };
}

/** What a killed agent had begun to write: nothing relied on it yet. */
async function dropUnfinished(directory: string): Promise<void> {
  for (const name of await readdir(directory))
    if (/^\..*\.new$/.test(name)) await rm(join(directory, name), { force: true });
}

async function readRoom<T>(directory: string, schema: z.ZodType<T>, hint: string): Promise<T[]> {
  const records: T[] = [];
  for (const name of await namesIn(directory)) {
    const record = await readJson(join(directory, `${name}.json`), schema, hint);
    if (record !== null) records.push(record);
  }
  return records;
}

async function namesIn(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).sort();
  return names.flatMap((name) => (name.endsWith('.json') ? [name.slice(0, -'.json'.length)] : []));
}

async function readJson<T>(file: string, schema: z.ZodType<T>, hint: string): Promise<T | null> {
  try {
    const { size } = await stat(file);
    if (size > MOST_BYTES) throw new Error(`it is ${size} bytes long`);
    const parsed = schema.safeParse(JSON.parse(await readFile(file, 'utf8')));
    if (parsed.success) return parsed.data;
    throw new Error('it does not hold what the agent writes there');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new StillpointError(
      {
        code: 'agent-state-damaged',
        message: `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        hint,
      },
      2,
      { cause: error },
    );
  }
}

async function writeJsonDurably(directory: string, name: string, value: unknown): Promise<void> {
  // Two members of a host may save the same at once.
  const temporary = join(directory, `.${name}.${randomUUID()}.new`);
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(value));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, name));
    await syncDirectory(directory);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw agentDiskError(error, `${name} cannot be written`);
  }
}

async function removeDurably(directory: string, name: string): Promise<void> {
  await rm(join(directory, name), { force: true });
  await syncDirectory(directory);
}
