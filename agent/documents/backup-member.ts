import { spawn, type ChildProcess } from 'node:child_process';
import { chown, cp, lstat, mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StillpointError } from '../../shared/domain/errors.ts';
import { processNumbers } from '../engines/host-processes.ts';
import { InfinispanServer } from '../engines/infinispan/server/infinispan-server.ts';
import { withoutComments } from '../engines/infinispan/server/xml.ts';
import { userNamed } from '../engines/restore/owner.ts';
import { commandAs, refusalAs } from '../engines/restore/run-as.ts';
import { pause } from '../pause.ts';
import {
  memberFailed,
  memberRemains,
  notZeroCapacity,
  templateUnusable,
  volumeUnusable,
} from './failures.ts';
import type { ClusterSettings, MemberSettings } from './settings.ts';

/** In the environment of the member and of all that it begins: the document that they are of. */
const MARK = 'STILLPOINT_DOCUMENT';
const LOOK_EVERY_MS = 100;
const ASK_MS = 5000;
const ZERO_CAPACITY = /zero-capacity-node\s*=\s*"true"/;

/**
 * The server that one document has for its own: started from the template that the agent's file names, a member of the
 * cluster without capacity. Its processes are known by the document's uid in their environment, which was on disk before
 * the first of them was there: so the next agent finds them too, whatever they have become.
 */
export class BackupMember {
  readonly #uid: string;
  readonly #name: string;
  readonly #room: string;
  readonly #settings: MemberSettings;
  readonly server: InfinispanServer;
  #child: ChildProcess | null = null;
  /** How it ended by itself; null while it has not, or another agent had begun it. */
  #ending: string | null = null;

  /** `room`: where its root is. `name`: how it calls itself in the cluster. */
  constructor(input: {
    readonly uid: string;
    readonly name: string;
    readonly room: string;
    readonly cluster: ClusterSettings;
    readonly settings: MemberSettings;
  }) {
    const { uid, name, room, cluster, settings } = input;
    this.#uid = uid;
    this.#name = name;
    this.#room = room;
    this.#settings = settings;
    const { auth, tls, container } = cluster;
    this.server = new InfinispanServer({ url: settings.url, container, auth, tls });
  }

  /** How it calls itself in the cluster. */
  get name(): string {
    return this.#name;
  }

  /** Its root, from the template: nothing is there yet. Rejects `member-capacity` where that would make a member that takes data. */
  async furnish(): Promise<void> {
    const { template, user } = this.#settings;
    await mustHaveNoCapacity(template);
    // An agent that is not root cannot: said before anything is there.
    if (user !== undefined) await commandAs(await userNamed(user, 'member.user'), []);
    await mkdir(this.#room, { mode: 0o700 });
    await cp(template, this.#room, { recursive: true });
    for (const name of ['data', 'log', 'lib']) await mkdir(join(this.#room, name), { recursive: true });
    await this.give(this.#room);
    await this.#mustBeWritable();
  }

  /** Its user comes to its room through the directory of the storage class. */
  async #mustBeWritable(): Promise<void> {
    const { user } = this.#settings;
    if (user === undefined) return;
    const refusal = await refusalAs(await userNamed(user, 'user'), ['test', '-w', this.#room]);
    if (refusal !== null)
      throw volumeUnusable(this.#room, `user ${user} may not go there, or not write to it`);
  }

  /** What was put into its room is its user's from now on. */
  async give(path: string): Promise<void> {
    const { user } = this.#settings;
    if (user === undefined) return;
    const { uid, gid } = await userNamed(user, 'member.user');
    if (uid !== process.getuid?.()) await chownTree(path, uid, gid);
  }

  /** What it says goes to the file, for as long as it lives, whoever has begun it. */
  async start(logFile: string): Promise<void> {
    const { command, user } = this.#settings;
    const owner = user === undefined ? null : await userNamed(user, 'member.user');
    const words = command.map((word) =>
      word.replaceAll('{room}', this.#room).replaceAll('{name}', this.#name),
    );
    const { program, args, env } = await commandAs(owner, words);
    const log = await open(logFile, 'a', 0o600);
    try {
      const child = spawn(program, args, {
        cwd: this.#room,
        stdio: ['ignore', log.fd, log.fd],
        env: { ...env, [MARK]: this.#uid },
        detached: true,
      });
      this.#child = child;
      child.once('error', (error) => (this.#ending = error.message));
      child.once('exit', (code, signal) => {
        this.#ending ??= code === null ? `by ${signal ?? 'a signal'}` : `with exit code ${code}`;
      });
      // The agent may end before it does.
      child.unref();
    } finally {
      await log.close();
    }
  }

  /** Null while it lives; else how it has ended. */
  async ending(): Promise<string | null> {
    if (this.#child !== null && this.#ending === null) return null;
    const alive = await this.#processes();
    return alive.length > 0 ? null : (this.#ending ?? 'while no agent looked');
  }

  /** Resolves when the cluster has it among its members. Rejects at once where a server does not let us in. */
  async joined(cluster: InfinispanServer, signal: AbortSignal): Promise<void> {
    const { readyWithinSeconds } = this.#settings;
    const until = performance.now() + readyWithinSeconds * 1000;
    let why = '';
    for (;;) {
      signal.throwIfAborted();
      const ending = await this.ending();
      if (ending !== null) throw memberFailed(`the member ended ${ending} before it was in the cluster`);
      try {
        why = (await this.#whyNotThere(cluster, signal)) ?? '';
        if (why === '') return;
      } catch (error) {
        if (isForGood(error)) throw error;
        why = error instanceof Error ? error.message : String(error);
      }
      if (performance.now() > until)
        throw memberFailed(`the member was not in the cluster within ${readyWithinSeconds} s: ${why}`);
      await pause(LOOK_EVERY_MS * 2, signal);
    }
  }

  async #whyNotThere(cluster: InfinispanServer, signal: AbortSignal): Promise<string | null> {
    const soon = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
    const own = await this.server.container(soon);
    if (own.node !== this.#name)
      return `${this.#settings.url} is answered by ${own.node}, not by ${this.#name}`;
    const theirs = await cluster.container(soon);
    if (theirs.clusterName !== own.clusterName)
      return `it is in cluster ${own.clusterName}, and ${cluster.url} in ${theirs.clusterName}`;
    return theirs.members.includes(this.#name) ? null : 'the cluster does not have it yet';
  }

  /**
   * Asks it to stop, tells it, kills it: each for as long as the agent's file says. Resolves when no process of it is
   * left, and at once where there was none. Rejects `member-remains`.
   */
  async end(): Promise<void> {
    const limitMs = this.#settings.stopWithinSeconds * 1000;
    if ((await this.#processes()).length === 0) return;
    const asked = await this.server.stop(AbortSignal.timeout(ASK_MS)).then(
      () => true,
      () => false,
    );
    if (asked && (await this.#goneWithin(limitMs))) return;
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const pid of await this.#processes()) tell(pid, signal);
      if (await this.#goneWithin(limitMs)) return;
    }
    throw memberRemains(await this.#processes());
  }

  /** Whether any process of it is there. */
  async isThere(): Promise<boolean> {
    return (await this.#processes()).length > 0;
  }

  async #goneWithin(limitMs: number): Promise<boolean> {
    const until = performance.now() + limitMs;
    while ((await this.#processes()).length > 0) {
      if (performance.now() > until) return false;
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    return true;
  }

  async #processes(): Promise<number[]> {
    const mark = `${MARK}=${this.#uid}`;
    const all = await processNumbers();
    const marked = await Promise.all(
      all.map(async (pid) => {
        // One that we may not look at is not ours. A zombie has no environment any more.
        const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
        return environment.split('\0').includes(mark) ? [pid] : [];
      }),
    );
    return marked.flat();
  }
}

/** A server that refuses a secret, or shows a certificate that is not trusted, will not do otherwise in a minute. */
const FOR_GOOD: readonly string[] = ['infinispan-refused', 'infinispan-certificate', 'infinispan-secret'];

export function isForGood(error: unknown): boolean {
  return error instanceof StillpointError && FOR_GOOD.includes(error.failure.code);
}

/** Rejects where a server of this template would take data of the cluster, and where it cannot be read. */
export async function mustHaveNoCapacity(template: string): Promise<void> {
  const conf = join(template, 'conf');
  const files = await readdir(conf).catch((error: unknown) => {
    throw templateUnusable(template, error instanceof Error ? error.message : String(error));
  });
  const names = files.filter((name) => name.endsWith('.xml'));
  for (const name of names)
    if (ZERO_CAPACITY.test(withoutComments(await readFile(join(conf, name), 'utf8')))) return;
  throw notZeroCapacity(template);
}

/** Of what the agent has just made: nobody else has been there. */
async function chownTree(path: string, uid: number, gid: number): Promise<void> {
  if ((await lstat(path)).isDirectory())
    for (const name of await readdir(path)) await chownTree(join(path, name), uid, gid);
  await chown(path, uid, gid);
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone.
  }
}
