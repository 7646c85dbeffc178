import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { Content, ParticipantDescription } from '../../shared/domain/participant.ts';
import { connectParticipant } from '../../shared/rpc/participant-client.ts';
import { brief, LONG_MS, type Lab } from './lab.ts';
import { startProgram, type RunningProgram } from './programs.ts';
import { Broken, Unjudged } from './promise.ts';

const TIMEOUT_MS = 5000;

/** What a node had at a mark, and what a process has that was started on what was captured there. */
export interface BroughtUp {
  readonly rows: ReadonlySet<number>;
  readonly content: Content | null;
  readonly again: Restarted | null;
  readonly restored: { readonly rows: ReadonlySet<number>; readonly startedWith: Content | null };
}

/** What a process says of itself after each of two starts; `older`: why the second one refused a low token. */
export interface Restarted {
  readonly first: ParticipantDescription;
  readonly second: ParticipantDescription;
  readonly older: string | null;
}

/** What costs much and serves several promises: made by the first that needs it. */
export function madeOnce<T>(make: (lab: Lab) => Promise<T>): (lab: Lab) => Promise<T> {
  const made = new WeakMap<Lab, Promise<T>>();
  return (lab) => {
    const one = made.get(lab) ?? make(lab);
    made.set(lab, one);
    return one;
  };
}

/** Of what another promise already has a name for, this one is not blamed. */
export async function blameless<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Broken) throw new Unjudged(error.message);
    throw error;
  }
}

/** Copies a node's files as the agent does, while its clients write, and starts a process on them. */
export const broughtUp = madeOnce((lab) =>
  inFolder(async (folder) => {
    const data = join(folder, 'data');
    const captured = await captureInto(lab, data);
    const restored = await runningOn(lab, folder, async (started) => {
      const rows = await firstRows(lab, data, started);
      if (rows === undefined)
        throw new Broken(`a process started on the files cannot be read: ${started.complaint()}`);
      return { rows, description: await descriptionAt(lab, folder, started) };
    });
    const { rows, description } = restored;
    const again = await restarted(lab, folder, description);
    return { ...captured, restored: { rows, startedWith: description?.startedWith ?? null }, again };
  }),
);

export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'stillpoint-conformance-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** While a process runs on `data` in the folder. */
export async function runningOn<T>(
  lab: Lab,
  folder: string,
  work: (started: RunningProgram) => Promise<T>,
): Promise<T> {
  const places = { data: join(folder, 'data'), socket: socketIn(folder) };
  await rm(places.socket, { force: true });
  const started = startProgram(lab.programs.start ?? [], places, () => undefined);
  try {
    return await work(started);
  } finally {
    await started.stop();
  }
}

/** What a process that was just started has; undefined where it cannot be read in the time that a start may take. */
export async function firstRows(
  lab: Lab,
  data: string,
  started: RunningProgram,
): Promise<ReadonlySet<number> | undefined> {
  let rows: ReadonlySet<number> | undefined;
  await lab.becomes(async () => {
    rows = await lab.rows(data).catch(() => undefined);
    return rows !== undefined || started.isGone();
  }, lab.pace.startMs);
  return rows;
}

/** What such a process says of itself; null where it was not asked to serve the contract. */
export async function descriptionAt(
  lab: Lab,
  folder: string,
  started: RunningProgram,
): Promise<ParticipantDescription | null> {
  if (!servesContract(lab)) return null;
  const target = `unix:${socketIn(folder)}`;
  let description: ParticipantDescription | undefined;
  let cause = 'no socket there';
  const isDescribed = async (): Promise<boolean> => {
    try {
      const participant = await connectParticipant({ target, timeoutMs: TIMEOUT_MS });
      description = await participant.describe().finally(() => participant.close());
    } catch (error) {
      cause = error instanceof Error ? error.message : String(error);
    }
    return description !== undefined || started.isGone();
  };
  await lab.becomes(isDescribed, lab.pace.startMs);
  if (description === undefined)
    throw new Unjudged(`what --start started does not serve the contract at {socket}: ${cause}`);
  return description;
}

/** The same once more on the same files; null where it serves no contract. */
export async function restarted(
  lab: Lab,
  folder: string,
  first: ParticipantDescription | null,
): Promise<Restarted | null> {
  if (first === null) return null;
  return await runningOn(lab, folder, async (started) => {
    const second = await descriptionAt(lab, folder, started);
    if (second === null) return null;
    const target = `unix:${socketIn(folder)}`;
    const participant = await connectParticipant({ target, timeoutMs: TIMEOUT_MS });
    const token = { epoch: 0, counter: 0, attempt: 1 };
    try {
      await participant.resume({ operation: 'conformance-restarted', token });
      return { first, second, older: null };
    } catch (error) {
      const { failure } = error as Partial<StillpointError>;
      const isOlder = failure?.code === 'participant-superseded';
      return { first, second, older: isOlder ? (failure?.message ?? '') : null };
    } finally {
      participant.close();
    }
  });
}

export function servesContract({ programs }: Lab): boolean {
  const { start } = programs;
  if (start === undefined) return false;
  return 'launch' in start ? start.servesContract : start.some((word) => word.includes('{socket}'));
}

function socketIn(folder: string): string {
  return join(folder, 'p.sock');
}

async function captureInto(lab: Lab, data: string): Promise<Pick<BroughtUp, 'rows' | 'content'>> {
  const { participant, files } = lab;
  await lab.busyWriter();
  const { operation } = lab.attempt();
  const { firstJournalFile } = await participant.suspendWriting({ operation, leaseMs: LONG_MS });
  await mkdir(join(data, 'live'), { recursive: true });
  await files.copyDatabase(data);
  const retention = { operation, retainJournal: true, leaseMs: LONG_MS };
  if (!(await participant.resumeWriting(retention)).held) throw new Unjudged('writing was not suspended');
  await lab.progress();
  const { cut, rows } = await lab.whileSilent(() =>
    lab.whileQuiesced(
      async (attempt) => ({ cut: await participant.switchJournal(attempt), rows: await lab.rows() }),
      { operation },
    ),
  );
  await lab.progress();
  const names = await files.copyJournal(data, firstJournalFile, cut);
  await participant.releaseJournal({ operation });
  for (const name of [firstJournalFile, cut.journalFile]) {
    if (!names.includes(name)) throw new Unjudged(`${name} was gone before it was copied: ${brief(names)}`);
  }
  return { rows, content: cut.content };
}
