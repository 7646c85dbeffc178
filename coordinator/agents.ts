import type { ImageSummary, Stamp } from '../shared/domain/backup-set.ts';
import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import type { MemberAnswer, MemberCommand, MemberProgress } from '../shared/domain/messages.ts';
import {
  PROTOCOL_VERSION,
  type AgentRequest,
  type AgentResponse,
  type HeldBy,
  type ImportedMember,
  type RestoreStep,
  type RestoreStepResult,
  type SalvagedMember,
} from '../shared/domain/wire.ts';
import { connectAgent, type ClientStream } from '../shared/rpc/agent-client.ts';
import type { ProcessTrace } from '../shared/domain/trace.ts';
import type { Warning } from '../shared/domain/warning.ts';
import { machineMs } from '../shared/runtime/clock.ts';
import { heeding, isCancellation } from './cancellation.ts';
import { silent, streamEnded, unanswered, unexpected, withoutTrace } from './agent-failures.ts';
import type { GridFile } from './grid-file.ts';
import { holderName } from './holder-name.ts';
import type { RoundTrip } from './trace/clock-offset.ts';

type Numbered = Extract<AgentRequest, { id: number }>;
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** How long an answer is waited for. */
interface Patience {
  /** Null: as long as the stream lives, which pings prove. The agent reads or writes whole checkpoints meanwhile. */
  readonly withinMs: number | null;
  /** Whether it is given up at the first word of a cancellation: nothing would be left half done. */
  readonly untilCancelled: boolean;
}

const DESCRIBE_MS = 30_000;
const DIAGNOSE_MS = 60_000;
const LOOK_MS = 60_000;
/** An agent refuses a claim after a lease at the latest: until then it waits for what it is aborting. */
const CLAIM_MARGIN_MS = 10_000;
const LONG: Patience = { withinMs: null, untilCancelled: false };
const LOOK: Patience = { withinMs: LOOK_MS, untilCancelled: true };
const GIVEN_UP: Patience = { ...LONG, untilCancelled: true };
const ASK_TIMEOUT_MS = 5000;

/** What a connection tells while an operation is under way. */
export interface AgentEvents {
  memberAnswered?(member: string, answer: MemberAnswer): void;
  progressed?(progress: MemberProgress): void;
  /** Somebody who may has asked the job of this connection to let go. */
  letGoAsked?(holder: string): void;
  closed?(failure: Failure): void;
}

/**
 * One stream to one agent, after hello and welcome. `request` answers a numbered request; member answers and
 * progress come through `events`. When the stream ends, every request under way rejects.
 */
export class AgentConnection {
  readonly address: string;
  readonly host: string;
  /** In milliseconds of the wall clock. */
  readonly certificateExpiresAt: number;
  events: AgentEvents = {};
  /** Told what stand-ins answer. */
  rehearsed: AgentEvents['memberAnswered'] | null = null;
  readonly #stream: ClientStream;
  readonly #waiting = new Map<
    number,
    { resolve(response: AgentResponse): void; reject(error: Error): void }
  >();
  readonly #cancelled: AbortSignal | undefined;
  #nextId = 1;
  #mayHold = false;
  #isTraced = false;
  #rehearses = false;
  #closed: Failure | null = null;

  private constructor(address: string, stream: ClientStream, cancelled: AbortSignal | undefined) {
    this.#cancelled = cancelled;
    this.address = address;
    this.host = hostOf(address);
    this.certificateExpiresAt = stream.expiresAt;
    this.#stream = stream;
  }

  /** `signal` is heard while it connects, and by every request that may be given up half way. */
  static async open(
    gridFile: GridFile,
    address: string,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<AgentConnection> {
    const connecting = connectAgent({ address, tls: gridFile.tls, timeoutMs, ...(signal && { signal }) });
    const stream = await (signal === undefined ? connecting : heeding(signal, connecting)).catch(
      (error: unknown) => {
        // Nobody waits any more for what hangs, say the file server of the certificates: it is closed when it comes.
        void connecting.then(
          (late) => late.close(),
          () => undefined,
        );
        throw error;
      },
    );
    const connection = new AgentConnection(address, stream, signal);
    try {
      await connection.#greet(gridFile.grid, timeoutMs);
    } catch (error) {
      stream.close();
      throw error;
    }
    return connection;
  }

  async #greet(grid: string, timeoutMs: number): Promise<void> {
    const welcomed = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(silent(this.host, timeoutMs)), timeoutMs);
      const settle = (then: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(0);
        then();
      };
      this.#waiting.set(0, {
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(error)),
      });
    });
    void this.#listen();
    this.#stream.send({ type: 'hello', protocolVersion: PROTOCOL_VERSION, grid, holder: holderName() });
    await welcomed;
  }

  async describe(withinMs = DESCRIBE_MS): Promise<{ host: HostDescription; repositoryId: string }> {
    const response = await this.#request({ type: 'describe' }, { withinMs, untilCancelled: true });
    if (response.type !== 'described') throw unexpected(response, this.host);
    return { host: response.host, repositoryId: response.repositoryId };
  }

  async diagnose(): Promise<Extract<AgentResponse, { type: 'diagnosed' }>['findings']> {
    const response = await this.#request(
      { type: 'diagnose' },
      { withinMs: DIAGNOSE_MS, untilCancelled: true },
    );
    if (response.type !== 'diagnosed') throw unexpected(response, this.host);
    return response.findings;
  }

  /**
   * Resolves with whether the agent has kept the work of this operation, whose stream was lost. `trace`: its steps are
   * noted, for `readTrace`.
   */
  async claim(
    operation: string,
    purpose: 'checkpoint' | 'restore',
    leaseMs: number,
    { trace = false }: { trace?: boolean } = {},
  ): Promise<{ resumed: boolean }> {
    this.#mayHold = true;
    const response = await this.#request(
      { type: 'claim', operation, purpose, leaseMs, ...(trace && { trace }) },
      { withinMs: leaseMs + CLAIM_MARGIN_MS, untilCancelled: true },
    );
    if (response.type !== 'claimed') return { resumed: false };
    this.#isTraced = response.traced ?? false;
    this.#rehearses = response.rehearses ?? false;
    return { resumed: response.resumed };
  }

  async release(): Promise<void> {
    if (this.#mayHold) await this.#request({ type: 'release' });
  }

  /** Resolves with what of a committed checkpoint could not be finished on that host, one line each. */
  async settle(checkpoint: string): Promise<readonly Warning[]> {
    const response = await this.#request({ type: 'settle', checkpoint }, GIVEN_UP);
    if (response.type !== 'settled') throw unexpected(response, this.host);
    return response.warnings;
  }

  /** What lies complete of a checkpoint on that host; empty where nothing does. */
  async readLocal(checkpoint: string): Promise<{ gridManifest: string; metadataDigest: string }> {
    const response = await this.#request({ type: 'readLocal', checkpoint }, LOOK);
    if (response.type !== 'localCheckpoint') throw unexpected(response, this.host);
    return response;
  }

  /** Stores that in the repository again; with `metadata` also the members that keep nothing themselves. */
  async salvage(checkpoint: string, metadata: boolean): Promise<readonly SalvagedMember[]> {
    const response = await this.#request({ type: 'salvage', checkpoint, metadata });
    if (response.type !== 'salvaged') throw unexpected(response, this.host);
    return response.members;
  }

  /** Stores an archive that lies in the repository as the state of a member in `checkpoint`. */
  async importArchive(
    asked: Omit<Extract<AgentRequest, { type: 'importArchive' }>, 'type' | 'id'>,
  ): Promise<ImportedMember> {
    const response = await this.#request({ type: 'importArchive', ...asked }, GIVEN_UP);
    if (response.type !== 'archiveImported') throw unexpected(response, this.host);
    return response;
  }

  /** Removes what lies of these checkpoints on that host. The repository is not touched. */
  async dropLocal(checkpoints: readonly string[]): Promise<void> {
    await this.#request({ type: 'dropLocal', checkpoints }, GIVEN_UP);
  }

  /** From then on that host refuses tokens of a lower epoch. */
  async raiseEpoch(epoch: number): Promise<void> {
    await this.#request({ type: 'raiseEpoch', epoch }, { withinMs: LOOK_MS, untilCancelled: false });
  }

  /** From then on the checkpoints of that host's grid are of this lineage. */
  async joinLineage(lineage: string): Promise<void> {
    await this.#request({ type: 'joinLineage', lineage }, { withinMs: LOOK_MS, untilCancelled: false });
  }

  /**
   * Walks the way of the freeze again and again, so that both sides have it compiled when members are held. `heard` is told
   * of each answer that says what the agent's clock showed. Rejects where one is not answered within this time.
   */
  async rehearse(
    rounds: number,
    { heard, withinMs = null }: { heard?: (trip: RoundTrip) => void; withinMs?: number | null } = {},
  ): Promise<void> {
    const patience = { withinMs, untilCancelled: false };
    for (let round = 0; round < rounds && this.#closed === null; round += 1) {
      const sentMs = machineMs();
      const response = await this.#request({ type: 'rehearse' }, patience);
      if (heard === undefined || response.type !== 'done' || response.clockMs === undefined) continue;
      heard({ sentMs, theirMs: response.clockMs, receivedMs: machineMs() });
    }
  }

  /** The steps that the agent has noted for the claim. Rejects `agent-without-trace` where it notes none. */
  async readTrace(): Promise<ProcessTrace> {
    if (!this.#isTraced) throw withoutTrace(this.host);
    const response = await this.#request(
      { type: 'readTrace' },
      { withinMs: ASK_TIMEOUT_MS, untilCancelled: false },
    );
    if (response.type !== 'traced') throw unexpected(response, this.host);
    return response.trace;
  }

  /** Which job holds that host. */
  async askJob(): Promise<HeldBy | null> {
    const response = await this.#request(
      { type: 'askJob' },
      { withinMs: ASK_TIMEOUT_MS, untilCancelled: true },
    );
    if (response.type !== 'job') throw unexpected(response, this.host);
    return response.held;
  }

  /** Resolves when the job was asked; with `force` when no member of that host is held any more. */
  async letGo(operation: string, force: boolean): Promise<void> {
    await this.#request({ type: 'letGo', operation, force }, LOOK);
  }

  /** How that host stands: what holds the member, and the highest number that its agent has seen. */
  async stampMember(member: string): Promise<Stamp> {
    const response = await this.#request({ type: 'stampMember', member }, LOOK);
    if (response.type !== 'stamped') throw unexpected(response, this.host);
    return response.stamp;
  }

  /** Resolves when every byte of the image was read, and its manifest is in the repository. */
  async readImage(set: string, member: string, image: string): Promise<ImageSummary> {
    const response = await this.#request({ type: 'readImage', set, member, image }, GIVEN_UP);
    if (response.type !== 'imageRead') throw unexpected(response, this.host);
    return response.image;
  }

  /** Rejects with what keeps the image from being brought to the mark. */
  async checkImage(asked: Omit<Extract<AgentRequest, { type: 'checkImage' }>, 'type' | 'id'>): Promise<void> {
    await this.#request({ type: 'checkImage', ...asked }, GIVEN_UP);
  }

  /** Resolves when the agent has the document on disk. `backup`: of a Restore, the one that it names. */
  async applyDocument(document: string, backup: string): Promise<{ unchanged: boolean; document: string }> {
    const response = await this.#request({ type: 'applyDocument', document, backup }, LOOK);
    if (response.type !== 'documentApplied') throw unexpected(response, this.host);
    return response;
  }

  /** Those after this one, as many as fit into an answer. */
  async readDocuments(after: string): Promise<Extract<AgentResponse, { type: 'documents' }>> {
    const response = await this.#request({ type: 'readDocuments', after }, LOOK);
    if (response.type !== 'documents') throw unexpected(response, this.host);
    return response;
  }

  /** Resolves when nothing of it is left: its member has ended. */
  async deleteDocument(kind: string, name: string): Promise<void> {
    await this.#request({ type: 'deleteDocument', kind, name }, GIVEN_UP);
  }

  async readDocumentLog(
    kind: string,
    name: string,
    offset: number,
  ): Promise<Extract<AgentResponse, { type: 'documentLog' }>> {
    const response = await this.#request({ type: 'readDocumentLog', kind, name, offset }, LOOK);
    if (response.type !== 'documentLog') throw unexpected(response, this.host);
    return response;
  }

  async restore(member: string, step: RestoreStep): Promise<RestoreStepResult> {
    const response = await this.#request({ type: 'restore', member, step });
    if (response.type !== 'restored') throw unexpected(response, this.host);
    return response.result;
  }

  command(member: string, command: MemberCommand): void {
    this.#stream.send({ type: 'member', member, command });
  }

  /** For a stand-in of the member, which holds nobody. Only where the agent takes it. */
  rehearseMember(member: string, command: MemberCommand): void {
    this.#stream.send({ type: 'rehearseMember', member, command });
  }

  get rehearses(): boolean {
    return this.#rehearses;
  }

  keepAlive(): void {
    this.#stream.send({ type: 'keepAlive' });
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  close(): void {
    this.#stream.close();
  }

  /** It is not believed any more. What waits for it rejects with this, and its agent aborts what it carried. */
  cut(failure: Failure): void {
    this.#becomeClosed(failure);
    this.#stream.close();
  }

  #request(request: WithoutId<Numbered>, patience: Patience = LONG): Promise<AgentResponse> {
    if (this.#closed !== null) return Promise.reject(this.#error(this.#closed));
    const { withinMs, untilCancelled } = patience;
    const cancelled = untilCancelled ? this.#cancelled : undefined;
    if (cancelled?.aborted === true) return Promise.reject(cancelled.reason as Error);
    const id = this.#nextId;
    this.#nextId += 1;
    const answered = new Promise<AgentResponse>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#stream.send({ ...request, id });
    });
    return this.#givenUp(id, answered, cancelled, withinMs, request.type);
  }

  async #givenUp(
    id: number,
    answered: Promise<AgentResponse>,
    cancelled: AbortSignal | undefined,
    withinMs: number | null,
    what: string,
  ): Promise<AgentResponse> {
    const give = (error: Error): void => {
      this.#waiting.get(id)?.reject(error);
      this.#waiting.delete(id);
    };
    const interrupt = (): void => give(cancelled?.reason as Error);
    cancelled?.addEventListener('abort', interrupt, { once: true });
    const timer =
      withinMs === null ? null : setTimeout(() => give(unanswered(this.host, what, withinMs)), withinMs);
    try {
      return await answered;
    } finally {
      if (timer !== null) clearTimeout(timer);
      cancelled?.removeEventListener('abort', interrupt);
    }
  }

  async #listen(): Promise<void> {
    try {
      for await (const response of this.#stream.responses) this.#receive(response);
    } catch (error) {
      // What is not understood ends the connection: the agent would be waited for in vain. Any other reason is what
      // `closed` tells below.
      if (error instanceof StillpointError) {
        this.#becomeClosed(error.failure);
        this.#stream.close();
      }
    }
    this.#becomeClosed((await this.#stream.closed) ?? streamEnded(this.host));
  }

  #receive(response: AgentResponse): void {
    switch (response.type) {
      case 'memberAnswer':
        this.events.memberAnswered?.(response.member, response.answer);
        return;
      case 'rehearsed':
        this.rehearsed?.(response.member, response.answer);
        return;
      case 'progress':
        this.events.progressed?.(response.progress);
        return;
      case 'letGoAsked':
        this.events.letGoAsked?.(response.holder);
        return;
      case 'rejected':
        return this.cut(response.failure);
      case 'welcome':
        this.#settle(0, response);
        return;
      default:
        this.#settle(response.id, response);
    }
  }

  #settle(id: number, response: AgentResponse): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (response.type === 'failed') waiting?.reject(this.#error(response.failure));
    else waiting?.resolve(response);
  }

  #becomeClosed(failure: Failure): void {
    if (this.#closed !== null) return;
    this.#closed = failure;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#error(failure));
    this.#waiting.clear();
    this.events.closed?.({ ...failure, host: this.host });
  }

  #error(failure: Failure): StillpointError {
    return new StillpointError({ host: this.host, ...failure }, EXIT.refused);
  }
}

/** Opens every agent of the grid, or none: the first that fails closes the others and is the failure. */
export async function openAgents(
  gridFile: GridFile,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<AgentConnection[]> {
  const opened = await Promise.allSettled(
    gridFile.agents.map((address) => AgentConnection.open(gridFile, address, timeoutMs, signal)),
  );
  const failed = opened.find((result) => result.status === 'rejected');
  const connections = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (failed === undefined) return connections;
  for (const connection of connections) connection.close();
  throw refused(failed.reason);
}

/** Every host as its agent describes it; all must answer. */
export async function askHosts(gridFile: GridFile, signal: AbortSignal): Promise<HostDescription[]> {
  const connections = await openAgents(gridFile, ASK_TIMEOUT_MS, signal);
  try {
    const described = await Promise.all(connections.map((connection) => connection.describe()));
    return described.map(({ host }) => host);
  } finally {
    for (const connection of connections) connection.close();
  }
}

export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

/** The same failure, as one of preflight: nothing was touched. */
export function refused(error: unknown): StillpointError {
  if (!(error instanceof StillpointError)) throw error;
  // Who interrupts it is told so, whatever it was at.
  if (isCancellation(error)) return error;
  return new StillpointError({ phase: 'preflight', ...error.failure }, EXIT.refused, { cause: error });
}

/** For `catch`: rejects with the failure as one of preflight. */
export function throwRefused(error: unknown): never {
  throw refused(error);
}
