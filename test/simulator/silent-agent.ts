import type { SimulatedAgent } from './agent.ts';
import { ENGINE_DEADLINE } from './engine.ts';

/** A guard whose agent died thaws within this. */
const GUARD_ACTS = 300_000;
/** A guard whose agent says nothing thaws after this: a little later than the agent itself would. */
const GUARD_PATIENCE = 1_250_000;

/** A model of what guard and engine do when their agent is gone, where the real undo does not run. */
export function actsWhenDead(agent: SimulatedAgent): void {
  if (agent.guardLives) whileSilent(agent, agent.world.random.between(5000, GUARD_ACTS), 'guard');
  whileSilent(agent, ENGINE_DEADLINE, 'deadline');
}

export function actsWhenStopped(agent: SimulatedAgent): void {
  if (agent.guardLives) whileSilent(agent, GUARD_PATIENCE, 'guard');
  whileSilent(agent, ENGINE_DEADLINE, 'deadline');
}

/** It happens if the agent is as silent then as it is now. A server that is down is asked again. */
function whileSilent(agent: SimulatedAgent, delay: number, by: 'guard' | 'deadline'): void {
  const { life, isAlive, isPaused, engine, world } = agent;
  const attempt = (): void => {
    if (agent.life !== life || agent.isAlive !== isAlive || agent.isPaused !== isPaused) return;
    if (!engine.isUp) world.timeline.after(50_000, attempt);
    else engine.open(by);
  };
  world.timeline.after(delay, attempt);
}
