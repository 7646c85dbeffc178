import { ABLE } from '../../../shared/domain/purpose.ts';
import { appendFile, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import type { CheckpointContext, Copy, Engine, Guardian, Hold } from '../../../agent/engines/engine.ts';
import type { Restoration, RestoreContext } from '../../../agent/engines/engine.ts';
import type { EngineKind } from '../../../agent/engines/engine-kind.ts';
import { memberShape } from '../../../agent/engines/member-schema.ts';
import { OneCallAtATime } from '../../../agent/engines/one-call-at-a-time.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberDescription } from '../../../shared/domain/grid.ts';

/**
 * The smallest cluster that is held and copied once for all of its members. A member is a directory: `entries` is its
 * replica of the data, `running` is there while it runs and has its incarnation, `lead` is there where it leads. Clients
 * write to no member of a domain while the domain's file `<domain>.held` stands beside them.
 */
export const toyMemberSchema = z.strictObject({
  ...memberShape,
  engine: z.literal('toy'),
  data: z.string(),
  domain: z.string(),
  copies: z.enum(['one', 'nobody']),
});
export type ToySettings = z.infer<typeof toyMemberSchema>;

export const toy = {
  name: 'toy',
  schema: toyMemberSchema,
  mustBeSafe() {},
  located: (settings) => settings,
  directories: ({ data }) => [data],
  create: async (settings) => createToyEngine(settings),
  openGuardian: async (settings) => toyGuardian(settings),
  discover: () => Promise.resolve({ members: [], notes: [] }),
  prepare: () => Promise.resolve(null),
} satisfies EngineKind<ToySettings>;

export function createToyEngine(settings: ToySettings): Engine {
  const at = (file: string): string => join(settings.data, file);
  return {
    describe: () => describe(settings),
    diagnose: () => Promise.resolve([]),
    freeBytes: () => Promise.resolve(null),
    begin: (context) => ({
      hold: context.assignment.hold === 'none' ? null : holdOf(settings, context),
      copy: context.assignment.part === 'whole' ? copyOf(settings, context) : null,
      journal: null,
    }),
    undo: () => toyGuardian(settings).undo({}),
    restoration: (context) => restorationOf(settings, context),
    restorePlace: async () => ({
      isThere: await isThere(settings.data),
      isOccupied: await isThere(settings.data),
      left: null,
    }),
    recoverRestore: (outcome) => (outcome === 'restored' ? dropOld(at) : putBack(at)),
    localCopies: null,
    images: null,
    archives: null,
    messages: null,
    realm: null,
    stop: () => rm(at('running'), { force: true }),
    isRunning: () => isThere(at('running')),
  };
}

export function toyGuardian({ data, domain }: ToySettings): Guardian {
  return {
    undo: async () => {
      await rm(heldFile(data, domain), { force: true });
      return null;
    },
    close: () => Promise.resolve(),
  };
}

export const heldFile = (data: string, domain: string): string => join(dirname(data), `${domain}.held`);

/** Holds the whole domain, whoever of it asks. */
function holdOf({ name, data, domain }: ToySettings, context: CheckpointContext): Hold {
  const held = heldFile(data, domain);
  const calls = new OneCallAtATime();
  const log = (call: string): Promise<void> => appendFile(join(data, 'calls'), `${call}\n`);
  const incarnation = (): Promise<string> => readFile(join(data, 'running'), 'utf8');
  const open = (): Promise<void> => rm(held, { force: true });
  const disarm = async (): Promise<void> => {
    await open();
    await context.saveUndo(null);
  };
  let marked: string | null = null;
  return {
    prepare: () => Promise.resolve(),
    arm: () =>
      calls.run(async () => {
        await log(`arm ${context.assignment.hold}`);
        await context.saveUndo({ kind: 'toy' });
        return { incarnation: await incarnation() };
      }),
    disarm: () => calls.run(disarm),
    freeze: (token) =>
      calls.run(async () => {
        await log('freeze');
        await writeFile(held, name);
        const fencedAt = performance.now();
        if (await isThere(join(data, 'refuses')))
          throw failure('toy-refused', `${name} does not come to rest`);
        marked = await lengthOf(data);
        const mark = { journalFile: null, position: marked, name: `${token.counter} ${token.attempt}` };
        return { incarnation: await incarnation(), mark, fencedAt, markedAt: performance.now() };
      }),
    thaw: (_token, released) =>
      calls.run(async () => {
        await log('thaw');
        const isHeld = marked !== null && marked === (await lengthOf(data)) && (await isThere(held));
        await disarm();
        released();
        const process = await incarnation();
        if (isHeld) return { type: 'held', incarnation: process };
        return { type: 'broken', incarnation: process, cause: 'something was written while it was held' };
      }),
    release: () => calls.abort({ release: open, end: disarm }),
  };
}

/** The data of the domain, up to the mark: clients may have written more since. */
function copyOf({ data }: ToySettings, { artifacts }: CheckpointContext): Copy {
  return {
    begin: () => Promise.resolve(),
    async finish(mark) {
      await appendFile(join(data, 'calls'), 'copy\n');
      const bytes = (await readFile(join(data, 'entries'))).subarray(0, Number(mark?.position));
      await artifacts.file({ path: 'entries', mode: 0o600, mtimeMs: 0 }, once(bytes));
      return null;
    },
    abandon: () => Promise.resolve(),
  };
}

function restorationOf(settings: ToySettings, { source }: RestoreContext): Restoration {
  const at = (file: string): string => join(settings.data, file);
  const isCopied = source.manifest.artifacts.length > 0;
  const position = source.manifest.mark?.position;
  let isStarted = false;
  const mustStandAtMark = async (): Promise<void> => {
    const length = await lengthOf(settings.data);
    if (length !== position)
      throw failure(
        'toy-differs',
        `${settings.name} is ${length} bytes long; at the mark it was ${position}`,
      );
  };
  return {
    async check() {
      if (!isCopied) await mustStandAtMark();
      return { provesInPrivate: false, warnings: [], rooms: [] };
    },
    async stage() {
      if (isCopied) await writeFile(at('entries.new'), source.read('entries'));
      return { followsAs: null };
    },
    prove: () => Promise.reject(failure('toy-differs', 'it cannot be proven in private')),
    async switchIn() {
      if (!isCopied) return;
      await rename(at('entries'), at('entries.old')).catch(() => undefined);
      await rename(at('entries.new'), at('entries'));
    },
    async start() {
      isStarted = true;
      await writeFile(at('running'), crypto.randomUUID());
    },
    async verify() {
      await mustStandAtMark();
      return { checks: [`entries: ${position} bytes, as at the mark`], warnings: [], prepared: [] };
    },
    open: () => Promise.resolve({ warnings: [], problems: [] }),
    finish: () => dropOld(at),
    async rollBack() {
      if (isStarted) await rm(at('running'), { force: true });
      await putBack(at);
    },
  };
}

const dropOld = (at: (file: string) => string): Promise<void> => rm(at('entries.old'), { force: true });

async function putBack(at: (file: string) => string): Promise<void> {
  if (await isThere(at('entries.old'))) await rename(at('entries.old'), at('entries'));
  await rm(at('entries.new'), { force: true });
}

const TRAITS = {
  standbys: 'peer',
  maintenance: false,
  inRealm: false,
  renamable: false,
  maxMembers: null,
  compatibility: '1',
  marksJournalFile: false,
  restoresRunning: false,
  archive: null,
} as const;

const UNKNOWN = {
  engine: 'toy',
  version: '1',
  frozen: false,
  leftFrozen: false,
  freezeKind: 'fenced',
  sizeBytes: 1,
  journalBytesPerSecond: 0,
  copyBytesPerSecond: 0,
  problems: [],
  warnings: [],
  localCheckpoints: [],
  realm: null,
  quorum: null,
  abilities: ABLE,
  updatesHaveRoomMs: null,
} as const;

async function describe(settings: ToySettings): Promise<MemberDescription> {
  const { name, role, copyset = null, address, data, domain, copies } = settings;
  const incarnation = await readFile(join(data, 'running'), 'utf8').catch(() => '');
  return {
    ...UNKNOWN,
    name,
    role,
    copyset,
    address,
    dataDirectory: data,
    dataIdentity: domain,
    running: incarnation !== '',
    incarnation,
    primary: await isThere(join(data, 'lead')),
    traits: { ...TRAITS, domain, copies },
  };
}

async function lengthOf(data: string): Promise<string> {
  return String((await stat(join(data, 'entries'))).size);
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

function failure(code: string, message: string): StillpointError {
  return new StillpointError({ code, message, hint: 'see the test' });
}
