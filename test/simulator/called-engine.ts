import {
  aborted,
  type CheckpointContext,
  type Engine,
  type Hold,
  type Parts,
  type WriteSuspension,
} from '../../agent/engines/engine.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Suspension } from '../../shared/domain/messages.ts';
import { formatToken, type Token } from '../../shared/domain/token.ts';
import type { EngineCall, EngineResult, MemberPhase } from '../../shared/protocol/member-machine.ts';
import type { SimulatedAgent } from './agent.ts';

/** What of a collect goes into the member's answer. */
type Collected = Pick<
  Extract<EngineResult, { type: 'collected' }>,
  'manifestDigest' | 'sizeBytes' | 'storedBytes'
>;

/** The model of an engine, as the real runtime of one operation calls it: by promises, through the parts of a checkpoint. */
export class CalledEngine implements Pick<Engine, 'begin' | 'isRunning' | 'freeBytes'> {
  readonly #agent: SimulatedAgent;
  readonly #operation: string;
  readonly #phase: () => MemberPhase | null;
  #armed: Token | null = null;
  #releasing: Promise<EngineResult> | null = null;
  #isReleased = false;

  /** `phase`: of the member in this operation. */
  constructor(agent: SimulatedAgent, operation: string, phase: () => MemberPhase | null) {
    this.#agent = agent;
    this.#operation = operation;
    this.#phase = phase;
  }

  begin(context: CheckpointContext): Parts {
    const { assignment, purpose } = context;
    const prepare = async (): Promise<void> => {
      const asked = { type: 'prepare', checkpoint: this.#operation, assignment } as const;
      await this.#call({ ...asked, maintenance: false, purpose });
    };
    if (assignment.hold !== 'none')
      return {
        hold: { ...this.#hold(context), prepare },
        copy: null,
        journal: null,
        suspension: purpose.type === 'freeze' ? this.#suspension(purpose.timeOutMs) : null,
      };
    const abandon = async (): Promise<void> => void (await this.#call({ type: 'abort' }));
    return {
      hold: null,
      copy: { begin: prepare, finish: () => Promise.resolve(null), abandon },
      journal: null,
    };
  }

  freeBytes(): Promise<null> {
    return Promise.resolve(null);
  }

  isRunning(): Promise<boolean> {
    return Promise.resolve(this.#agent.engine.isUp);
  }

  /** What the model of an undo does in the place of the real one. */
  async openLeft(): Promise<null> {
    const { engine } = this.#agent;
    if (engine.isFenced || engine.daemon.suspended !== null) await this.#call({ type: 'abort' });
    return null;
  }

  /** What the engine has collected goes into the real repository, where there is one. */
  async collect(token: Token): Promise<Collected> {
    const agent = this.#agent;
    const { aborts } = agent;
    const collected = mustBe('collected', await this.#call({ type: 'collect', token }));
    const { storage, tasks } = agent.world;
    if (storage === null) return collected;
    const attempted = agent.engine.attempts.findLast(
      (one) => one.operation === this.#operation && one.collected,
    );
    if (attempted === undefined)
      throw new Error(`${agent.name} has collected nothing for ${this.#operation}`);
    const isWanted = (): boolean => agent.aborts === aborts;
    return tasks.promise(agent, (stored, failed) =>
      storage.store(agent, attempted, isWanted, (result) => {
        if (!isWanted()) return;
        if (result.type === 'failed') failed(new StillpointError(result.failure));
        else stored(mustBe('collected', result));
      }),
    );
  }

  /** Null of an observer: nobody copies its files, and it writes what another has logged. */
  #suspension(updatesWaitAfterMs: number): WriteSuspension | null {
    const { engine, world } = this.#agent;
    if (engine.observed !== null) return null;
    return {
      suspend: async () => {
        await this.#answered((answer) => engine.suspendWriting(this.#operation, updatesWaitAfterMs, answer));
      },
      resume: () => {
        const token = this.#token();
        this.#agent.judged(() => world.checks.resumeCalled(this.#agent, this.#operation), undefined);
        return this.#answered<Suspension>((answer) => engine.resumeWriting(this.#operation, token, answer));
      },
    };
  }

  /** With what a freeze leaves on a member, which is saved before anything is changed. */
  #hold({ saveUndo }: CheckpointContext): Omit<Hold, 'prepare'> {
    const save = async (token: Token): Promise<void> => {
      await saveUndo({
        server: this.#agent.engine.address.identity,
        operation: this.#operation,
        token: formatToken(token),
      });
      // As real engines do: what an abort has overtaken asks nothing more of the server.
      if (this.#isReleased) throw aborted();
    };
    return {
      pause: async () => {
        const token = this.#token();
        await save(token);
        await this.#call({ type: 'pause', token });
      },
      arm: async (token) => {
        this.#armed = token;
        await save(token);
        const { incarnation, viewing } = mustBe('armed', await this.#call({ type: 'arm', token }));
        return { incarnation, ...(viewing !== undefined && { viewing }) };
      },
      disarm: async () => {
        await this.#call({ type: 'disarm', token: this.#armed ?? this.#token() });
        await saveUndo(null);
      },
      freeze: async (token) => {
        const from = this.#agent.nowMs;
        const result = mustBe('marked', await this.#call({ type: 'freeze', token }));
        const { incarnation, mark, fenceMs, markMs } = result;
        return { incarnation, mark, fencedAt: from + fenceMs, markedAt: from + fenceMs + markMs };
      },
      thaw: async (token, released) => {
        const result = await this.#call({ type: 'thaw', token }, ({ type }) => {
          if (type !== 'released') return false;
          this.#agent.world.tasks.wake(this.#agent, released);
          return true;
        });
        const { proof } = mustBe('thawed', result);
        await saveUndo(null);
        return proof;
      },
      renew: () => this.#agent.engine.renew(),
      // What is collected has nothing open any more.
      release: async () => {
        if (this.#phase()?.name === 'collecting') return;
        this.#isReleased = true;
        this.#releasing ??= this.#call({ type: 'abort' }).finally(() => (this.#releasing = null));
        const { state } = mustBe('aborted', await this.#releasing);
        if (state === 'running') await saveUndo(null);
      },
    };
  }

  /** Of the attempt that the member is in. */
  #token(): Token {
    const phase = this.#phase();
    if (phase !== null && 'token' in phase) return phase.token;
    throw new Error('no attempt is under way');
  }

  /** `said`: whether an answer is none that ends the call. */
  #call(action: EngineCall, said: (result: EngineResult) => boolean = () => false): Promise<EngineResult> {
    const agent = this.#agent;
    const { world } = agent;
    world.note(agent.name, 24, action.type.length, () => `engine: ${action.type}`);
    agent.judged(() => world.checks.engineCalled(agent, this.#operation, action), undefined);
    if (action.type === 'abort') agent.aborts += 1;
    return this.#answered((answer) => agent.engine.perform(action, this.#operation, answer), said);
  }

  /** In this life of the agent, when it is not stopped. */
  #answered<Result extends EngineResult | Suspension = EngineResult>(
    ask: (answer: (result: Result | EngineResult) => void) => void,
    said: (result: EngineResult) => boolean = () => false,
  ): Promise<Result> {
    const agent = this.#agent;
    const { life, world } = agent;
    return world.tasks.promise(agent, (answered, failed) =>
      ask((result) => {
        if (agent.life !== life) return;
        agent.happen(() => {
          if ('type' in result && said(result)) return;
          if ('type' in result && result.type === 'failed') failed(new StillpointError(result.failure));
          else answered(result as Result);
        });
      }),
    );
  }
}

function mustBe<Type extends EngineResult['type']>(
  type: Type,
  result: EngineResult,
): Extract<EngineResult, { type: Type }> {
  if (result.type === type) return result as Extract<EngineResult, { type: Type }>;
  throw new Error(`the engine answered ${result.type}, and ${type} was asked for`);
}
