import { formatToken } from '../../../shared/domain/token.ts';
import type { Participant } from '../../../shared/rpc/participant-client.ts';
import type { Asked, ContractMachine } from './machine.ts';
import { perform } from './perform.ts';
import { HOLD_OF, protoName, type HoldName } from './table.ts';

const HOLDS: readonly HoldName[] = ['quiesced', 'writingSuspended', 'journalRetained', 'maintenance'];

/** The process did otherwise than the model. */
export class Difference extends Error {}

/** A process and the model of it, asked the same. */
export class Walk {
  readonly #machine: ContractMachine;
  readonly #participant: Participant;
  readonly #taken: string[] = [];

  constructor(participant: Participant, machine: ContractMachine) {
    this.#participant = participant;
    this.#machine = machine;
  }

  /** What was asked so far, in words. */
  get path(): string {
    return this.#taken.join(', ');
  }

  holds(name: HoldName): boolean {
    return this.#machine.held(name);
  }

  /** Rejects with a Difference where status, `held` or what is held afterwards is not what the table says. */
  async step(asked: Asked): Promise<void> {
    const decision = this.#machine.decide(asked);
    this.#taken.push(inWords(asked));
    const outcome = await perform(this.#participant, asked);
    if (outcome.status !== decision.status)
      throw this.#differs(
        `${decision.status}, as '${decision.state}' says`,
        `${outcome.status} ${outcome.message}`,
      );
    if (decision.held !== null && outcome.held !== decision.held)
      throw this.#differs(`held: ${decision.held}, as '${decision.state}' says`, `held: ${outcome.held}`);
    this.#machine.apply(asked, decision);
    // A process may say of itself that it cannot come to rest now.
    if (asked.call === 'quiesce' && decision.effect === 'take')
      this.#machine.settle(outcome.quiesced === true);
    await this.#compare();
  }

  /** The lease of it ran out. */
  async lapsed(name: HoldName): Promise<void> {
    this.#taken.push(`its lease ran out`);
    this.#machine.lapse(name);
    await this.#compare();
  }

  async #compare(): Promise<void> {
    const { held } = await this.#participant.describe();
    for (const name of HOLDS) {
      if (held[name] === this.#machine.held(name)) continue;
      throw this.#differs(`${name}: ${this.#machine.held(name)}`, `${name}: ${held[name]}`);
    }
    if (held.operation === this.#machine.operation) return;
    throw this.#differs(`held for '${this.#machine.operation}'`, `for '${held.operation}'`);
  }

  #differs(expected: string, seen: string): Difference {
    return new Difference(`after ${this.path}: expected ${expected}; it was ${seen.trim()}`);
  }
}

function inWords({ call, operation = '', token, retainJournal }: Asked): string {
  const more = [token === undefined ? '' : formatToken(token), retainJournal === true ? 'retain' : ''];
  const named = HOLD_OF[call] === undefined && operation === '' ? '' : operation.split('-').at(-1);
  return `${protoName(call)}(${[named, ...more].filter((word) => word !== '').join(' ')})`;
}
