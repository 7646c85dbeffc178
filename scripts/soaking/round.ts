import type { CheckpointReport } from '../../coordinator/reports.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import type { Finished, RunningCommand } from '../../test/lab/processes.ts';
import { listedCheckpoints, verifyFailure } from './catalogue.ts';
import { Evidence } from './evidence.ts';
import type { Ending } from './fault-kinds.ts';
import { beginCheckpoint, beginSpoiled } from './faults.ts';
import type { SoakLab } from './lab.ts';
import { kindOf, tellFault, type Fault } from './plan.ts';

/** One checkpoint of the soak and what became of it. */
export interface Round {
  readonly number: number;
  readonly fault: Fault | null;
  readonly ending: Ending;
  /** The error code, and for an invalid cut why; null when it was committed. */
  readonly cause: string | null;
  /** The full id; null when it was not committed. */
  readonly checkpoint: string | null;
  readonly windowMs: number | null;
  readonly durationMs: number;
  readonly attempts: number;
  /** From the fault until every server committed again. */
  readonly thawMs: number | null;
  /** The longest that a client waited for a write, from the beginning until the grid was put right. */
  readonly blockedMs: number;
  readonly verified: boolean;
  readonly restored: boolean;
  /** By performance.now(), when the checkpoint began: what was acknowledged before must be in it. */
  readonly beganAt: number;
  /** Each with all that was said. */
  readonly violations: readonly string[];
}

/** A checkpoint that takes longer hangs. */
const ENDS_WITHIN_MS = 180_000;
const ENDINGS: Record<number, Ending> = {
  0: 'committed',
  3: 'refused',
  4: 'aborted',
  5: 'maybeFrozen',
  6: 'invalid',
};

/** Takes one checkpoint with its fault, puts the grid right, and holds the catalogue against what was said. */
export async function playRound(lab: SoakLab, number: number, fault: Fault | null): Promise<Round> {
  const name = `soak-${number}`;
  const violations: string[] = [];
  const evidence = new Evidence(lab.grid);
  const startedAt = performance.now();
  const writesBefore = lab.clients.writes.length;

  const { finished, thawMs, beganAt, endedAt } = await taken(lab, name, fault, violations);
  const ending = finished.code === null ? 'killed' : (ENDINGS[finished.code] ?? 'refused');
  const expected: readonly Ending[] = fault === null ? ['committed'] : kindOf(fault).endings;
  if (!expected.includes(ending))
    violations.push(
      `it ended '${ending}' (exit ${finished.code ?? 'by signal'}), not ${expected.join(' or ')}`,
    );

  await violating(violations, 'the grid was not put right', async () => {
    const { died } = await lab.putRight();
    for (const host of died) violations.push(`the agent of ${host} had died`);
  });
  const blockedMs = longestMs(lab, writesBefore);

  let verified = false;
  await violating(violations, 'the catalogue', async () => {
    const all = await listedCheckpoints(lab.grid);
    const own = all.find((one) => one.name === name);
    if (ending !== 'committed') {
      // What nobody could remove any more is listed as what it is, until the next one sweeps it.
      if (own?.state === 'valid') violations.push(`${ending}, but listed as valid`);
      return;
    }
    for (const other of all.filter((one) => one.state !== 'valid'))
      violations.push(`after it ${other.name} is listed as ${other.state}`);
    const damage = own === undefined ? 'it is not listed' : await verifyFailure(lab.grid, own.checkpoint);
    verified = damage === null;
    if (damage !== null) violations.push(`it does not verify: ${damage}`);
  });

  const report = ending === 'committed' ? (JSON.parse(finished.stdout) as CheckpointReport) : null;
  const said = [
    `fault: ${fault === null ? 'none' : tellFault(fault)}`,
    finished.stdout,
    finished.stderr,
    ...(violations.length > 0 ? [evidence.tell()] : []),
  ].join('\n');
  return {
    number,
    fault,
    ending,
    cause: causeOf(finished, ending),
    checkpoint: report?.checkpoint ?? null,
    windowMs: report?.windowMs ?? null,
    durationMs: endedAt - startedAt,
    attempts: attemptsOf(finished),
    thawMs,
    blockedMs,
    verified,
    restored: false,
    beganAt,
    violations: violations.map((violation) => `${violation}\n${said}`),
  };
}

interface Taken {
  readonly finished: Finished;
  readonly thawMs: number | null;
  readonly beganAt: number;
  readonly endedAt: number;
}

async function taken(lab: SoakLab, name: string, fault: Fault | null, violations: string[]): Promise<Taken> {
  let command: RunningCommand | null = null;
  let beganAt = performance.now();
  let thawMs: number | null = null;
  if (fault === null) command = beginCheckpoint(lab, name);
  else
    await violating(violations, 'the fault', async () => {
      thawMs = await beginSpoiled(lab, name, fault, (begun) => {
        command = begun;
        beganAt = performance.now();
      });
    });
  // Where the fault failed before there was one.
  const finished = await ended(command ?? beginCheckpoint(lab, name), violations);
  return { finished, thawMs, beganAt, endedAt: performance.now() };
}

/** A command that hangs is killed. */
async function ended(command: RunningCommand, violations: string[]): Promise<Finished> {
  const timer = setTimeout(() => {
    violations.push(`it had not ended after ${ENDS_WITHIN_MS} ms`);
    command.signal('SIGKILL');
  }, ENDS_WITHIN_MS);
  const finished = await command.finished;
  clearTimeout(timer);
  return finished;
}

async function violating(violations: string[], what: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    violations.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The longest write since then, acknowledged or not. */
function longestMs({ clients }: SoakLab, from: number): number {
  let longest = clients.underWayMs(performance.now());
  for (const { sentAt, acknowledgedAt } of clients.writes.slice(from))
    longest = Math.max(longest, acknowledgedAt - sentAt);
  return longest;
}

/** Progress names every attempt but the first. */
function attemptsOf({ stderr }: Finished): number {
  return Math.max(1, ...[...stderr.matchAll(/\(attempt (\d+)\)/g)].map(([, attempt]) => Number(attempt)));
}

function causeOf({ stdout }: Finished, ending: Ending): string | null {
  if (ending === 'committed') return null;
  if (ending === 'killed') return 'no word';
  try {
    const { code, message } = (JSON.parse(stdout) as { error: Failure }).error;
    return ending === 'invalid' ? `${code} (${message.replace(/\d+/g, 'N')})` : code;
  } catch {
    return 'no JSON';
  }
}
