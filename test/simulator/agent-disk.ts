import type { CheckpointOperation } from '../../agent/checkpoint-operation.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { formatToken, type Token } from '../../shared/domain/token.ts';
import type { SimulatedAgent } from './agent.ts';

type State = ConstructorParameters<typeof CheckpointOperation>[0]['state'];

/** What an agent has written down, and finds again after it was killed. */
export class AgentDisk {
  readonly #agent: SimulatedAgent;
  /** The highest token whose record was finished. */
  recorded: Token | null = null;
  /** The next record is refused. */
  fails = false;

  constructor(agent: SimulatedAgent) {
    this.#agent = agent;
  }

  /** Without records of freezes where what undoes them is a model. */
  state(freezes: Pick<State, 'saveFreeze' | 'clearFreeze'> | null): State {
    return {
      highestToken: () => this.recorded,
      recordToken: (token) => this.#record(token),
      makeSpool: () => Promise.resolve('spool'),
      dropSpool: () => Promise.resolve(),
      saveFreeze: (record) => freezes?.saveFreeze(record) ?? Promise.resolve(),
      clearFreeze: (member) => freezes?.clearFreeze(member) ?? Promise.resolve(),
    };
  }

  #record(token: Token): Promise<void> {
    const { world, name } = this.#agent;
    const { random, tasks } = world;
    return tasks.promise(this.#agent, (recorded, failed) =>
      // A disk that is about to fail takes its time.
      this.#agent.after(random.between(20, this.fails || random.chance(0.05) ? 20_000 : 800), () => {
        if (this.fails) {
          this.fails = false;
          return failed(new StillpointError({ code: 'agent-disk', message: 'no space left', hint: 'none' }));
        }
        this.recorded = token;
        world.note(name, 23, token.attempt, () => `recorded ${formatToken(token)}`);
        recorded(undefined);
      }),
    );
  }
}
