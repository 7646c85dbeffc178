import { EXIT, failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import type { CatalogueEntry } from '../shared/repository/repository.ts';
import type { Warning } from '../shared/domain/warning.ts';
import type { AgentConnection } from './agents.ts';
import type { PlannedMember } from './planned-member.ts';

/**
 * Two grids can have one name: after a restore onto other hosts there are production and its copy, and both store in one
 * repository. A lineage tells them apart. It is made by the first checkpoint of a grid, stands in each manifest and at
 * each agent, and a restore elsewhere gives the copy one of its own. What is meant by `latest` or by a name, and what
 * prune counts, is of one lineage. Counters are above those of all lineages: no two checkpoints have the same number.
 */
type Entry = Pick<CatalogueEntry, 'checkpoint' | 'state' | 'manifest'>;
type Host = Pick<HostDescription, 'host' | 'lineage'>;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Of a lineage, so much is shown and is enough to name it. */
export const SHOWN = 8;

export const LINEAGE_HELP =
  'of several grids of this name the one that is meant, by the beginning of its lineage (default: that of the hosts)';

/** Those of the committed checkpoints, each with its newest one; the newest first. */
function lineagesOf(entries: readonly Entry[]): Map<string, string> {
  const lineages = new Map<string, string>();
  for (const { manifest, checkpoint } of entries)
    if (manifest !== null && !lineages.has(manifest.lineage)) lineages.set(manifest.lineage, checkpoint);
  return lineages;
}

/** Of each lineage the newest of these, which come newest first. */
export function newestOfLineages(entries: readonly Entry[]): GridManifest[] {
  const newest = new Map<string, GridManifest>();
  for (const { manifest } of entries)
    if (manifest !== null && !newest.has(manifest.lineage)) newest.set(manifest.lineage, manifest);
  return [...newest.values()];
}

export function entriesOfLineage<T extends Entry>(entries: readonly T[], lineage: string | null): T[] {
  return entries.filter(({ manifest }) => lineage === null || manifest?.lineage === lineage);
}

/** The lineage that the agents know; null where none knows any. Rejects where they know two. */
export function lineageOfHosts(hosts: readonly Host[]): string | null {
  const knowing = hosts.filter(({ lineage }) => lineage !== null);
  const [first] = knowing;
  const other = knowing.find(({ lineage }) => lineage !== first?.lineage);
  const bad = knowing.find(({ lineage }) => !UUID.test(lineage ?? ''));
  if (bad !== undefined)
    throw refuse(
      'agent-untrue',
      `the agent on ${bad.host} named a lineage that is none`,
      "see the agent's log",
    );
  if (first === undefined || other === undefined) return first?.lineage ?? null;
  throw refuse(
    'lineage-differs',
    `the agents are of two grids: ${first.host} of lineage ${first.lineage}, ${other.host} of ${other.lineage}`,
    'see which of their checkpoints this grid goes on from (stillpoint checkpoint list), then create one with --adopt LINEAGE',
  );
}

/**
 * Of which lineage the next checkpoint is. Agents that know none may be those of a new grid, of a copy, or of hosts
 * that were installed anew: where the repository has checkpoints of this name already, a person must say which.
 */
export function lineageToCreate(input: {
  readonly hosts: readonly Host[];
  readonly entries: readonly Entry[];
  /** The lineage to go on in, by its beginning; true: the only one that there is. */
  readonly adopt: string | true | null;
}): string {
  const { hosts, entries, adopt } = input;
  if (typeof adopt === 'string') return namedLineage(entries, adopt);
  const lineages = [...lineagesOf(entries)];
  const [only] = lineages;
  if (adopt !== null && only !== undefined) {
    if (lineages.length === 1) return only[0];
    throw ambiguous(entries, '--adopt LINEAGE');
  }
  const known = lineageOfHosts(hosts);
  if (known !== null) return known;
  const isFirst = entries.every(({ state }) => state !== 'valid' && state !== 'damaged');
  if (isFirst || adopt !== null) return crypto.randomUUID();
  throw unknownLineage(entries, 'create it with --adopt');
}

/** What a prune of this grid may count and delete. */
export function lineageToPrune(input: {
  /** Null where only a repository was named. */
  readonly hosts: readonly Host[] | null;
  readonly entries: readonly Entry[];
  readonly named: string | null;
}): string | null {
  const { hosts, entries, named } = input;
  if (named !== null) return namedLineage(entries, named);
  const lineages = [...lineagesOf(entries).keys()];
  if (lineages.length === 0) return null;
  if (hosts !== null) {
    const known = lineageOfHosts(hosts);
    if (known !== null) return known;
    throw unknownLineage(entries, 'name it with --lineage');
  }
  if (lineages.length === 1) return lineages[0] ?? null;
  throw ambiguous(entries, '--lineage LINEAGE');
}

/** Whose checkpoints a name and `latest` mean. Agents are asked only where the repository alone does not tell. */
export async function lineageToSelect(input: {
  readonly entries: readonly Entry[];
  readonly named: string | null;
  /** Null where only a repository was named. */
  readonly ask: (() => Promise<readonly Host[]>) | null;
}): Promise<string | null> {
  const { entries, named, ask } = input;
  if (named !== null) return namedLineage(entries, named);
  const lineages = [...lineagesOf(entries).keys()];
  if (lineages.length <= 1) return lineages[0] ?? null;
  const hosts = await ask?.().catch(() => []);
  const known = lineageOfHosts(hosts ?? []);
  if (known !== null) return known;
  throw ambiguous(entries, '--lineage LINEAGE');
}

/**
 * A restore in place goes on as the grid that the checkpoint was made of; on other hosts or addresses it is a copy. What
 * was imported is put into a grid that stays which it is.
 */
export function lineageAfterRestore(
  manifest: Pick<GridManifest, 'lineage' | 'imported'>,
  members: readonly Pick<PlannedMember, 'from' | 'to'>[],
  hosts: readonly Host[],
): string {
  const known = manifest.imported === undefined ? null : lineageOfHosts(hosts);
  if (known !== null) return known;
  const isInPlace = members.every(({ from, to }) => from.host === to.host && from.address === to.address);
  return isInPlace ? manifest.lineage : crypto.randomUUID();
}

/** Tells every agent. Resolves with what could not be told, one line each: such a host refuses to create on its own. */
export async function joinLineage(
  connections: readonly AgentConnection[],
  lineage: string,
): Promise<Warning[]> {
  const joined = await Promise.allSettled(connections.map((connection) => connection.joinLineage(lineage)));
  return joined.flatMap((result, index) => {
    if (result.status === 'fulfilled') return [];
    const { message } = failureOf(result.reason, { code: 'agent-failed', hint: '' });
    const text = `does not know yet that its grid is of lineage ${lineage} (${message})`;
    const hint = 'create the next checkpoint with --adopt';
    return [{ code: 'lineage-not-joined', about: connections[index]?.host ?? null, text, hint }];
  });
}

function namedLineage(entries: readonly Entry[], text: string): string {
  const meant = [...lineagesOf(entries).keys()].filter((lineage) => lineage.startsWith(text));
  const [only] = meant;
  if (only !== undefined && meant.length === 1) return only;
  throw new StillpointError(
    {
      code: 'lineage-missing',
      message: `${meant.length === 0 ? 'no' : 'more than one'} lineage in the repository begins with ${text}`,
      hint: 'stillpoint checkpoint list shows the lineage of each checkpoint',
    },
    EXIT.usage,
  );
}

function ambiguous(entries: readonly Entry[], option: string): StillpointError {
  return new StillpointError(
    {
      code: 'lineage-ambiguous',
      message: `the repository holds checkpoints of several grids of this name: ${inWords(entries)}`,
      hint: `say which with ${option}`,
    },
    EXIT.usage,
  );
}

function unknownLineage(entries: readonly Entry[], remedy: string): StillpointError {
  return refuse(
    'lineage-unknown',
    `the hosts do not know of which lineage they are, and the repository has checkpoints of this grid: ${inWords(entries)}`,
    `are they a copy, or installed anew? If these are their checkpoints, ${remedy}`,
  );
}

function inWords(entries: readonly Entry[]): string {
  const lineages = [...lineagesOf(entries)];
  if (lineages.length === 0) return 'damaged ones only';
  return lineages
    .map(([lineage, newest]) => `lineage ${lineage.slice(0, SHOWN)}, newest ${newest}`)
    .join('; ');
}

function refuse(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint, phase: 'preflight' }, EXIT.refused);
}
