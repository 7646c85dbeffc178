import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { z } from 'zod';
import { StillpointError } from '../shared/domain/errors.ts';
import { NAME, NAME_RULE } from '../shared/domain/name.ts';
import { MAX_LEASE_MS } from '../shared/domain/wire.ts';
import { checkPrivateKeyFile } from '../shared/rpc/tls-files.ts';
import { loadYamlFile } from '../shared/runtime/configuration.ts';
import { byteSizeSchema } from './byte-size.ts';
import { addressSchema } from './engines/member-schema.ts';
import { nativeMemberSchema } from './engines/native/settings.ts';
import { postgresMemberSchema } from './engines/postgres/settings.ts';

const memberSchema = z.discriminatedUnion('engine', [postgresMemberSchema, nativeMemberSchema]);

/**
 * What this agent lets a grid do to its members, within any hour (docs/agent.md). By default a checkpoint every
 * three seconds with three attempts each passes: 3600 freezes, and 300 s are 80 ms for each.
 */
const freezeBudgetSchema = z.strictObject({
  perHour: z.number().int().min(1, 'must be at least 1').default(5000),
  totalSeconds: z.number().min(1, 'must be at least 1').default(300),
  /** The longest lease that a coordinator may ask for: how long members are held without a word of it. */
  leaseSeconds: z
    .number()
    .min(1, 'must be at least 1')
    .max(MAX_LEASE_MS / 1000, 'must be at most 600')
    .default(MAX_LEASE_MS / 1000),
});

/** What must stay free on each disk while a checkpoint is taken (docs/agent.md). */
const keepFreeSchema = z.strictObject({
  journal: byteSizeSchema.prefault('1GB'),
  state: byteSizeSchema.prefault('32MB'),
  repository: byteSizeSchema.prefault('32MB'),
});

const agentFileSchema = z.strictObject({
  grid: z.string().regex(NAME, NAME_RULE),
  listen: addressSchema,
  tls: z.strictObject({ ca: z.string(), cert: z.string(), key: z.string() }),
  state: z.string().startsWith('/', 'must be an absolute path'),
  repository: z.string().min(1),
  members: z.array(memberSchema).default([]),
  freezeBudget: freezeBudgetSchema.prefault({}),
  keepFree: keepFreeSchema.prefault({}),
});

export type AgentFile = z.infer<typeof agentFileSchema>;
export type MemberSettings = z.infer<typeof memberSchema>;

/** Reads the agent's file and refuses what is unsafe to run with. Makes the state directory, mode 0700. */
export async function loadAgentFile(given: string): Promise<AgentFile> {
  const path = resolve(given);
  const file = await loadYamlFile(path, agentFileSchema);
  const absolute = (relative: string): string => resolve(dirname(path), relative);
  const loaded: AgentFile = {
    ...file,
    repository: /^[a-z0-9]+:\/\//.test(file.repository) ? file.repository : absolute(file.repository),
    tls: { ca: absolute(file.tls.ca), cert: absolute(file.tls.cert), key: absolute(file.tls.key) },
  };
  checkMembers(loaded);
  checkDirectories(loaded);
  await checkPrivateKeyFile(loaded.tls.key);
  await checkState(loaded.state);
  return loaded;
}

function checkMembers(file: AgentFile): void {
  for (const key of ['name', 'address'] as const) {
    const seen = new Set<string>();
    for (const member of file.members) {
      if (seen.has(member[key]))
        throw unsafe(
          'duplicate-member',
          `two members have the ${key} ${member[key]}`,
          `give each member a ${key} of its own`,
        );
      seen.add(member[key]);
    }
  }
  for (const member of file.members) {
    if (member.engine === 'postgres' && hasPassword(new URL(member.connection))) {
      throw unsafe(
        'password-in-file',
        `the connection of ${member.name} has a password in it`,
        'put it alone into a file of mode 600 and name that file with passwordFile',
      );
    }
  }
}

/** Before the host, or behind the `?`, where the driver finds it too. */
function hasPassword({ password, searchParams }: URL): boolean {
  return password !== '' || [...searchParams.keys()].some((key) => /password/i.test(key));
}

/** A restore replaces whole directories: none may hold another, or the agent's own. */
function checkDirectories(file: AgentFile): void {
  const claimed: { owner: string; path: string }[] = [
    { owner: "the agent's state", path: resolve(file.state) },
  ];
  if (!file.repository.includes('://'))
    claimed.push({ owner: 'the repository', path: resolve(file.repository) });
  for (const member of file.members) {
    for (const path of directoriesOf(member)) {
      for (const other of claimed) {
        if (!isWithin(path, other.path) && !isWithin(other.path, path)) continue;
        throw unsafe(
          'unsafe-directories',
          `${path} of ${member.name} and ${other.path} of ${other.owner} lie in one another`,
          'give each a directory of its own: a restore replaces the whole data directory',
        );
      }
      claimed.push({ owner: member.name, path: resolve(path) });
    }
  }
}

function directoriesOf(member: MemberSettings): string[] {
  if (member.engine !== 'postgres') return [member.data];
  return [member.data, ...member.also, ...new Set(Object.values(member.tablespaces))];
}

function isWithin(path: string, folder: string): boolean {
  const inner = resolve(path);
  const outer = resolve(folder);
  return inner === outer || inner.startsWith(outer === sep ? sep : outer + sep);
}

async function checkState(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const { mode } = await stat(path);
  if ((mode & 0o022) === 0) return;
  throw unsafe(
    'state-writable',
    `the state directory ${path} can be written by others (mode ${(mode & 0o777).toString(8)})`,
    `chmod 700 ${path}`,
  );
}

function unsafe(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint });
}
