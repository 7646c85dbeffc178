import type { CommitProof } from '../../shared/protocol/coordinator-machine.ts';
import { formatToken } from '../../shared/domain/token.ts';
import type { SimulatedCoordinator } from './coordinator.ts';
import { positionOf, type Attempted } from './attempted.ts';
import type { SimulatedEngine } from './engine.ts';
import { MAX_DRIFT } from './process.ts';
import { Broken } from './promises.ts';
import { whyNotProven } from './truth.ts';
import type { World } from './world.ts';

interface Part {
  readonly engine: SimulatedEngine;
  readonly attempted: Attempted & {
    readonly fencedAt: number;
    readonly markedAt: number;
    readonly openedAt: number;
  };
}

/** Judges what is being committed: first what clients saw of it, then what really happened to its members. */
export function checkCut(world: World, coordinator: SimulatedCoordinator, proof: CommitProof): void {
  checkHistory(world, proof);
  checkOnce(world, coordinator);
  const parts = world.engines
    .filter((engine) => engine.holder === engine)
    .map((engine) => partOf(engine, coordinator, proof));
  checkOrder(parts);
  checkViewers(world, parts);
  checkWindow(parts, proof);
}

/** By the clients' history alone: the marks of the proof against what was written, read and acknowledged. */
function checkHistory({ engines }: World, proof: CommitProof): void {
  const ends = engines.map((engine) => {
    const { holder } = engine;
    const mark = proof.members.find(({ name }) => name === `agent ${holder.index}`)?.mark ?? null;
    const place = holder === engine ? 0 : 1 + holder.held.indexOf(engine);
    return Number(mark?.position.split(',')[place] ?? 0);
  });
  let firstFence = Infinity;
  for (const engine of engines) {
    const fencedAt = engine.attempt(proof.token)?.fencedAt;
    if (fencedAt !== undefined && fencedAt !== null) firstFence = Math.min(firstFence, fencedAt);
  }
  for (const engine of engines) {
    const end = ends[engine.index] as number;
    for (const [place, effect] of engine.log.entries()) {
      if (place >= end) {
        if (effect.acknowledgedAt !== null && effect.acknowledgedAt < firstFence)
          throw new Broken(
            'nothing-missing',
            `${place} of engine ${engine.index} was acknowledged, and the cut ends at ${end}`,
          );
        continue;
      }
      for (const { member, place: cause } of effect.causes) {
        if (cause === null || cause >= (ends[member] as number))
          throw new Broken(
            'consistent-cut',
            `${place} of engine ${engine.index} is in the cut, its cause ${cause} of engine ${member} is not`,
          );
      }
    }
  }
}

function partOf(engine: SimulatedEngine, { name }: SimulatedCoordinator, proof: CommitProof): Part {
  const attempted = engine.attempts.findLast(
    (one) => one.operation === name && formatToken(one.token) === formatToken(proof.token),
  );
  const member = `engine ${engine.index}`;
  if (attempted === undefined) throw new Broken('proven', `${member} never took part in what is committed`);
  const { fencedAt, markedAt, openedAt } = attempted;
  if (fencedAt === null || markedAt === null || openedAt === null)
    throw new Broken('proven', `${member} has no fence, no mark or no thaw in what is committed`);
  const cause = whyNotProven(attempted);
  if (cause !== null) throw new Broken('proven', `${member} is in what is committed, and ${cause}`);
  const mark = proof.members.find((one) => one.name === `agent ${engine.index}`)?.mark ?? null;
  if (engine.model !== 'observer' && mark?.position !== positionOf(attempted))
    throw new Broken('proven', `the mark of ${member} is of another attempt`);
  if (!attempted.collected) throw new Broken('stored', `${member} has stored nothing of what is committed`);
  return { engine, attempted: { ...attempted, fencedAt, markedAt, openedAt } };
}

/** Of each domain the lead was prepared for the whole of it, the others for nothing, and all have answered. */
function checkOnce({ engines }: World, { name }: SimulatedCoordinator): void {
  for (const { index, holder, held, assignment, collectedFor } of engines) {
    const isHeld = holder.index !== index;
    if (isHeld && collectedFor !== name)
      throw new Broken('stored', `engine ${index} has not answered for what is committed`);
    if (!isHeld && held.length === 0) continue;
    const { hold, part } = assignment;
    const expected = isHeld ? 'none none' : 'lead whole';
    if (`${hold} ${part}` !== expected)
      throw new Broken('once', `engine ${index} of a domain has ${hold} ${part}, and not ${expected}`);
  }
}

function checkOrder(parts: readonly Part[]): void {
  const lastMark = Math.max(...parts.map(({ attempted }) => attempted.markedAt));
  const fenced = parts.filter(({ engine }) => engine.kind === 'fenced');
  const firstFencedMark = Math.min(...fenced.map(({ attempted }) => attempted.markedAt));
  const lastFencedMark = Math.max(...fenced.map(({ attempted }) => attempted.markedAt));
  for (const { engine, attempted } of parts) {
    const member = `engine ${engine.index}`;
    if (attempted.markedAt < attempted.fencedAt)
      throw new Broken('order', `${member} marked before its fence`);
    if (attempted.openedAt < lastMark) throw new Broken('order', `${member} thawed before all had marked`);
    if (engine.kind === 'observer' && attempted.fencedAt > firstFencedMark)
      throw new Broken('order', `${member}, an observer, was fenced after a mark`);
    if (engine.kind === 'instant' && attempted.markedAt < lastFencedMark)
      throw new Broken('order', `${member}, an instant one, marked before every fence held`);
  }
}

/**
 * Nobody could read what was behind one mark while another was still to be made. A blind one shows nothing, and a
 * consumer may be allowed.
 */
function checkViewers(world: World, parts: readonly Part[]): void {
  const lastMark = Math.max(...parts.map(({ attempted }) => attempted.markedAt));
  for (const { engine, attempted } of parts) {
    const viewers = world.outsiders.at(engine, attempted.markedAt).filter(({ since }) => since < lastMark);
    const unheld = viewers.find(
      ({ kind }) =>
        kind === 'stranger' ||
        kind === 'namesake' ||
        kind === 'subscription' ||
        (kind === 'consumer' && !world.scenario.allowsLogical),
    );
    if (unheld !== undefined)
      throw new Broken('proven', `a ${unheld.kind} had the log of engine ${engine.index} while it was held`);
  }
}

/** Within what two clocks may differ. */
function checkWindow(parts: readonly Part[], proof: CommitProof): void {
  const fenced = parts.filter(({ engine }) => engine.kind === 'fenced');
  const from = Math.min(...fenced.map(({ attempted }) => attempted.fencedAt));
  const until = Math.max(...fenced.map(({ attempted }) => attempted.openedAt));
  if (proof.windowMs * 1000 * (1 + MAX_DRIFT) < (until - from) * (1 - MAX_DRIFT))
    throw new Broken('window', `told ${proof.windowMs} ms, was ${(until - from) / 1000} ms`);
}
