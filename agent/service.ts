import { assertNever } from '../shared/domain/assert-never.ts';
import { failureOf, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { MemberDescription } from '../shared/domain/grid.ts';
import { PROTOCOL_VERSION, type AgentRequest, type AgentResponse } from '../shared/domain/wire.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { ServerStream } from '../shared/rpc/agent-server.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { AgentFile } from './agent-file.ts';
import { CheckpointOperation, type AgentMember } from './checkpoint-operation.ts';
import { HostClaim, type ClaimedOperation } from './host-claim.ts';
import { RestoreOperation } from './restore-operation.ts';
import { readLocal, salvage } from './salvage.ts';
import { dropLocal, raiseEpoch, settle } from './settle.ts';
import type { StateDirectory } from './state-directory.ts';
import type { UndoKeeper } from './undo-keeper.ts';
import { agentVersion, describeHost } from './describe.ts';

export interface ServiceContext {
  readonly file: AgentFile;
  readonly configuration: string;
  readonly host: string;
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly state: StateDirectory;
  readonly undoKeeper: UndoKeeper;
  readonly repository: () => Promise<Repository>;
  readonly log: Logger;
}

type Answered = Exclude<Extract<AgentRequest, { id: number }>, { type: 'rehearse' }>;

/** What the agent does for coordinators: one Session for each stream, one claim for the host. */
export class Service {
  readonly #context: ServiceContext;
  readonly #claim: HostClaim;
  readonly #sessions = new Set<Session>();

  constructor(context: ServiceContext) {
    this.#context = context;
    this.#claim = new HostClaim(context.log);
  }

  serve(stream: ServerStream): void {
    const session = new Session(this.#context, this.#claim, stream);
    this.#sessions.add(session);
    void session.run().finally(() => this.#sessions.delete(session));
  }

  /** Ends every operation as if its coordinator had gone. Resolves when no member is held any more. */
  async end(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.end()));
    await this.#claim.ended();
  }
}

class Session {
  readonly #context: ServiceContext;
  readonly #claim: HostClaim;
  readonly #stream: ServerStream;
  readonly #log: Logger;
  #holder = 'unknown';
  #greeted = false;
  #operation: ClaimedOperation | null = null;
  #checkpoint: CheckpointOperation | null = null;
  #restore: RestoreOperation | null = null;
  #descriptions: ReadonlyMap<string, MemberDescription> = new Map();

  constructor(context: ServiceContext, claim: HostClaim, stream: ServerStream) {
    this.#context = context;
    this.#claim = claim;
    this.#stream = stream;
    this.#log = context.log.child({ peer: stream.peer.name });
  }

  async run(): Promise<void> {
    this.#log.info({ event: 'streamOpened' }, 'coordinator connected');
    // The stream may break while nothing is read from it: the freeze must not wait for the next read.
    this.#stream.closed.addEventListener('abort', () => void this.end(), { once: true });
    try {
      for await (const request of this.#stream.requests) this.#receive(request);
    } catch (error) {
      this.#log.warn({ event: 'streamBroken', err: error }, 'the stream broke');
      if (error instanceof StillpointError) this.#reject(error.failure);
    }
    await this.end();
  }

  async end(): Promise<void> {
    this.#stream.close();
    await this.#endOperation();
  }

  async #endOperation(): Promise<void> {
    const operation = this.#operation;
    this.#operation = null;
    await operation?.end();
  }

  #receive(request: AgentRequest): void {
    if (request.type === 'hello') return this.#greet(request);
    if (!this.#greeted) return this.#reject(helloMissing());
    this.#operation?.heard();
    switch (request.type) {
      case 'keepAlive':
        this.#checkpoint?.wordReceived();
        return;
      case 'member':
        if (this.#checkpoint === null) {
          this.#send({
            type: 'memberAnswer',
            member: request.member,
            answer: { type: 'refused', failure: notClaimed() },
          });
          return;
        }
        this.#checkpoint.wordReceived();
        this.#checkpoint.receive(request.member, request.command);
        return;
      case 'rehearse':
        this.#send({ type: 'done', id: request.id });
        return;
      case 'describe':
      case 'diagnose':
      case 'claim':
      case 'release':
      case 'settle':
      case 'dropLocal':
      case 'raiseEpoch':
      case 'readLocal':
      case 'salvage':
      case 'restore':
        void this.#answer(request);
        return;
      default:
        assertNever(request);
    }
  }

  #greet(hello: Extract<AgentRequest, { type: 'hello' }>): void {
    this.#holder = hello.holder;
    const { file, host } = this.#context;
    if (hello.protocolVersion !== PROTOCOL_VERSION)
      return this.#reject(versionMismatch(host, hello.protocolVersion));
    if (hello.grid !== file.grid) return this.#reject(wrongGrid(host, file.grid, hello.grid));
    if (this.#stream.peer.grid !== null && this.#stream.peer.grid !== file.grid) {
      return this.#reject(wrongGrid(host, file.grid, this.#stream.peer.grid));
    }
    this.#greeted = true;
    this.#send({ type: 'welcome', protocolVersion: PROTOCOL_VERSION, agentVersion, host, grid: file.grid });
  }

  async #answer(request: Answered): Promise<void> {
    try {
      this.#send(await this.#perform(request));
    } catch (error) {
      const failure = failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
      this.#log.error({ event: 'requestFailed', request: request.type, err: error }, failure.message);
      this.#send({ type: 'failed', id: request.id, failure });
    }
  }

  async #perform(request: Answered): Promise<AgentResponse> {
    const { id } = request;
    switch (request.type) {
      case 'describe': {
        const described = await describeHost(this.#context, this.#claim.frozenMembers());
        this.#descriptions = new Map(described.host.members.map((member) => [member.name, member]));
        return { type: 'described', id, ...described };
      }
      case 'diagnose': {
        const findings = await Promise.all(
          [...this.#context.members.values()].map(async (member) =>
            (await member.engine.diagnose(AbortSignal.timeout(30_000))).map(({ level, failure }) => ({
              level,
              failure: { ...failure, member: member.name, host: this.#context.host },
            })),
          ),
        );
        return { type: 'diagnosed', id, findings: findings.flat() };
      }
      case 'claim':
        await this.#becomeHolder(request);
        return { type: 'done', id };
      case 'release':
        await this.#endOperation();
        return { type: 'done', id };
      case 'settle':
        this.#mustHold();
        return { type: 'settled', id, warnings: await settle(this.#context, request.checkpoint) };
      case 'dropLocal':
        this.#mustHold();
        await dropLocal(this.#context, request.checkpoints);
        return { type: 'done', id };
      case 'readLocal': {
        const found = await readLocal(this.#context, request.checkpoint);
        return { type: 'localCheckpoint', id, ...found };
      }
      case 'salvage':
        this.#mustHold();
        return { type: 'salvaged', id, members: await salvage(this.#context, request) };
      case 'raiseEpoch':
        this.#mustHold();
        await raiseEpoch(this.#context.state, request.epoch);
        return { type: 'done', id };
      case 'restore': {
        if (this.#restore === null) throw new StillpointError(notClaimed());
        return { type: 'restored', id, result: await this.#restore.perform(request.member, request.step) };
      }
      default:
        return assertNever(request);
    }
  }

  #mustHold(): void {
    if (this.#operation === null) throw new StillpointError(notClaimed());
  }

  async #becomeHolder(request: Extract<AgentRequest, { type: 'claim' }>): Promise<void> {
    const { state, repository, members, log, file, host, configuration, undoKeeper } = this.#context;
    const restore =
      request.purpose === 'restore'
        ? new RestoreOperation({
            members,
            state,
            repository,
            log,
            progress: (progress) => this.#send({ type: 'progress', progress }),
          })
        : null;
    const checkpoint =
      request.purpose === 'checkpoint'
        ? new CheckpointOperation({
            id: request.operation,
            grid: file.grid,
            host,
            leaseMs: request.leaseMs,
            configuration,
            members,
            descriptions: { get: (name) => this.#descriptions.get(name) },
            state,
            repository,
            log: log.child({ operation: request.operation }),
            answer: (member, answer) => this.#send({ type: 'memberAnswer', member, answer }),
            progress: (progress) => this.#send({ type: 'progress', progress }),
            undoKeeper,
          })
        : null;
    const operation = await this.#claim.claim(
      { operation: request.operation, holder: this.#holder, leaseMs: request.leaseMs },
      {
        frozenMembers: () => checkpoint?.frozenMembers ?? new Set(),
        end: async () => {
          await checkpoint?.end();
          await restore?.end();
          this.#checkpoint = null;
          this.#restore = null;
        },
      },
    );
    if (this.#stream.closed.aborted) return operation.end();
    this.#operation = operation;
    this.#checkpoint = checkpoint;
    this.#restore = restore;
  }

  #send(response: AgentResponse): void {
    if (!this.#stream.closed.aborted) this.#stream.send(response);
  }

  #reject(failure: Failure): void {
    this.#log.warn({ event: 'rejected', code: failure.code }, failure.message);
    this.#send({ type: 'rejected', failure });
    this.#stream.close();
  }
}

function helloMissing(): Failure {
  return {
    code: 'bad-message',
    message: 'the first request was not hello',
    hint: 'use the stillpoint command',
  };
}

function notClaimed(): Failure {
  return {
    code: 'not-claimed',
    message: 'this stream does not hold the grid',
    hint: 'claim it first; another coordinator may have taken it over',
  };
}

function versionMismatch(host: string, theirs: number): Failure {
  return {
    code: 'protocol-version',
    message: `the agent on ${host} speaks protocol version ${PROTOCOL_VERSION}, the coordinator version ${theirs}`,
    hint: 'install the same version of stillpoint on every host',
    host,
  };
}

function wrongGrid(host: string, ours: string, theirs: string): Failure {
  return {
    code: 'wrong-grid',
    message: `the agent on ${host} belongs to grid ${ours}, the coordinator to ${theirs}`,
    hint: 'look at `grid` in the grid file and in the agent file, and at the certificate of the coordinator',
    host,
  };
}
