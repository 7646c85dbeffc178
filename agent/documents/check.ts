import { access, constants, stat, statfs } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { DEFAULT_STORAGE } from '../../shared/documents/document.ts';
import { quantityOf, readQuantity } from '../../shared/documents/quantity.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { InfinispanServer } from '../engines/infinispan/server/infinispan-server.ts';
import { secretFilesOf } from '../engines/infinispan/server/settings.ts';
import { isInPath, isProgram } from '../engines/restore/host-check.ts';
import { userNamed } from '../engines/restore/owner.ts';
import { answers } from '../engines/restore/processes.ts';
import { commandAs, refusalAs } from '../engines/restore/run-as.ts';
import { isForGood, mustHaveNoCapacity } from './backup-member.ts';
import { volumeUnusable } from './failures.ts';
import {
  DATA_GRID,
  type ClusterSettings,
  type DocumentSettings,
  type MemberSettings,
  type StorageClass,
} from './settings.ts';

type Finding = Pick<Failure, 'message' | 'hint'>;

/** What a check has found: mistakes of the file, and what to know besides. */
interface Found {
  readonly problems: Finding[];
  readonly notes: string[];
}

const LOOK_MS = 10_000;
/** The version whose answers are known. */
const KNOWN_MAJOR = '16';
/** Permission bits of everybody else. */
const OTHERS = 0o007;

/**
 * Whether documents could be carried out as the agent's file has it: reads and asks, and changes nothing. A cluster that
 * does not answer is a note, since it may be down by intent; whatever would fail each time is a problem.
 */
export async function checkDocuments({ clusters, storageClasses }: DocumentSettings): Promise<Found> {
  const found: Found = { problems: [], notes: [] };
  for (const [name, cluster] of Object.entries(clusters)) {
    if (cluster.service !== DATA_GRID) continue;
    await checkCluster(name, cluster, found);
    if (cluster.member !== undefined) await checkMember(name, cluster.member, storageClasses, found);
  }
  for (const [name, one] of Object.entries(storageClasses)) await checkClass(name, one, found);
  checkDefault(Object.entries(storageClasses), found);
  return found;
}

async function checkCluster(name: string, cluster: ClusterSettings, found: Found): Promise<void> {
  const about = `cluster ${name} of documents`;
  for (const file of secretFilesOf(cluster)) await checkSecret(file, found);
  const server = new InfinispanServer(cluster);
  try {
    const signal = AbortSignal.timeout(LOOK_MS);
    const { version, name: container } = await server.container(signal);
    // Who may not see clients is no administrator, and may not make a backup either.
    await server.clients(signal);
    if (container !== cluster.container)
      found.problems.push({
        message: `${about}: its cache container is called ${container}, the agent's file says ${cluster.container}`,
        hint: `correct documents.clusters.${name}.container`,
      });
    if (!version.startsWith(`${KNOWN_MAJOR}.`))
      found.notes.push(
        `${about} is of version ${version}; what is written here of backups was seen with version ${KNOWN_MAJOR}`,
      );
  } catch (error) {
    if (error instanceof StillpointError && (isForGood(error) || error.failure.code === 'infinispan-answer'))
      found.problems.push(named(about, error.failure));
    else found.notes.push(`${about} cannot be asked: ${wordsOf(error)}`);
  } finally {
    server.close();
  }
}

async function checkMember(
  cluster: string,
  { template, command, user, url }: MemberSettings,
  storageClasses: DocumentSettings['storageClasses'],
  found: Found,
): Promise<void> {
  const about = `the member of cluster ${cluster}`;
  const key = `documents.clusters.${cluster}.member`;
  const problem = (message: string, hint: string): void =>
    void found.problems.push({ message: `${about}: ${message}`, hint });
  await noted(about, found, () => mustHaveNoCapacity(template));
  const [program = ''] = command;
  if (!(await (program.includes('/') ? isProgram(program) : isInPath(program))))
    problem(`${program} is no program that the agent can start`, `correct ${key}.command`);
  if (await answers(addressOf(url)))
    found.notes.push(`${about}: something answers at ${url} already; it is free when no document runs`);
  if (user === undefined) return;
  await noted(about, found, async () => {
    const owner = await userNamed(user, `${key}.user`);
    await commandAs(owner, ['true']);
    if (isAbsolute(program) && (await refusalAs(owner, ['test', '-x', program])) !== null)
      problem(`${user} may not start ${program}`, `let ${user} read and execute it`);
    for (const [name, { directory }] of Object.entries(storageClasses))
      if ((await isDirectory(directory)) && (await refusalAs(owner, ['test', '-x', directory])) !== null)
        problem(
          `${user} cannot come into ${directory} (storage class ${name}), where its room is`,
          `chmod o+x ${directory} and what is above it; rooms and archives are closed to others by themselves`,
        );
  });
}

async function checkClass(name: string, { directory, quota }: StorageClass, found: Found): Promise<void> {
  const about = `storage class ${name}`;
  try {
    if (!(await stat(directory)).isDirectory()) throw new Error('it is no directory');
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    found.problems.push(named(about, volumeUnusable(directory, wordsOf(error)).failure));
    return;
  }
  const { bavail, blocks, bsize } = await statfs(directory);
  const [free, size] = [bavail * bsize, blocks * bsize];
  if (free < (readQuantity(DEFAULT_STORAGE) ?? 0))
    found.notes.push(
      `${about}: ${directory} has ${quantityOf(free)} free, less than the ${DEFAULT_STORAGE} of a backup that does not say how much it needs`,
    );
  if (quota !== undefined && quota > size)
    found.notes.push(
      `${about}: its quota of ${quantityOf(quota)} is more than the whole disk of ${directory}, which has ${quantityOf(size)}`,
    );
}

function checkDefault(classes: readonly (readonly [string, StorageClass])[], { notes }: Found): void {
  if (classes.length === 0)
    notes.push('documents has no storageClasses: every Backup is refused, and every Restore');
  else if (classes.length > 1 && !classes.some(([, one]) => one.default))
    notes.push('no storage class is the default: a Backup that names none is refused');
}

async function checkSecret(file: string, { problems }: Found): Promise<void> {
  const mode = await stat(file).then(
    (stats) => stats.mode,
    () => 0,
  );
  if ((mode & OTHERS) !== 0)
    problems.push({
      message: `${file} is open to every user of this host (mode ${(mode & 0o777).toString(8)})`,
      hint: `chmod 600 ${file}`,
    });
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** `host:port` of a URL. */
function addressOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`;
}

async function noted(about: string, { problems }: Found, task: () => Promise<void>): Promise<void> {
  try {
    await task();
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    problems.push(named(about, error.failure));
  }
}

function named(about: string, { message, hint }: Failure): Finding {
  return { message: `${about}: ${message}`, hint };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
