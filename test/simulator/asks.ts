import type { letGo } from '../../agent/jobs.ts';
import { failureOf } from '../../shared/domain/errors.ts';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedCoordinator } from './coordinator.ts';
import { Broken } from './promises.ts';
import { SILENT_LOG } from './silent.ts';
import type { World } from './world.ts';

export type AskKind = 'askWithToken' | 'askWithWrongToken' | 'askWithoutToken' | 'force';

/** What an agent is asked from another stream than the job's. */
type AskedLetGo = Parameters<typeof letGo>[2];

/** Members whose own logs nobody reads. */
const NO_LOGS = { file: { members: [] }, members: new Map(), log: SILENT_LOG } as unknown as Parameters<
  typeof letGo
>[0];

/** A job that listens lets go within this, by the worst weather and with an agent that is slow to be asked. */
const LETS_GO_WITHIN = 2_000_000;

/** Somebody asks, through this agent, that the job which holds the grid lets go. */
export function ask(world: World, kind: AskKind, agent: SimulatedAgent): void {
  const job = world.coordinators.findLast(({ isOver }) => !isOver);
  if (job === undefined || !agent.isAlive || world.blocked(agent) !== null) return;
  const token = { askWithToken: job.name, askWithWrongToken: 'another job', askWithoutToken: '', force: '' };
  const asked: AskedLetGo = { operation: token[kind], force: kind === 'force', holder: 'somebody' };
  agent.after(world.random.between(100, 2000), () => asksNow(world, agent, asked, job));
}

function asksNow(world: World, agent: SimulatedAgent, asked: AskedLetGo, job: SimulatedCoordinator): void {
  const { claim } = agent;
  const holder = claim.held?.operation ?? null;
  const purpose = world.coordinators.find(({ name }) => name === holder)?.job.purpose.type;
  const mayAsk =
    asked.operation === holder || (asked.operation === '' && (asked.force || purpose === 'freeze'));
  world.note(
    agent.name,
    32,
    Number(asked.force),
    () => `is asked to let go, by ${asked.operation || 'nobody'}`,
  );
  world.machines.jobs.letGo(NO_LOGS, claim, asked).then(
    () => {
      if (!mayAsk)
        world.tasks.broke(
          new Broken('job', `${agent.name} has ${holder ?? 'nobody'} let go for one who has no token of it`),
        );
      if (!asked.force && holder === job.name) expectLetGo(world, job);
    },
    (error: unknown) => {
      const { code } = failureOf(error, { code: 'none', hint: '' });
      world.note(agent.name, 33, code.length, () => `does not: ${code}`);
      if (mayAsk && code === 'other-job')
        world.tasks.broke(new Broken('job', `${agent.name} refuses who has the token of ${holder}`));
    },
  );
}

/** Where nothing else is wrong it hears of it: it has let go by then, or has never had the grid. */
function expectLetGo(world: World, job: SimulatedCoordinator): void {
  const isQuiet = world.scenario.faults.every(({ kind }) => kind === 'askWithToken');
  if (!isQuiet) return;
  world.timeline.after(LETS_GO_WITHIN, () => {
    if (!job.isOver && job.job.heldFrom !== null && job.job.letGoAt === null)
      throw new Broken('job', `${job.name} was asked to let go by who may, and holds on`);
  });
}
