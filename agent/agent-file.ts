import { stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, resolve, sep } from 'node:path';
import * as z from 'zod';
import { StillpointError } from '../shared/domain/errors.ts';
import { NAME, NAME_RULE } from '../shared/domain/name.ts';
import { MAX_LEASE_MS } from '../shared/domain/wire.ts';
import { absoluteTls, checkPrivateKeyFile, tlsSchema } from '../shared/rpc/tls-files.ts';
import { loadYamlFile } from '../shared/runtime/configuration.ts';
import { addressSchema, hostPort } from './address.ts';
import { byteSizeSchema } from './byte-size.ts';
import { documentsSchema } from './documents/settings.ts';
import { engineOf, memberSchema } from './engines/registry.ts';

/** A week: longer than any copy that clients wait for. */
const MAX_HOLD_S = 604_800;

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
  /** The longest that one quiesce or freeze may hold them, with a word of its job all the while; not of `totalSeconds`. */
  holdSeconds: z
    .number()
    .min(1, 'must be at least 1')
    .max(MAX_HOLD_S, 'must be at most 604800')
    .default(3600),
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
  /** The host's name in checkpoints and for coordinators; by default what stands before the port of `listen`. */
  host: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'must be a host name or an address, without a port')
    .optional(),
  tls: tlsSchema,
  state: z.string().startsWith('/', 'must be an absolute path'),
  repository: z.string().min(1),
  members: z.array(memberSchema).default([]),
  freezeBudget: freezeBudgetSchema.prefault({}),
  keepFree: keepFreeSchema.prefault({}),
  /** Whether drills may use the places of members that do not say. */
  drill: z.boolean().default(false),
  /** Whose Backup and Restore documents are carried out here. */
  documents: documentsSchema.optional(),
  /** Where metrics are served; nowhere without. Without TLS or a password, so on this host alone. */
  metrics: addressSchema.refine(isLoopback, 'must be a loopback address: 127.0.0.1:9411').optional(),
});

export type AgentFile = z.infer<typeof agentFileSchema> & { readonly host: string };

/** Reads the agent's file, refuses what is unsafe to run with, and looks at what it needs to serve. */
export async function loadAgentFile(given: string): Promise<AgentFile> {
  const file = await readAgentFile(given);
  await checkPrivateKeyFile(file.tls.key);
  return file;
}

/**
 * The file alone. Who undoes needs no more: a key that anybody can read keeps an agent from serving, and nobody from
 * being thawed.
 */
export async function readAgentFile(given: string): Promise<AgentFile> {
  const path = resolve(given);
  const file = await loadYamlFile(path, agentFileSchema);
  const absolute = (relative: string): string => resolve(dirname(path), relative);
  const loaded: AgentFile = {
    ...file,
    host: file.host ?? nameIn(file.listen),
    repository: /^[a-z0-9]+:\/\//.test(file.repository) ? file.repository : absolute(file.repository),
    tls: absoluteTls(file.tls, absolute),
    members: file.members.map((member) => engineOf(member).located(member, absolute)),
  };
  checkMembers(loaded);
  checkDirectories(loaded);
  await checkState(loaded.state);
  return loaded;
}

/** An address and no name: what `localhost` is, others decide. */
function isLoopback(address: string): boolean {
  const { host } = hostPort(address);
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Listening everywhere names nobody, and 127.0.1.1 is what Debian calls every host. */
function nameIn(listen: string): string {
  const { host } = hostPort(listen);
  const isEverywhere = /^0+(\.0+){0,3}$/.test(host) || (isIP(host) === 6 && !/[1-9a-f]/i.test(host));
  if (!isEverywhere && host !== '127.0.1.1') return host;
  throw unsafe(
    'host-unnamed',
    `listen is ${listen}, which is the name of no host`,
    'add a line `host: NAME` with the name or address by which the grid file names this host',
  );
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
  for (const member of file.members) engineOf(member).mustBeSafe(member);
}

/** A restore replaces whole directories: none may hold another, or the agent's own. */
function checkDirectories(file: AgentFile): void {
  const claimed: { owner: string; path: string }[] = [
    { owner: "the agent's state", path: resolve(file.state) },
  ];
  if (!file.repository.includes('://'))
    claimed.push({ owner: 'the repository', path: resolve(file.repository) });
  for (const [name, { directory }] of Object.entries(file.documents?.storageClasses ?? {}))
    claimed.push({ owner: `storage class ${name}`, path: resolve(directory) });
  for (const member of file.members) {
    for (const path of engineOf(member).directories(member)) {
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

function isWithin(path: string, folder: string): boolean {
  const inner = resolve(path);
  const outer = resolve(folder);
  return inner === outer || inner.startsWith(outer === sep ? sep : outer + sep);
}

async function checkState(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null || (found.mode & 0o022) === 0) return;
  const { mode } = found;
  throw unsafe(
    'state-writable',
    `the state directory ${path} can be written by others (mode ${(mode & 0o777).toString(8)})`,
    `chmod 700 ${path}`,
  );
}

function unsafe(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint });
}
