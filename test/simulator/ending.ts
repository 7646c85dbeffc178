import type { Ending, SimulatedCoordinator } from './coordinator.ts';
import type { SimulatedEngine } from './engine.ts';
import { DEADLINES, MAX_ATTEMPTS } from './limits.ts';
import { MAX_DRIFT } from './process.ts';
import { Broken } from './promises.ts';
import { whyNotProven } from './truth.ts';
import type { World } from './world.ts';

/** Then an abort that is not confirmed is told as it is. */
const ABORTS_AT_MOST = DEADLINES.abortGiveUpMs * 1000 * (1 + 2 * MAX_DRIFT) + 10_000;

/** Judges what a coordinator says in the end by what is committed and what is frozen at that moment. */
export function checkEnding(world: World, coordinator: SimulatedCoordinator, ending: Ending): void {
  const { repository, engines } = world;
  const isCommitted = repository.commits.some(({ operation }) => operation === coordinator.name);
  if (isCommitted !== (ending.kind === 'committed'))
    throw new Broken('ending', `${coordinator.name} says ${ending.kind}; committed: ${isCommitted}`);
  // A member that was told as stopped may come back fenced; whoever found it down opens it then.
  const frozen = engines.filter(
    (engine) => engine.isUp && !engine.isLeft && isHeldFor(engine, coordinator.name),
  );
  if (ending.kind === 'maybeFrozen') {
    if (coordinator.hasProofs)
      throw new Broken('ending', `${coordinator.name} has the proof of every thaw, and says maybe frozen`);
    const members = ending.failure.members ?? [];
    if (members.every(({ state }) => state !== 'unknown'))
      throw new Broken('ending', `${coordinator.name} does not say which may still be frozen`);
    const wrong = frozen.find(({ index }) =>
      members.some(({ name, state }) => name === `agent ${index}` && state !== 'unknown'),
    );
    if (wrong !== undefined)
      throw new Broken('ending', `${coordinator.name} says that engine ${wrong.index} runs; it is frozen`);
  } else if (frozen[0] !== undefined) {
    throw new Broken(
      'thawed-after-the-end',
      `${coordinator.name} says ${ending.kind}; engine ${frozen[0].index} is frozen`,
    );
  }
  if (ending.kind === 'aborted' || ending.kind === 'invalid') {
    const told = (ending.failure.members ?? []).filter(
      ({ state }) => state === 'running' || state === 'stopped',
    );
    if (told.length !== engines.length)
      throw new Broken(
        'names',
        `${coordinator.name} says ${ending.kind} and of ${told.length} members how they are`,
      );
  }
  const { abortsSince } = coordinator;
  if (abortsSince !== null && world.now - abortsSince > ABORTS_AT_MOST && !coordinator.wasPaused)
    throw new Broken('ends', `${coordinator.name} did not give up its abort in time`);
  if (ending.kind === 'invalid') checkInvalid(world, coordinator, ending);
}

/** Fenced, or with a write daemon that waits. */
function isHeldFor({ isFenced, current, daemon }: SimulatedEngine, operation: string): boolean {
  return (isFenced && current?.operation === operation) || daemon.suspended?.operation === operation;
}

/** Invalid only after so many attempts, and in the last something was really wrong; what a job had is had once. */
function checkInvalid(
  world: World,
  coordinator: SimulatedCoordinator,
  ending: Extract<Ending, { kind: 'invalid' }>,
): void {
  const holders = world.engines.filter((engine) => engine.holder === engine);
  const last = holders.map((engine) =>
    engine.attempts.findLast(({ operation }) => operation === coordinator.name),
  );
  const cuts = new Set(
    world.engines.flatMap(({ attempts }) =>
      attempts
        .filter(
          ({ operation, fencedAt, wasThawed }) =>
            operation === coordinator.name && (fencedAt !== null || wasThawed),
        )
        .map(({ token }) => token.attempt),
    ),
  );
  const { job, name } = coordinator;
  const wasHeld = job.heldFrom !== null;
  const code = ending.failure.code;
  if (wasHeld && code !== 'already-resumed')
    throw new Broken('ending', `${name} says ${code} of what its job had, and not that it had resumed`);
  if (!wasHeld && cuts.size < MAX_ATTEMPTS)
    throw new Broken('ending', `${coordinator.name} says invalid before the last attempt`);
  const isCut = last.every((attempted) => attempted !== undefined && whyNotProven(attempted) === null);
  const wasSuspended = world.engines.every(({ daemon }) =>
    daemon.history.every(({ operation, by }) => operation !== name || by === 'collect'),
  );
  if (isCut && wasSuspended)
    throw new Broken('ending', `${coordinator.name} says invalid, and every member held`);
}
