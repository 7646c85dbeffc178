import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Owner } from '../../foreign-files.ts';
import { userNamed } from './owner.ts';

const run = promisify(execFile);
/** Of a command that only looks. */
const LOOK_MS = 5000;

/** What is spawned. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

interface User {
  readonly name: string | null;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** As whom the operator's own commands run: `run.user`, else (null) as the agent does. */
export async function commandUser(settings: {
  readonly run?: { readonly user?: string | undefined } | undefined;
}): Promise<Owner | null> {
  const user = settings.run?.user;
  return user === undefined ? null : userNamed(user, 'run.user');
}

/**
 * A command as another user has that user's groups: a server may read its key only as a member of one. A process of
 * ours that only changes its numbers would have none, and Node offers no more, so a program of util-linux does it.
 */
export async function commandAs(owner: Owner | null, command: readonly string[]): Promise<Command> {
  const [program = '', ...args] = command;
  if (owner === null) return { program, args, env: serviceEnvironment() };
  const user = await userOf(owner);
  if (owner.uid === process.getuid?.()) return { program, args, env: environmentOf(user) };
  const [switching = '', ...options] = await switchTo(user);
  return { program: switching, args: [...options, program, ...args], env: environmentOf(user) };
}

/**
 * Runs a command that only looks. Null where it ends well, else why not, in its own last words. Rejects where it could not
 * be asked, or did not answer in time: that is no answer.
 */
export async function refusalAs(
  owner: Owner | null,
  command: readonly string[],
  limitMs = LOOK_MS,
): Promise<string | null> {
  const { program, args, env } = await commandAs(owner, command);
  try {
    await run(program, [...args], { cwd: '/', timeout: limitMs, env: { ...env, LC_ALL: 'C' } });
    return null;
  } catch (error) {
    const { code, stderr = '', message } = error as Error & { code?: unknown; stderr?: string };
    if (typeof code === 'number') return (stderr.trim() || message).split('\n').at(-1) ?? '';
    throw new StillpointError({
      code: 'command-hangs',
      message: `${command.join(' ')} did not run, or did not answer in ${limitMs / 1000} s: ${message}`,
      hint: 'look at the load and the disks of the host, then try again',
    });
  }
}

/** By its number, as the host knows it; one that no list of users has is no member of any group. */
export async function userOf(owner: Owner): Promise<User> {
  const entry = await run('getent', ['passwd', String(owner.uid)]).catch(() => null);
  const [name = '', , , gid = '', , home = '/'] = (entry?.stdout ?? '').trim().split(':');
  return name === '' ? { ...owner, name: null, home: '/' } : { name, uid: owner.uid, gid: Number(gid), home };
}

const known = new Map<number, readonly string[]>();

/** The program and options that a command is put behind; tried once with a command that does nothing. */
async function switchTo(user: User): Promise<readonly string[]> {
  const found = known.get(user.uid);
  if (found !== undefined) return found;
  const failures: string[] = [];
  for (const way of waysTo(user)) {
    const [program = '', ...options] = way;
    try {
      await run(program, [...options, 'true'], { cwd: '/' });
      known.set(user.uid, way);
      return way;
    } catch (error) {
      const { stderr, message } = error as Error & { stderr?: string };
      failures.push(`${program}: ${(stderr || message).trim().split('\n')[0] ?? ''}`);
    }
  }
  throw new StillpointError({
    code: 'cannot-switch-user',
    message: `commands cannot be run as ${user.name ?? `user ${user.uid}`} here (${failures.join('; ')})`,
    hint: 'let the agent run as root, with setpriv or runuser (package util-linux) on its PATH',
  });
}

function waysTo({ name, uid, gid }: User): string[][] {
  const numbers = ['--reuid', String(uid), '--regid', String(gid)];
  if (name === null) return [['setpriv', ...numbers, '--clear-groups', '--']];
  return [
    ['setpriv', ...numbers, '--init-groups', '--'],
    ['runuser', '-u', name, '--'],
  ];
}

/** The agent's, without what systemd has told the agent alone: a server would report to systemd in its name. */
export function serviceEnvironment(): NodeJS.ProcessEnv {
  const own =
    /^(NOTIFY_SOCKET|WATCHDOG_\w+|LISTEN_\w+|MAINPID|INVOCATION_ID|JOURNAL_STREAM|CREDENTIALS_DIRECTORY)$/;
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => !own.test(key)));
}

/** The agent's own environment may hold secrets, and a process can read that of another of its user. */
function environmentOf({ name, home }: User): NodeJS.ProcessEnv {
  const passed = Object.entries(process.env).filter(([key]) =>
    /^(PATH|LANG|LANGUAGE|LC_\w+|TZ|LD_LIBRARY_PATH)$/.test(key),
  );
  return { ...Object.fromEntries(passed), HOME: home, ...(name !== null && { USER: name, LOGNAME: name }) };
}
