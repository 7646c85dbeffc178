import { mkdir } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { StillpointError } from '../shared/domain/errors.ts';
import { NAME, NAME_RULE } from '../shared/domain/name.ts';
import { hostOf } from './agents.ts';
import { isThere } from '../shared/runtime/is-there.ts';
import { yamlLine } from '../shared/runtime/configuration.ts';
import { writeNewFile } from '../shared/runtime/whole-file.ts';

const PORT = 7411;
/** Where most will mount it; the grid file says that it is to be looked at. */
const REPOSITORY = '/srv/stillpoint';

/** What a grid is begun with. */
export interface NewGrid {
  /** `host` or `host:port`, as every host of the grid is reached by its name. */
  readonly hosts: readonly string[];
  readonly into: string;
  readonly grid: string;
  readonly repository: string | null;
}

export interface InitializedGrid {
  readonly grid: string;
  readonly file: string;
  readonly files: readonly string[];
  /** Every command that is left to do, in order, to be given where this one was. */
  readonly next: readonly string[];
}

/** How a new grid is called: as was said, else as the folder, else `grid`. */
export function nameOfNewGrid({ name, into }: { name?: string; into?: string }): {
  grid: string;
  into: string;
} {
  const grid = name ?? (into === undefined ? 'grid' : basename(resolve(into)));
  if (NAME.test(grid)) return { grid, into: into ?? grid };
  throw new StillpointError({
    code: 'bad-name',
    message: `a grid cannot be called '${grid}'`,
    hint: `it ${NAME_RULE}: name it with --grid-name`,
  });
}

/**
 * Makes CA, certificates and grid.yaml in a folder. Nothing that is there is written over: one file of these that is
 * there rejects before anything is made.
 */
export async function initializeGrid(wanted: NewGrid): Promise<InitializedGrid> {
  const agents = wanted.hosts.map((host) => (hasPort(host) ? host : `${host}:${PORT}`));
  const names = agents.map(hostOf);
  for (const [index, name] of names.entries()) checkHost(name, names.slice(0, index));
  const file = join(wanted.into, 'grid.yaml');
  for (const path of [file, ...names.map((name) => join(wanted.into, `${name}.pem`))])
    if (await isThere(path)) throw thereAlready(path);
  // Takes long to load, and no other command of the grid needs it.
  const { initializePki, issueAgentCertificates } = await import('../shared/rpc/pki.ts');
  await mkdir(wanted.into, { recursive: true, mode: 0o700 });
  const own = await initializePki(wanted.into, { grid: wanted.grid });
  const issued = await issueAgentCertificates(wanted.into, names);
  await writeNewFile(file, gridFileText(wanted, agents)).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? thereAlready(file) : error;
  });
  return {
    grid: wanted.grid,
    file,
    files: [...own, ...issued.flatMap(({ cert, key }) => [cert, key]), file],
    next: nextCommands(wanted, agents),
  };
}

/** The text of a grid file whose certificates lie beside it. */
function gridFileText({ grid, repository }: NewGrid, agents: readonly string[]): string {
  return [
    `grid: ${yamlLine(grid)}`,
    `agents: ${yamlLine(agents)}`,
    ...(repository === null
      ? ['# A directory that every host mounts under this name, for example by NFS: is it this one?']
      : []),
    `repository: ${yamlLine(repository ?? REPOSITORY)}`,
    'tls: { ca: ca.pem, cert: coordinator.pem, key: coordinator-key.pem, crl: crl.pem }',
    '# How long members are held without a word of the command.',
    'leaseSeconds: 10',
    '',
  ].join('\n');
}

function nextCommands({ into, grid, repository }: NewGrid, agents: readonly string[]): string[] {
  const folder = relative('', resolve(into)) || '.';
  const file = word(join(folder, 'grid.yaml'));
  const each = agents.map((agent) => {
    const host = hostOf(agent);
    const port = agent.slice(agent.lastIndexOf(':') + 1);
    const files = ['ca.pem', 'crl.pem', `${host}.pem`, `${host}-key.pem`].map((name) =>
      word(join(folder, name)),
    );
    const options = [
      `--grid-name ${grid}`,
      `--repository ${word(repository ?? REPOSITORY)}`,
      ...(port === String(PORT) ? [] : [`--listen 0.0.0.0:${port}`]),
    ].join(' ');
    return {
      copy: `scp ${files.join(' ')} ${host}:/etc/stillpoint/`,
      init: `ssh ${host} stillpoint-agent init ${options} --apply`,
      start: `ssh ${host} systemctl enable --now stillpoint-agent`,
    };
  });
  return [
    ...each.map(({ copy }) => copy),
    ...each.map(({ init }) => init),
    ...each.map(({ start }) => start),
    `stillpoint repository init --grid ${file}`,
    `stillpoint grid doctor --grid ${file}`,
    `stillpoint checkpoint create first --grid ${file}`,
  ];
}

/** As a shell takes it for one word. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Files are called after hosts. */
function checkHost(name: string, before: readonly string[]): void {
  if (before.includes(name)) throw bad(`${name} is named twice`, 'name each host once');
  if (!/^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$/.test(name) || /^(ca|coordinator|crl)(-key)?$/.test(name))
    throw bad(
      `'${name}' cannot be a host of a grid`,
      'name each as others reach it: alpha.example, or alpha.example:7500',
    );
}

function hasPort(host: string): boolean {
  return /^(\[[0-9a-fA-F:.]+\]|[^:]+):\d{1,5}$/.test(host);
}

function thereAlready(path: string): StillpointError {
  return new StillpointError({
    code: 'grid-exists',
    message: `${path} is there already, and was left as it is`,
    hint: 'name another folder with --into; a host is added to a grid that is there by stillpoint pki issue and a line in agents',
  });
}

function bad(message: string, hint: string): StillpointError {
  return new StillpointError({ code: 'bad-host', message, hint });
}
