import type { AgentEvents } from '../../coordinator/agents.ts';
import type { AgentStream } from '../../coordinator/checkpoint-run.ts';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import type { Connection } from './connection.ts';
import type { SimulatedCoordinator } from './coordinator.ts';

/** A connection as the driver has it. */
export class SimulatedStream implements AgentStream {
  events: AgentEvents = {};
  readonly connection: Connection;
  readonly #coordinator: SimulatedCoordinator;

  constructor(coordinator: SimulatedCoordinator, connection: Connection) {
    this.#coordinator = coordinator;
    this.connection = connection;
  }

  get isClosed(): boolean {
    return !this.connection.isOpenAt('coordinator');
  }

  command(_member: string, command: MemberCommand): void {
    this.#coordinator.sends(this.connection, command);
  }

  lost(): void {
    const message = `lost ${this.connection.agent.name}`;
    this.events.closed?.({ code: 'agent-lost', message, hint: 'none' });
  }

  cut(): void {
    this.close();
    this.lost();
  }

  close(): void {
    this.connection.closeFrom('coordinator');
  }
}
