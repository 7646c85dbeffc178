import { failureOf, type Failure } from '../../shared/domain/errors.ts';
import type { HeldBy } from '../../shared/domain/wire.ts';
import { AgentConnection } from '../agents.ts';
import type { GridFile } from '../grid-file.ts';
import type { HostState } from './let-go-failures.ts';

const CONNECT_MS = 5000;

interface Host {
  readonly address: string;
  connection: AgentConnection | null;
  /** Why it does not answer. */
  failure: Failure | null;
}

/**
 * The agents of a grid, of which some may not answer: whoever has somebody let go asks those that do, and goes on trying
 * the others. Nobody's silence is taken for an answer.
 */
export class AskedHosts {
  readonly #gridFile: GridFile;
  readonly #signal: AbortSignal;
  readonly #hosts: readonly Host[];

  /** `signal` ends the wait for agents that hang. */
  constructor(gridFile: GridFile, signal: AbortSignal) {
    this.#signal = signal;
    this.#gridFile = gridFile;
    this.#hosts = gridFile.agents.map((address) => ({ address, connection: null, failure: null }));
  }

  /** Why some do not answer. */
  get unreached(): Failure[] {
    return this.#hosts.flatMap(({ failure }) => failure ?? []);
  }

  /** What holds each of those that answer. */
  async held(): Promise<(HeldBy | null)[]> {
    return this.#ask((connection) => connection.askJob());
  }

  /** What kept those that answer from doing so; `no-job` where one has no such job. */
  async letGo(operation: string, force: boolean): Promise<(Failure | null)[]> {
    return this.#ask((connection) =>
      connection.letGo(operation, force).then(
        () => null,
        (error: unknown) => failureOf(error, { code: 'agent-failed', hint: "see the agent's log" }),
      ),
    );
  }

  /** The state of every member that stores data, of each host that answers. */
  states(held: HeldBy | null): Promise<HostState[]> {
    return this.#ask(async (connection) => {
      const [job, described] = await Promise.all([connection.askJob(), connection.describe()]);
      const isHeld = held !== null && job?.operation === held.operation;
      const nodes = described.host.members.filter(({ role }) => role === 'node');
      return {
        host: connection.host,
        members: nodes.map(({ name, running, frozen }) => ({
          name,
          state: frozen || isHeld ? 'frozen' : running ? 'running' : 'stopped',
        })),
      };
    });
  }

  close(): void {
    for (const { connection } of this.#hosts) connection?.close();
  }

  async #ask<T>(question: (connection: AgentConnection) => Promise<T>): Promise<T[]> {
    const answers = await Promise.all(
      this.#hosts.map(async (host) => {
        try {
          if (host.connection === null || host.connection.isClosed)
            host.connection = await AgentConnection.open(
              this.#gridFile,
              host.address,
              CONNECT_MS,
              this.#signal,
            );
          const answer = await question(host.connection);
          host.failure = null;
          return [answer];
        } catch (error) {
          host.failure = failureOf(error, {
            code: 'agent-unreachable',
            hint: "start it, or see the agent's log",
          });
          return [];
        }
      }),
    );
    return answers.flat();
  }
}
