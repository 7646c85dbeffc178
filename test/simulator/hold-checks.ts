import { lastsUntilLetGo } from '../../shared/domain/purpose.ts';
import { sameToken, type Token } from '../../shared/domain/token.ts';
import type { CommitProof } from '../../shared/protocol/coordinator-machine.ts';
import type { Attempted } from './attempted.ts';
import type { SimulatedCoordinator } from './coordinator.ts';
import type { SimulatedEngine } from './engine.ts';
import type { Copied, Job } from './job.ts';
import { Broken } from './promises.ts';
import type { World } from './world.ts';
import type { Suspended } from './write-daemon.ts';

interface Held {
  readonly job: Job;
  readonly operation: string;
  readonly from: number;
  readonly until: number;
}

/** Whether anybody may be told now that he has the grid: each member has marked, and its write daemon waits. */
export function checkTold({ engines }: World, { name, job }: SimulatedCoordinator, attempt: number): void {
  for (const engine of engines) {
    const last = engine.attempts.findLast(({ operation }) => operation === name);
    if (last === undefined || last.markedAt === null || last.token.attempt !== attempt)
      throw new Broken('holds', `${name} has the grid, and engine ${engine.index} has not marked for it`);
    if (job.purpose.type === 'freeze' && last.openedAt === null)
      throw new Broken('holds', `${name} has the grid frozen, and engine ${engine.index} is still fenced`);
    if (isSuspendedIn(engine, job) && suspendedBy(engine, name) === undefined)
      throw new Broken('holds', `${name} has the grid frozen, and engine ${engine.index} writes its files`);
  }
}

/** Judges what is committed of a hold: by what clients saw, which files changed, and what was copied meanwhile. */
export function checkHold(world: World, { name, job }: SimulatedCoordinator, proof: CommitProof): void {
  if (!lastsUntilLetGo(job.purpose)) return;
  const { heldFrom, letGoAt } = job;
  if (heldFrom === null || letGoAt === null)
    throw new Broken('holds', `${name} is committed, and its job never had the grid, or never let go`);
  const held = { job, operation: name, from: heldFrom, until: letGoAt };
  for (const engine of world.engines) {
    if (job.purpose.type === 'quiesce') checkQuiesced(engine, held, proof.token);
    else if (isSuspendedIn(engine, job)) checkSuspended(engine, held);
  }
  checkCopied(held, proof);
}

/** An observer has no write daemon whose files anybody copies. */
function isSuspendedIn({ observed }: SimulatedEngine, { purpose }: Job): boolean {
  return purpose.type === 'freeze' && observed === null;
}

function suspendedBy({ daemon }: SimulatedEngine, operation: string): Suspended | undefined {
  return daemon.history.findLast((one) => one.operation === operation);
}

function attemptOf({ attempts }: SimulatedEngine, operation: string, token: Token): Attempted | undefined {
  return attempts.findLast((one) => one.operation === operation && sameToken(one.token, token));
}

function checkQuiesced(engine: SimulatedEngine, held: Held, token: Token): void {
  const member = `engine ${engine.index}`;
  const {
    fencedAt = null,
    markedAt = null,
    openedAt = null,
  } = attemptOf(engine, held.operation, token) ?? {};
  if (fencedAt === null || markedAt === null || fencedAt > held.from || markedAt > held.from)
    throw new Broken('holds', `${member} was not at rest when ${held.operation} was told that it is`);
  if (openedAt === null || openedAt < held.until)
    throw new Broken('holds', `${member} was let go of before ${held.operation} had let go`);
  if (isAnyIn(engine.shownAt, held))
    throw new Broken('held-for-its-job', `something became visible on ${member} while it was quiesced`);
  // What a commit fence hides may reach the files; whoever copies them needs their log too.
  if (engine.model === 'writeFence' && isAnyIn(engine.daemon.changes, held))
    throw new Broken('held-for-its-job', `a database file of ${member} changed while it was quiesced`);
}

function checkSuspended(engine: SimulatedEngine, held: Held): void {
  const member = `engine ${engine.index}`;
  const suspended = suspendedBy(engine, held.operation);
  if (suspended === undefined || suspended.since > held.from)
    throw new Broken('held-for-its-job', `${member} was never suspended for ${held.operation}`);
  if (suspended.until === null || suspended.until < held.until || suspended.by !== 'collect')
    throw new Broken(
      'held-for-its-job',
      `${member} was resumed by ${suspended.by ?? 'nobody'} before ${held.operation} had let go`,
    );
  if (isAnyIn(engine.daemon.changes, held))
    throw new Broken('held-for-its-job', `a database file of ${member} changed while it was frozen`);
}

/** Who waits with an update waits for room in memory, or because the time is over for which updates were to go on. */
export function checkUpdateWaits(
  { now, coordinators }: World,
  { index, daemon, log }: SimulatedEngine,
): void {
  const { suspended, room, files } = daemon;
  if (suspended === null) throw new Broken('updates-go-on', `an update waits on engine ${index} for nothing`);
  const inMemory = log.length - files.length;
  const { purpose } = coordinators.find(({ name }) => name === suspended.operation)?.job ?? {};
  const isOver = purpose?.type === 'freeze' && now >= suspended.since + purpose.timeOutMs * 1000;
  if (!isOver && inMemory < (room ?? Infinity))
    throw new Broken(
      'updates-go-on',
      `an update waits on engine ${index} with ${inMemory} in memory, before its time is over`,
    );
}

/** When nobody is held any more. */
export function checkWritten({ index, daemon, log, waiting }: SimulatedEngine): void {
  if (waiting > 0) throw new Broken('updates-go-on', `${waiting} updates still wait on engine ${index}`);
  const lost = log.findIndex((effect, place) => daemon.files[place] !== effect);
  if (lost >= 0 || daemon.files.length > log.length)
    throw new Broken('updates-go-on', `the files of engine ${index} are not what it has logged: ${lost}`);
}

function isAnyIn(moments: readonly number[], { from, until }: Held): boolean {
  return moments.some((moment) => moment > from && moment <= until);
}

/** What the job's tools copied while it had the grid is restored with no more than its own journals up to the mark. */
function checkCopied(held: Held, proof: CommitProof): void {
  const copies = held.job.copied.filter(({ from, until }) => from >= held.from && until <= held.until);
  if (held.job.purpose.type === 'quiesce') return checkOneMoment(copies);
  for (const { engine, from, inFiles, logged, changedAt } of copies) {
    const cut = attemptOf(engine, held.operation, proof.token)?.cut ?? 0;
    const member = `engine ${engine.index}`;
    if (changedAt > from) throw new Broken('one-moment', `a file of ${member} changed while it was copied`);
    if (inFiles > cut)
      throw new Broken('one-moment', `${inFiles} of ${member} is in the copied files, its mark is at ${cut}`);
    if (logged < cut)
      throw new Broken(
        'one-moment',
        `the journal copied of ${member} ends at ${logged}, its mark is at ${cut}`,
      );
  }
}

/** Every effect that is in the copy of a member has its causes in the copies of theirs, where these were copied. */
function checkOneMoment(copies: readonly Copied[]): void {
  const ends = new Map(copies.map(({ engine, logged }) => [engine.index, logged]));
  for (const { engine, logged } of copies) {
    for (const [place, { causes }] of engine.log.slice(0, logged).entries()) {
      const lost = causes.find(
        ({ member, place: at }) => at === null || at >= (ends.get(member) ?? Infinity),
      );
      if (lost !== undefined)
        throw new Broken(
          'one-moment',
          `${place} of engine ${engine.index} is in what was copied, its cause ${lost.place} of engine ${lost.member} is not`,
        );
    }
  }
}
