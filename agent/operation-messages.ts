import type { Failure } from '../shared/domain/errors.ts';
import type { Mark } from '../shared/domain/grid.ts';
import type { Suspension, ThawProof } from '../shared/domain/messages.ts';
import type { Purpose } from '../shared/domain/purpose.ts';
import type { Token } from '../shared/domain/token.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { Engine } from './engines/engine.ts';

/** In one member's own log. The first words are what operators and their tools look for: they never change. */
const QUIESCE = 'Backup.ShardedCluster.Quiesce';
const CHECKPOINT = 'Backup.ShardedCluster.JournalCheckpoint';
const RESUME = 'Backup.ShardedCluster.Resume';
const THAW = 'Backup.General.ExternalThaw';

interface MessageContext {
  readonly purpose: Purpose;
  /** Adds one line to the member's log. */
  write(line: string): Promise<void>;
  /** A line could not be written: nothing else comes of that. */
  failed(error: unknown): void;
  /** What time it is for people. */
  time(): Date;
}

/**
 * What a member's own log says of a journal checkpoint, a quiesce and a freeze, in the order in which it came. Of a
 * checkpoint it says nothing. While a member is held for an instant no disk is written to: its lines are kept with their
 * times, and written when it is let go of. A quiesce lasts, and its lines are written when they are true. Nobody waits
 * for any of them.
 */
export class OperationMessages {
  readonly #context: MessageContext;
  #kept: string[] = [];
  #writing: Promise<void> = Promise.resolve();
  #rest: 'none' | 'coming' | 'there' | 'going' = 'none';
  #suspension: 'none' | 'there' | 'going' = 'none';

  constructor(context: MessageContext) {
    this.#context = context;
  }

  /** What it has to say by now is written, or has failed. */
  get written(): Promise<void> {
    return this.#writing;
  }

  /** The write daemon is asked to wait. */
  suspending(): void {
    if (this.#context.purpose.type === 'freeze') this.#suspension = 'there';
  }

  quiescing(): void {
    this.#rest = 'coming';
    this.#say(`${QUIESCE}: Quiescing system`);
  }

  quiesced(token: Token, mark: Mark | null): void {
    this.#rest = 'there';
    this.#say(`${QUIESCE}: System quiesced`);
    if (mark?.journalFile !== null && mark !== null)
      this.#say(`${CHECKPOINT}: Journal file ${mark.journalFile} ends at checkpoint number ${token.counter}`);
  }

  /** What kinds of activity had not come to rest stands in the failure. */
  notQuiesced(failure: Failure): void {
    this.#say(`${QUIESCE}: System not quiesced: ${failure.message}`);
  }

  resuming(): void {
    if (this.#rest === 'none') return;
    this.#rest = 'going';
    this.#say(`${RESUME}: Resuming system`);
  }

  resumed(proof: ThawProof): void {
    if (this.#rest === 'none') return;
    this.#rest = 'none';
    this.#say(`${RESUME}: ${proof.type === 'held' ? 'System resumed' : `Already resumed: ${proof.cause}`}`);
    this.#flush();
  }

  thawing(): void {
    if (this.#suspension === 'none') return;
    this.#suspension = 'going';
    this.#say(`${THAW}: Resuming system`);
  }

  /** `System resumed` confirms that no database file had changed up to then; whatever else is said does not. */
  thawed(suspension: Suspension): void {
    if (this.#suspension === 'none') return;
    this.#suspension = 'none';
    this.#say(`${THAW}: ${suspension.held ? 'System resumed' : `Already resumed`}`);
  }

  /** It was given up, or ended otherwise: nothing of it is left, and nothing that was copied is proven. */
  over(): void {
    if (this.#rest === 'coming' || this.#rest === 'there') this.resuming();
    if (this.#rest === 'going') this.#say(`${RESUME}: System resumed`);
    this.#rest = 'none';
    if (this.#suspension === 'there') this.thawing();
    if (this.#suspension === 'going') this.thawed({ held: false, cause: 'it was given up' });
    this.#flush();
  }

  #say(text: string): void {
    const { purpose, time } = this.#context;
    if (purpose.type === 'checkpoint') return;
    this.#kept.push(`${time().toISOString()} ${text}`);
    if (this.#rest === 'none' || purpose.type === 'quiesce') this.#flush();
  }

  #flush(): void {
    const lines = this.#kept;
    this.#kept = [];
    for (const line of lines)
      this.#writing = this.#writing
        .then(() => this.#context.write(line))
        .catch((error: unknown) => this.#context.failed(error));
  }
}

interface LogOwner {
  readonly name: string;
  /** Without `messages` the agent's log has them. */
  readonly engine: Partial<Pick<Engine, 'messages'>>;
}

/** What an operation says in a member's own log. */
export function messagesOf(
  { name, engine }: LogOwner,
  { purpose, time, log }: Pick<MessageContext, 'purpose' | 'time'> & { log: Pick<Logger, 'info' | 'warn'> },
): OperationMessages {
  return new OperationMessages({
    purpose,
    time,
    write: engine.messages ?? (async (line) => log.info({ event: 'message', member: name }, line)),
    failed: (error) =>
      log.warn({ event: 'messageLost', member: name, err: error }, 'a message was not written'),
  });
}
