import type { Occupation } from '../../../coordinator/jobs/held-job.ts';
import { holdGrid, type HoldInput } from '../../../coordinator/jobs/hold-grid.ts';
import type { HeldGrid, HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import { StillpointError, type ExitCode, type Failure } from '../../../shared/domain/errors.ts';
import type { HostDescription } from '../../../shared/domain/grid.ts';
import type { Assignment } from '../../../shared/domain/assignment.ts';
import type { MemberAnswer, MemberCommand } from '../../../shared/domain/messages.ts';
import type { HoldPurpose, Purpose } from '../../../shared/domain/purpose.ts';
import { createLog } from '../../../shared/runtime/log.ts';
import { goOn } from '../../../shared/runtime/moments.ts';
import { honestAnswers, asItIs } from '../honest-agent.ts';
import { scriptedAgents, type ScriptedAgents } from '../scripted-agents.ts';

// A grid of agents that speak the protocol honestly over the real wire, but for what a test changes of their answers; and
// a job that holds it.

type Answers = (
  honest: readonly MemberAnswer[],
) => Promise<readonly MemberAnswer[]> | readonly MemberAnswer[];

export interface HonestGrid {
  readonly agents: ScriptedAgents;
  readonly commands: { readonly member: string; readonly command: MemberCommand }[];
  /** What a member says instead. */
  instead: (member: string, command: MemberCommand) => Answers | null;
  /** The types of what a member was asked, in order. */
  asked(member: string): string[];
}

export async function honestGrid(hosts: readonly HostDescription[]): Promise<HonestGrid> {
  const agents = await scriptedAgents(hosts);
  const prepared = new Map<string, { checkpoint: string; assignment: Assignment; purpose: Purpose }>();
  const grid: HonestGrid = {
    agents,
    commands: [],
    instead: () => null,
    asked: (member) =>
      grid.commands.filter((one) => one.member === member).map(({ command }) => command.type),
  };
  agents.onCommand = async (host, member, command) => {
    grid.commands.push({ member, command });
    if (command.type === 'prepare') {
      const { checkpoint, assignment, purpose = { type: 'checkpoint' } } = command;
      prepared.set(member, { checkpoint, assignment, purpose });
    }
    const of = prepared.get(member);
    if (of === undefined) throw new Error(`${member} was not prepared`);
    const { checkpoint, assignment } = of;
    const agent = { agents, host, member, checkpoint, assignment, manifestOf: asItIs };
    const honest = (await honestAnswers(agent, command)).map((answer) =>
      answer.type === 'collected' && of.purpose.type === 'freeze'
        ? { ...answer, suspension: { held: true } as const }
        : answer,
    );
    const answers = (await grid.instead(member, command)?.(honest)) ?? honest;
    return answers.map((answer) => ({ type: 'memberAnswer', member, answer }));
  };
  return grid;
}

/** Stays until the test lets go of it, and notes what it is told. */
class TestOccupation implements Occupation {
  readonly told: string[] = [];
  readonly #held = Promise.withResolvers<HeldGrid>();
  readonly #done = Promise.withResolvers<void>();

  get held(): Promise<HeldGrid> {
    return this.#held.promise;
  }

  begin(held: HeldGrid): Promise<void> {
    this.#held.resolve(held);
    return this.#done.promise;
  }

  letGo(): void {
    this.#done.resolve();
  }

  fail(error: Error): void {
    this.#done.reject(error);
  }

  letGoAsked({ type, who }: Parameters<Occupation['letGoAsked']>[0]): void {
    this.told.push(`asked by ${type} ${who}`);
    this.letGo();
  }

  end(outcome: string): Promise<void> {
    this.told.push(`ended ${outcome}`);
    return Promise.resolve();
  }
}

export interface Ended {
  readonly report: HoldReport | null;
  readonly failure: Failure | null;
  readonly exitCode: ExitCode;
}

/** A job, and what came of it. */
export class TestJob {
  readonly occupation = new TestOccupation();
  readonly notes: string[] = [];
  readonly #abort = new AbortController();
  readonly #letGo = new AbortController();
  readonly ended: Promise<Ended>;

  constructor(
    grid: HonestGrid,
    purpose: Extract<Purpose, { type: HoldPurpose }>,
    given: Partial<HoldInput> = {},
  ) {
    this.ended = this.#run({
      gridFile: grid.agents.gridFile,
      purpose,
      allowLogical: false,
      occupation: purpose.type === 'journalCheckpoint' ? null : this.occupation,
      cancellation: {
        signal: this.#abort.signal,
        second: new AbortController().signal,
        letGo: this.#letGo.signal,
      },
      progress: { phase() {}, bytes() {}, note: (text) => void this.notes.push(text), finish() {} },
      log: createLog({ name: 'test', level: 'silent' }),
      reach: goOn,
      ...given,
    });
  }

  get held(): Promise<HeldGrid> {
    return this.occupation.held;
  }

  interrupt(): void {
    this.#abort.abort(
      new StillpointError({ code: 'interrupted', message: 'interrupted by SIGINT', hint: 'h' }, 4),
    );
  }

  terminate(): void {
    this.#letGo.abort();
  }

  async #run(input: HoldInput): Promise<Ended> {
    try {
      return { report: await holdGrid(input), failure: null, exitCode: 0 };
    } catch (error) {
      if (!(error instanceof StillpointError)) throw error;
      return { report: null, failure: error.failure, exitCode: error.exitCode };
    }
  }
}
