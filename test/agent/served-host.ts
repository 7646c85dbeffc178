import type { Documents } from '../../agent/documents/documents.ts';
import type { AgentFile } from '../../agent/agent-file.ts';
import type { ServiceContext } from '../../agent/claimed-work.ts';
import type { Engine } from '../../agent/engines/engine.ts';
import { FreezeLedger } from '../../agent/freeze-ledger.ts';
import { NOBODY_LISTENS } from '../../agent/happenings.ts';
import { Service } from '../../agent/service.ts';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import type { Purpose } from '../../shared/domain/purpose.ts';
import { PROTOCOL_VERSION, type AgentRequest, type AgentResponse } from '../../shared/domain/wire.ts';
import type { ServerStream } from '../../shared/rpc/agent-server.ts';
import { settled, silentLog, type HeldHost } from './held-host.ts';

// The real service of an agent, behind streams that a test writes and reads.

export const HELLO: Extract<AgentRequest, { type: 'hello' }> = {
  type: 'hello',
  protocolVersion: PROTOCOL_VERSION,
  grid: 'orders',
  holder: 'anna',
};
export const CHECKPOINT = '20261120T120000.123Z_00000000_00000007_nightly';
export const PREPARE: Extract<AgentRequest, { type: 'member' }> & {
  readonly command: Extract<MemberCommand, { type: 'prepare' }>;
} = {
  type: 'member',
  member: 'a',
  command: { type: 'prepare', checkpoint: CHECKPOINT, assignment: BY_ITSELF, maintenance: false },
};

export function preparedFor(purpose: Purpose): AgentRequest {
  return { ...PREPARE, command: { ...PREPARE.command, purpose } };
}

export const claim = (operation: string): AgentRequest => ({
  type: 'claim',
  id: 1,
  operation,
  purpose: 'checkpoint',
  leaseMs: 1000,
});

/** What a coordinator has of its stream. */
export class ToldStream implements ServerStream {
  readonly peer: ServerStream['peer'] = { name: 'anna', role: 'coordinator', grid: 'orders' };
  readonly sent: AgentResponse[] = [];
  readonly requests: AsyncIterable<AgentRequest>;
  readonly #closed = new AbortController();
  readonly #waiting: AgentRequest[] = [];
  #wake: () => void = () => undefined;

  constructor() {
    this.requests = this.#read();
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  send(response: AgentResponse): void {
    this.sent.push(response);
  }

  close(): void {
    this.#closed.abort();
    this.#wake();
  }

  async says(...requests: readonly AgentRequest[]): Promise<void> {
    this.#waiting.push(...requests);
    this.#wake();
    await settled();
    await settled();
  }

  /** Described: what a checkpoint needs to know of the members. */
  async holds(operation: string): Promise<void> {
    await this.says(HELLO, { type: 'describe', id: 2 }, claim(operation));
    while (!this.heard.includes('described')) await settled();
  }

  /** The type of each answer, and the code of a failure. */
  get heard(): string[] {
    return this.sent.map((response) => {
      const { type } = response;
      const failure =
        'failure' in response
          ? response.failure
          : type === 'memberAnswer' && 'failure' in response.answer
            ? response.answer.failure
            : null;
      const what = type === 'memberAnswer' ? response.answer.type : type;
      return failure === null ? what : `${what} ${failure.code}`;
    });
  }

  async *#read(): AsyncGenerator<AgentRequest> {
    while (!this.closed.aborted) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** A service with the member `a`. `said`: lines of its own log. `documents`: where it keeps any. */
export function served(
  host: HeldHost,
  said: string[] | null = null,
  documents: Documents | null = null,
): { service: Service; opened(): ToldStream } {
  const described = host.descriptions.get('a');
  const engine = {
    ...host.engine('a'),
    describe: () => Promise.resolve(described),
    messages: said === null ? null : (line: string) => Promise.resolve(void said.push(line)),
  } as unknown as Engine;
  const service = new Service({
    file: {
      grid: 'orders',
      members: [{ name: 'a', role: 'node' }],
      freezeBudget: { leaseSeconds: 5, holdSeconds: 3600 },
      keepFree: { journal: 0, state: 0, repository: 0 },
    } as AgentFile,
    surroundings: host.context.surroundings,
    happenings: NOBODY_LISTENS,
    documents,
    host: 'alpha',
    members: new Map([['a', { name: 'a', engine }]]),
    state: {
      ...host.context.state,
      path: '/',
      restoreRecords: () => Promise.resolve([]),
      lineage: () => Promise.resolve(null),
    } as unknown as ServiceContext['state'],
    undoKeeper: {
      ...host.context.undoKeeper,
      left: () => new Map(),
    } as unknown as ServiceContext['undoKeeper'],
    restoreKeeper: {} as ServiceContext['restoreKeeper'],
    repository: () => Promise.resolve({ id: 'r', freeBytes: () => Promise.resolve(null) }) as never,
    freezeLedger: new FreezeLedger({
      budget: { perHour: 100, totalMs: 1e6 },
      host: 'alpha',
      spent: [],
      save: () => Promise.resolve(),
      wallNow: () => 0,
      monotonicNow: () => host.clock.now(),
    }),
    log: silentLog,
  });
  return {
    service,
    opened: () => {
      const stream = new ToldStream();
      service.serve(stream);
      return stream;
    },
  };
}
