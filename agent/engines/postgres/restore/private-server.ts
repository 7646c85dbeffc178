import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Owner } from '../../../foreign-files.ts';
import { readControlFile } from './control-file.ts';
import { whyItEnded } from './server-process.ts';

const LOOK_EVERY_MS = 50;
/** A server that recovers says something every second; so long silent, it hangs. */
const SILENT_MS = 600_000;
const STOP_MS = 600_000;
const LAST_WORDS_MS = 1000;
const LOG_BYTES = 16 * 1024;
const PORT = 5432;
/** Whatever a database or a role sets for its sessions, ours end when we say so. */
const SESSION = [
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
];

/** How far a server recovers, and what it does then. */
export interface RecoveryTarget {
  /**
   * A restore point, by its name; the record that begins at a position; or `end`: all of the journal that is there, and
   * then it can only go on.
   */
  readonly to: { readonly name: string } | { readonly record: string } | 'end';
  readonly afterwards: 'promote' | 'shutdown';
  /** The timeline that leads there; null: that of the copy. */
  readonly timeline: number | null;
}

export interface PrivateServerInput {
  readonly member: string;
  /** The host's own `postgres`. */
  readonly program: string;
  readonly serverVersion: number;
  /** The staged directory; its postgresql.auto.conf is empty. */
  readonly data: string;
  readonly owner: Owner | null;
  readonly target: RecoveryTarget;
  /** Libraries without which the journal cannot be replayed. */
  readonly preload: string;
  /** Whom it may know as a superuser, or as a role that can see who is one. */
  readonly roles: readonly string[];
  /** Where one may get in, the likely one first: a cluster need not have `postgres`, nor let anybody into `template1`. */
  readonly databases: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * A server on a staged directory that only this agent can reach: no address, a socket in a directory that only the
 * server's user may enter, and no line of its owner's configuration. So nothing that the owner configured for
 * another host can stop the recovery, nothing runs that the owner had planned, and no client comes too early.
 */
export class PrivateServer {
  readonly #input: PrivateServerInput;
  readonly #process: ChildProcess;
  readonly #sockets: string;
  readonly #gone: Promise<number | null>;
  #ended = false;
  #log = '';
  #heardAt = performance.now();
  #home: { readonly role: string; readonly database: string } | null = null;

  private constructor(input: PrivateServerInput, process: ChildProcess, sockets: string) {
    this.#input = input;
    this.#process = process;
    this.#sockets = sockets;
    process.stderr?.on('data', (bytes: Buffer) => {
      this.#log = (this.#log + bytes.toString()).slice(-LOG_BYTES);
      this.#heardAt = performance.now();
    });
    this.#gone = new Promise((resolve) => {
      const end = (code: number | null): void => {
        this.#ended = true;
        resolve(code);
      };
      // Its last words may still be in the pipe, which a child of its own may hold open for a while.
      process.once('exit', (code) => void setTimeout(() => end(code), LAST_WORDS_MS));
      process.once('close', end);
      process.once('error', (error) => {
        this.#log += `\nFATAL: ${error.message}`;
        end(null);
      });
    });
  }

  /** Runs the work with a server; none is left when it ends, however it does. */
  static async run<T>(input: PrivateServerInput, work: (server: PrivateServer) => Promise<T>): Promise<T> {
    const room = await makeRoom(input.owner);
    try {
      const child = spawn(input.program, await argumentsOf(input, room), {
        cwd: '/',
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
        ...input.owner,
      });
      const server = new PrivateServer(input, child, join(room, 'sockets'));
      try {
        return await work(server);
      } finally {
        await server.#kill();
      }
    } finally {
      await removeRoom(room);
    }
  }

  get log(): string {
    return this.#log;
  }

  /** Resolves when it was promoted. Rejects with the server's own words when it gives up, or is silent for too long. */
  async untilPromoted(): Promise<void> {
    for (;;) {
      this.#mustGoOn();
      const client = await this.#tryConnect(null);
      if (client !== null) {
        const { rows } = await client.query<{ recovering: boolean }>(
          'SELECT pg_is_in_recovery() AS recovering',
        );
        client.end().catch(() => undefined);
        if (rows[0]?.recovering === false) return;
      }
      await Promise.race([this.#gone, new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))]);
    }
  }

  /** Resolves when it has ended by itself, and well. */
  async untilEnded(): Promise<void> {
    while (!this.#ended) {
      this.#mustGoOn();
      await Promise.race([this.#gone, new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))]);
    }
    if ((await this.#gone) !== 0) throw this.#gaveUp();
  }

  /** As a superuser, where one can be found; null: in the database that was found to be open. */
  async connect(database: string | null): Promise<Client> {
    const client = await this.#tryConnect(database);
    if (client === null) throw this.#gaveUp();
    return client;
  }

  async connectAs(role: string, database: string): Promise<Client> {
    const client = await this.#connectAs(role, database);
    if (client === null) throw this.#gaveUp();
    return client;
  }

  async shutDown(): Promise<void> {
    this.#process.kill('SIGINT');
    const stopBy = performance.now() + STOP_MS;
    while (!this.#ended) {
      this.#input.signal.throwIfAborted();
      if (performance.now() > stopBy) throw this.#hangs('shut down', STOP_MS);
      await Promise.race([this.#gone, new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))]);
    }
    if ((await this.#gone) !== 0) throw this.#gaveUp();
  }

  #mustGoOn(): void {
    this.#input.signal.throwIfAborted();
    if (this.#ended) throw this.#gaveUp();
    if (performance.now() - this.#heardAt > SILENT_MS) throw this.#hangs('recover', SILENT_MS);
  }

  /** Null while it does not take connections. */
  async #tryConnect(database: string | null): Promise<Client | null> {
    this.#home ??= await this.#findHome();
    return this.#home === null ? null : this.#connectAs(this.#home.role, database ?? this.#home.database);
  }

  /** The first superuser that may log in, asked of whomever we get in as, and where. */
  async #findHome(): Promise<{ role: string; database: string } | null> {
    let closed: unknown = null;
    for (const role of new Set(this.#input.roles)) {
      for (const database of new Set(this.#input.databases)) {
        let client: Client | null;
        try {
          client = await this.#connectAs(role, database);
        } catch (error) {
          const { code = '' } = error as { code?: string };
          if (UNKNOWN_ROLE.has(code)) break;
          if (!CLOSED_DATABASE.has(code)) throw error;
          closed = error;
          continue;
        }
        // It takes nobody yet.
        if (client === null) return null;
        try {
          const { rows } = await client.query<{ name: string }>(
            'SELECT rolname AS name FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1',
          );
          return { role: rows[0]?.name ?? role, database };
        } finally {
          client.end().catch(() => undefined);
        }
      }
    }
    if (closed !== null) throw closed;
    return null;
  }

  async #connectAs(user: string, database: string): Promise<Client | null> {
    const timeouts = this.#input.serverVersion >= 170_000 ? [...SESSION, 'transaction_timeout'] : SESSION;
    const options = [
      ...timeouts.map((name) => `-c ${name}=0`),
      '-c default_transaction_read_only=off',
      '-c synchronous_commit=on',
    ];
    const client = new Client({
      host: this.#sockets,
      port: PORT,
      user,
      database,
      application_name: 'stillpoint-private',
      options: options.join(' '),
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return client;
    } catch (error) {
      const { code = '' } = error as { code?: string };
      // One that gives up ends the connection without a word.
      const isCut = error instanceof Error && error.message.includes('terminated');
      if (NOT_YET.has(code) || isCut) return null;
      throw error;
    }
  }

  async #kill(): Promise<void> {
    if (this.#ended) return;
    this.#process.kill('SIGQUIT');
    const patience = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    await this.#gone;
    clearTimeout(patience);
  }

  #gaveUp(): StillpointError {
    const why = whyItEnded(this.#log) || this.#log.trim().split('\n').at(-1) || 'it said nothing';
    return new StillpointError({
      code: 'recovery-failed',
      message: `${this.#input.member} did not recover to the mark: ${why}`,
      hint: 'what runs was not touched; see what its server says, or restore another checkpoint',
    });
  }

  #hangs(what: string, ms: number): StillpointError {
    return new StillpointError({
      code: 'recovery-hangs',
      message: `${this.#input.member} did not ${what}, and said nothing for ${ms / 1000} s; its last words: ${this.#log.trim().split('\n').at(-1) ?? ''}`,
      hint: 'what runs was not touched; look at the disk of the host',
    });
  }
}

/** The server is not there yet, starts, or recovers. */
const NOT_YET = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', '57P03', '57P01', '57P02']);

/** A role that the data does not know, or that may not log in: then another is tried. */
const UNKNOWN_ROLE = new Set(['28000', '28P01']);

/** A database that is not there, takes no connections, or not those of this role: then another is tried. */
const CLOSED_DATABASE = new Set(['3D000', '55000', '42501']);

async function argumentsOf(input: PrivateServerInput, room: string): Promise<string[]> {
  const { data, target, serverVersion, preload } = input;
  const { settings } = await readControlFile(data);
  const given = new Map([
    ['config_file', join(room, 'configuration')],
    ['hba_file', join(room, 'access')],
    ['ident_file', join(room, 'identities')],
    ['data_directory', data],
    ['listen_addresses', ''],
    ['port', String(PORT)],
    ['unix_socket_directories', join(room, 'sockets')],
    ['unix_socket_permissions', '0700'],
    ['logging_collector', 'off'],
    ['log_destination', 'stderr'],
    ['lc_messages', 'C'],
    ['shared_preload_libraries', preload],
    ['archive_mode', 'off'],
    ['synchronous_standby_names', ''],
    ['max_logical_replication_workers', '0'],
    ['autovacuum', 'off'],
    ['hot_standby', 'off'],
    ['restart_after_crash', 'off'],
    // What a standby needs of the new timeline stays until it has it.
    ['wal_keep_size', '1GB'],
    // The journal is in place already: whatever else is asked for is not to be had.
    ['restore_command', 'false'],
    ...targetSettings(target),
    ['recovery_target_action', target.afterwards],
    ['recovery_target_timeline', target.timeline === null ? 'current' : String(target.timeline)],
    ...(serverVersion >= 150_000 ? ([['log_startup_progress_interval', '1s']] as const) : []),
    ...(serverVersion >= 170_000 ? ([['event_triggers', 'off']] as const) : []),
    ...settings,
  ]);
  return ['-D', data, ...[...given].flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

function targetSettings({ to }: RecoveryTarget): [string, string][] {
  if (to === 'end') return [];
  if ('name' in to) return [['recovery_target_name', to.name]];
  // That record is the last.
  return [
    ['recovery_target_lsn', to.record],
    ['recovery_target_inclusive', 'on'],
  ];
}

/** Configuration that only root, or we, can change; sockets in a directory that only the server's user may enter. */
async function makeRoom(owner: Owner | null): Promise<string> {
  const room = await mkdtemp(join(tmpdir(), 'stillpoint-'));
  const files = { configuration: '', access: 'local all all trust\n', identities: '' };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(room, name), content);
    // Whatever the agent's umask is, the server's user reads it.
    await chmod(join(room, name), 0o644);
  }
  const sockets = join(room, 'sockets');
  await mkdir(sockets, { mode: 0o700 });
  if (owner !== null) await chown(sockets, owner.uid, owner.gid);
  await chmod(room, 0o711);
  return room;
}

/** By name, and no tree: what lies in the sockets' directory is another user's. */
async function removeRoom(room: string): Promise<void> {
  const sockets = join(room, 'sockets');
  for (const name of [`.s.PGSQL.${PORT}`, `.s.PGSQL.${PORT}.lock`])
    await rm(join(sockets, name), { force: true });
  await rmdir(sockets).catch(() => undefined);
  for (const name of ['configuration', 'access', 'identities']) await rm(join(room, name), { force: true });
  await rmdir(room).catch(() => undefined);
}
