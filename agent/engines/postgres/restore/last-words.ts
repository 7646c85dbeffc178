import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { readIfThere } from '../../restore/stage.ts';
import type { PostgresSettings } from '../settings.ts';
import { parseSettings } from './auto-conf.ts';
import { decodeConfiguration } from './configuration-text.ts';
import { serverOwner } from './server-owner.ts';
import { logOf, whyItEnded } from './server-process.ts';

// What a server says goes where its owner's configuration puts it: beside its data, to a collector in a directory of its
// own, as text, CSV or JSON.

const run = promisify(execFile);

/** Log file → its size when nothing of ours had been asked of the server. */
export type LogSizes = ReadonlyMap<string, number>;

const TAIL_BYTES = 16_000;
const READ_MS = 5000;
const MOST_FILES = 1000;
/** Of those that have grown, the newest. */
const MOST_READ = 4;

/** Before a start: older lines tell of another day. */
export async function logSizes(settings: PostgresSettings): Promise<LogSizes> {
  return new Map((await logsOf(settings)).map(({ path, size }) => [path, size]));
}

/** The last fatal line that was written since, of whichever log of the server. Empty where it said nothing. */
export async function lastWords(settings: PostgresSettings, before: LogSizes): Promise<string> {
  const owner = await serverOwner(settings);
  const grown = (await logsOf(settings))
    .filter(({ path, size }) => size > (before.get(path) ?? 0))
    .toSorted((one, other) => other.writtenMs - one.writtenMs);
  for (const { path, size } of grown.slice(0, MOST_READ)) {
    const bytes = Math.min(TAIL_BYTES, size - (before.get(path) ?? 0));
    // By the server's user: what that one cannot read is no log of its own, whatever its configuration says.
    const text = await run('tail', ['-c', String(bytes), '--', path], {
      ...owner,
      cwd: '/',
      timeout: READ_MS,
    }).then(
      ({ stdout }) => stdout,
      () => '',
    );
    const why = whyItEnded(asText(path, text));
    if (why !== '') return why;
  }
  return '';
}

async function logsOf(
  settings: PostgresSettings,
): Promise<{ path: string; size: number; writtenMs: number }[]> {
  const { data } = settings;
  const folders = new Set([join(data, 'log'), join(data, 'pg_log'), ...(await logDirectories(settings))]);
  const paths = [logOf(settings), debianLogOf(data)];
  for (const folder of folders) {
    const names = await readdir(folder).catch((): string[] => []);
    paths.push(
      ...names
        .toSorted()
        .slice(-MOST_FILES)
        .map((name) => join(folder, name)),
    );
  }
  const found = await Promise.all(
    paths.map(async (path) => {
      const stats = await stat(path).catch(() => null);
      return stats?.isFile() === true ? [{ path, size: stats.size, writtenMs: stats.mtimeMs }] : [];
    }),
  );
  return found.flat();
}

async function logDirectories(settings: PostgresSettings): Promise<string[]> {
  const owner = await serverOwner(settings);
  const found: string[] = [];
  for (const folder of [settings.data, ...settings.also])
    for (const name of ['postgresql.conf', 'postgresql.auto.conf']) {
      const bytes = await readIfThere(join(folder, name), owner).catch(() => Buffer.alloc(0));
      const named = parseSettings(decodeConfiguration(bytes)).get('log_directory');
      if (named !== undefined) found.push(resolve(settings.data, named));
    }
  return found;
}

/** Where Debian's pg_ctlcluster puts it: /var/lib/postgresql/VERSION/NAME is postgresql-VERSION-NAME.log. */
function debianLogOf(data: string): string {
  return `/var/log/postgresql/postgresql-${basename(dirname(data))}-${basename(data)}.log`;
}

/** As the server writes it into a log of plain text. */
function asText(path: string, text: string): string {
  const lines = text.split('\n');
  if (extname(path) === '.json') return lines.map(fromJson).join('\n');
  // Of a CSV log: severity, SQLSTATE, message.
  if (extname(path) === '.csv')
    return lines
      .map((line) => line.replace(/^.*?,(FATAL|PANIC),\w{5},"?((?:[^",]|"")*).*$/, '$1:  $2'))
      .join('\n');
  return text;
}

function fromJson(line: string): string {
  try {
    const said = JSON.parse(line) as Partial<
      Record<'error_severity' | 'message' | 'detail' | 'hint', string>
    >;
    const { error_severity: severity = '', message = '', detail, hint } = said;
    const more = [
      detail === undefined ? '' : `\nDETAIL:  ${detail}`,
      hint === undefined ? '' : `\nHINT:  ${hint}`,
    ];
    return `${severity}:  ${message}${more.join('')}`;
  } catch {
    return '';
  }
}
