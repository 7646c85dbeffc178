import { execFile, spawn } from 'node:child_process';
import { chown, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { escapeIdentifier, escapeLiteral } from 'pg';
import { promisify } from 'node:util';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Warning } from '../../../../shared/domain/warning.ts';
import type { Owner } from '../../../foreign-files.ts';
import { beside } from '../../../safe-files.ts';
import type { UsedCollation } from '../look/collations.ts';

const run = promisify(execFile);
const ASK_MS = 10_000;
/** A cluster of its own is made, which takes seconds on a slow disk. */
const CLUSTER_MS = 120_000;
const ANSWER = /answer = "(\d+):([^"]*)"/g;

/**
 * Which of the collations that indexes of the checkpoint are ordered by are of another version here, and which indexes
 * that concerns. What this host cannot be asked is left to the restore, which looks again.
 */
export async function collationWarnings(input: {
  readonly about: string;
  readonly collations: readonly UsedCollation[];
  /** The host's own `postgres`. */
  readonly program: string;
  readonly owner: Owner | null;
}): Promise<Warning[]> {
  const { about, collations } = input;
  const libc = collations.some(({ provider }) => provider === 'c') ? await libcVersion() : null;
  const icuLocales = [
    ...new Set(collations.filter(({ provider }) => provider === 'i').map(({ locale }) => locale)),
  ];
  const icu = icuLocales.length === 0 ? new Map<string, string>() : await icuVersions(input, icuLocales);
  return collations.flatMap(({ database, name, provider, locale, version, indexes, count }) => {
    const here = provider === 'c' ? libc : provider === 'i' ? (icu.get(locale) ?? null) : null;
    if (here === null || here === version) return [];
    const what = name === null ? 'its default collation' : `collation ${name}`;
    const more = count > indexes.length ? ` and ${count - indexes.length} more` : '';
    return [
      {
        code: 'postgres-collation-other',
        about,
        doubtful: true,
        text: `in database ${database}: ${what} (${locale}) is of version ${here} on this host, and was ${version} at the checkpoint: ${indexes.join(', ')}${more} may be in another order`,
        hint: `restore onto a host with the same version, or afterwards, in that database: REINDEX DATABASE ${escapeIdentifier(database)}; then refresh the version`,
      },
    ];
  });
}

/** Throws `locale-missing` where this host lacks one: the databases that have it could not be entered. */
export async function mustHaveLocales(member: string, locales: readonly string[]): Promise<void> {
  const missing: string[] = [];
  for (const locale of locales) if ((await hasLocale(locale)) === false) missing.push(locale);
  if (missing.length === 0) return;
  throw new StillpointError({
    code: 'locale-missing',
    message: `${member}: this host has no locale ${missing.join(', ')}, which databases or the configuration of the checkpoint name`,
    hint: 'make it (locale-gen, or localedef -i NAME -f UTF-8 NAME.UTF-8, or the package glibc-langpack-…), and see it with locale -a',
    member,
  });
}

/** The C library itself is asked, which knows other names of a locale too. Null where nothing can ask it. */
async function hasLocale(locale: string): Promise<boolean | null> {
  try {
    const { stderr } = await run('locale', [], { env: { ...process.env, LC_ALL: locale }, timeout: ASK_MS });
    return stderr.trim() === '';
  } catch {
    return null;
  }
}

/** As PostgreSQL says it of all collations of the C library. Null where that is another than glibc. */
async function libcVersion(): Promise<string | null> {
  const { stdout } = await run('getconf', ['GNU_LIBC_VERSION'], { timeout: ASK_MS }).catch(() => ({
    stdout: '',
  }));
  return /^glibc (\S+)/.exec(stdout)?.[1] ?? null;
}

/** Only a server can say it: one is made for this in a temporary directory, asked without a connection, and removed. */
async function icuVersions(
  { program, owner }: { readonly program: string; readonly owner: Owner | null },
  locales: readonly string[],
): Promise<Map<string, string>> {
  const room = await mkdtemp(join(tmpdir(), 'stillpoint-icu-'));
  try {
    if (owner !== null) await chown(room, owner.uid, owner.gid);
    const data = join(room, 'data');
    const asOwner = {
      cwd: '/',
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      timeout: CLUSTER_MS,
      ...owner,
    };
    await run(
      join(dirname(program), 'initdb'),
      ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
      asOwner,
    );
    const statements = locales.flatMap((locale, index) => [
      `CREATE COLLATION asked_${index} (provider = icu, locale = ${escapeLiteral(locale)});`,
      `SELECT '${index}:' || coalesce(pg_collation_actual_version(oid), '') AS answer FROM pg_collation WHERE collname = 'asked_${index}';`,
    ]);
    const said = await askAlone(program, data, statements, asOwner);
    const found = new Map<string, string>();
    for (const [, index = '', version = ''] of said.matchAll(ANSWER)) {
      const locale = locales[Number(index)];
      if (locale !== undefined && version !== '') found.set(locale, version);
    }
    return found;
  } catch {
    return new Map();
  } finally {
    await beside(room, (directory, name) => directory.remove(name));
  }
}

/** In single-user mode: no socket, no process that stays. */
function askAlone(
  program: string,
  data: string,
  statements: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv; timeout: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['--single', '-D', data, '-F', 'template1'], {
      ...options,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
    child.once('error', reject);
    child.once('close', () => resolve(said));
    child.stdin.on('error', () => undefined);
    // Each line is a statement there.
    child.stdin.end(`${statements.map((statement) => statement.replace(/\s*\n\s*/g, ' ')).join('\n')}\n`);
  });
}
