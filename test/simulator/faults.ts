import { ask } from './asks.ts';
import type { OutsiderKind } from './outsiders.ts';
import type { Fault } from './scenario.ts';
import type { World } from './world.ts';

const OUTSIDERS = {
  strangerComes: 'stranger',
  namesakeComes: 'namesake',
  blindComes: 'blind',
  consumerComes: 'consumer',
  subscriptionComes: 'subscription',
} as const satisfies Record<string, OutsiderKind>;

/** A fault happens. What needs no member takes none. */
export function strike(world: World, fault: Fault): void {
  const { kind, member, forTime } = fault;
  const { timeline, checks, weather } = world;
  const agent = world.agents[member];
  const engine = world.engines[member];
  if (agent === undefined || engine === undefined) return;
  world.note(
    'fault',
    60,
    fault.step,
    () => `${kind}${'call' in fault ? ` ${fault.call}` : ''}, member ${member}`,
  );
  const coordinator = world.coordinators.find(({ isOver }) => !isOver);
  const connections = world.connectionsOf(agent);
  switch (kind) {
    case 'loseConnection':
      if (!agent.hasKeepsake) world.isLostLate = true;
      for (const connection of connections) connection.break();
      return;
    case 'halfOpen':
      for (const connection of connections) connection.vanish();
      return;
    case 'partition':
      world.block(agent, fault.direction);
      timeline.after(forTime, () => world.unblock(agent));
      return;
    case 'killAgent':
    case 'powerLoss':
      // Without its guard, or its host: the engine's own deadline and the next start are what is left.
      if (!agent.isAlive) return;
      checks.excuse(member);
      if (kind === 'powerLoss') agent.guardLives = false;
      for (const connection of connections) {
        if (kind === 'powerLoss') connection.vanish();
        else connection.closeFrom('agent');
      }
      agent.kill();
      timeline.after(forTime, () => agent.start());
      return;
    case 'pauseAgent':
      if (!agent.isAlive || agent.isPaused) return;
      checks.excuse(member);
      agent.pause();
      timeline.after(forTime, () => agent.isPaused && agent.resume());
      return;
    case 'killGuard':
      if (agent.isAlive) agent.killGuard();
      return;
    case 'guardThaws':
      if (engine.isUp) engine.open('guard');
      return;
    case 'diskFails':
      agent.disk.fails = true;
      return;
    case 'leak':
      if (fault.heldFor === undefined) engine.leaks += 1;
      else engine.leakNow();
      return;
    case 'daemonResumes':
      engine.daemon.resume('itself');
      return;
    case 'askWithToken':
    case 'askWithWrongToken':
    case 'askWithoutToken':
    case 'force':
      return ask(world, kind, agent);
    case 'crashEngine':
      checks.excuse(member);
      engine.crash(forTime / 4, world.random.chance(0.6));
      return;
    case 'loseAcknowledgements':
      engine.losesAcknowledgements = true;
      return;
    case 'engineFails':
    case 'engineRefuses':
    case 'engineHangs':
    case 'engineSlow':
      // A freeze that hangs is no excuse: its lease runs. A thaw is: it is given a lease of its own.
      if (fault.call === 'thaw') checks.excuse(member);
      engine.faults.push(fault);
      return;
    case 'fillPool':
      return engine.address.fill(forTime);
    case 'moveAddress':
      return engine.address.move(forTime, false);
    case 'failOver':
      return engine.address.move(forTime, true);
    case 'streamBreaks':
      engine.stream.break(forTime);
      return;
    case 'strangerComes':
    case 'namesakeComes':
    case 'blindComes':
    case 'consumerComes':
    case 'subscriptionComes':
      world.outsiders.come(OUTSIDERS[kind], member, forTime);
      return;
    case 'killCoordinator':
      coordinator?.die(false);
      world.startCoordinator(forTime);
      return;
    case 'coordinatorPowerLoss':
      coordinator?.die(true);
      world.startCoordinator(forTime);
      return;
    case 'pauseCoordinator':
      if (coordinator === undefined || coordinator.isPaused) return;
      coordinator.pause();
      timeline.after(forTime, () => coordinator.isPaused && coordinator.resume());
      return;
    case 'terminate':
      coordinator?.terminate();
      return;
    case 'cancel':
      coordinator?.cancel();
      return;
    case 'anotherCoordinator':
      world.startCoordinator(forTime);
      return;
    case 'ignorantCoordinator':
      world.startCoordinator(forTime, true);
      return;
    case 'commitFails':
      world.repository.refuses = true;
      if (world.storage !== null) world.storage.kernel.faults.isFull = true;
      return;
    case 'loseMessages':
      weather.loses = true;
      return;
    case 'duplicateMessages':
      weather.duplicates = true;
      return;
    case 'reorderMessages':
      weather.reorders = true;
      return;
    case 'slowNetwork':
      weather.isSlow = true;
      return;
  }
}
