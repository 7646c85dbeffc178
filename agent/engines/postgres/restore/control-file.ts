import { endianness } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { closing } from '../../../anchored-directory.ts';
import { within } from '../../../safe-files.ts';

/** Without it no server starts there: it has its name while a restore is proven, and again when it is decided. */
export const CONTROL_FILE = 'global/pg_control';
export const UNFINISHED_CONTROL_FILE = 'global/pg_control.stillpoint-unfinished';

/** From now on the directory may be started. Idempotent. */
export async function finishControlFile(directory: string): Promise<void> {
  await give(directory, UNFINISHED_CONTROL_FILE, CONTROL_FILE);
}

/** From now on nobody can start it. Idempotent. */
export async function withholdControlFile(directory: string): Promise<void> {
  await give(directory, CONTROL_FILE, UNFINISHED_CONTROL_FILE);
}

async function give(directory: string, from: string, to: string): Promise<void> {
  await within(join(directory, dirname(CONTROL_FILE)), async (global) => {
    if ((await global.stat(basename(from))) === null) return;
    await global.remove(basename(to));
    await global.move(basename(from), global, basename(to));
    await global.sync();
  });
}

/** What the control file says of its server. */
export interface ControlData {
  readonly systemIdentifier: string;
  /** As it was left: `shut down` cleanly as a primary, or `shut down in recovery`; null for any other way. */
  readonly ended: 'shut down' | 'shut down in recovery' | null;
  /** Settings that recovery needs no smaller than they were, as its owner had them in force. */
  readonly settings: ReadonlyMap<string, string>;
}

/** Of PostgreSQL 13 to 16, 17 and 18: what is read here stands at the same places (src/include/catalog/pg_control.h). */
const VERSIONS = new Set([1300, 1700, 1800]);
const FLOAT_FORMAT = 1234567;
const AT = {
  version: 8,
  state: 16,
  walLevel: 172,
  walLogHints: 176,
  maxConnections: 180,
  maxWorkerProcesses: 184,
  maxWalSenders: 188,
  maxPrepared: 192,
  maxLocks: 196,
  trackCommitTimestamp: 200,
  floatFormat: 208,
} as const;
const ENDED = new Map([
  [1, 'shut down'],
  [2, 'shut down in recovery'],
] as const);
const WAL_LEVELS = ['minimal', 'replica', 'logical'];

export async function readControlFile(directory: string): Promise<ControlData> {
  const bytes = Buffer.alloc(256);
  const path = join(directory, CONTROL_FILE);
  await within(dirname(path), async (global) =>
    closing(await global.openFile(basename(path)), (file) => file.read(bytes, 0, bytes.length, 0)),
  );
  const isLittle = endianness() === 'LE';
  const number = (at: number): number => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const float = isLittle ? bytes.readDoubleLE(AT.floatFormat) : bytes.readDoubleBE(AT.floatFormat);
  if (!VERSIONS.has(number(AT.version)) || float !== FLOAT_FORMAT) throw unreadable(path, number(AT.version));
  const ended = [...ENDED].find(([state]) => state === number(AT.state))?.[1] ?? null;
  return {
    systemIdentifier: String(isLittle ? bytes.readBigUInt64LE(0) : bytes.readBigUInt64BE(0)),
    ended,
    settings: new Map([
      ['wal_level', WAL_LEVELS[number(AT.walLevel)] ?? 'replica'],
      ['wal_log_hints', bytes[AT.walLogHints] === 0 ? 'off' : 'on'],
      ['max_connections', String(number(AT.maxConnections))],
      ['max_worker_processes', String(number(AT.maxWorkerProcesses))],
      ['max_wal_senders', String(number(AT.maxWalSenders))],
      ['max_prepared_transactions', String(number(AT.maxPrepared))],
      ['max_locks_per_transaction', String(number(AT.maxLocks))],
      ['track_commit_timestamp', bytes[AT.trackCommitTimestamp] === 0 ? 'off' : 'on'],
    ]),
  };
}

function unreadable(path: string, version: number): StillpointError {
  return new StillpointError({
    code: 'restore-not-verified',
    message: `${path} is of version ${version}, which cannot be read here`,
    hint: 'restore with a version of stillpoint that knows this PostgreSQL, on hosts like those of the checkpoint',
  });
}
