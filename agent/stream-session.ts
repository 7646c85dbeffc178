import { assertNever } from '../shared/domain/assert-never.ts';
import type { ImageSummary } from '../shared/domain/backup-set.ts';
import { EXIT, type Failure, failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { MemberDescription } from '../shared/domain/grid.ts';
import { type AgentRequest, type AgentResponse, PROTOCOL_VERSION } from '../shared/domain/wire.ts';
import type { ProcessTrace } from '../shared/domain/trace.ts';
import type { ServerStream } from '../shared/rpc/agent-server.ts';
import { machineMs } from '../shared/runtime/clock.ts';
import type { Logger } from '../shared/runtime/log.ts';
import { leaseRefusal, type Listener } from './checkpoint-operation.ts';
import { stampOf, type ImageReader } from './backups.ts';
import { beginWork, type ClaimRequest, type ServiceContext, type Work } from './claimed-work.ts';
import type { Documents } from './documents/documents.ts';
import { agentVersion, type describeHost, type diagnoseHost } from './describe.ts';
import type { ClaimedOperation, HostClaim } from './host-claim.ts';
import { jobOf, letGo } from './jobs.ts';
import { checkRequest } from './request-check.ts';
import { readLocal, salvage } from './salvage.ts';
import { dropLocal, raiseEpoch, settle } from './settle.ts';

/** What was ended is no error, and needs no stack. */
const ENDED_CODES: ReadonlySet<string> = new Set(['restore-taken-back', 'image-given-up', 'import-given-up']);

type Answered = Exclude<Extract<AgentRequest, { id: number }>, { type: 'rehearse' }>;

/** A stream that has not said hello by then is ended. */
const HELLO_MS = 10_000;
/** Requests of one stream under way at once, beyond one for each member; a coordinator needs about three. */
const REQUESTS_AT_ONCE = 16;

/** What opens connections to every member: at most one of each at a time, however many ask. */
export interface Looks {
  describe(): ReturnType<typeof describeHost>;
  diagnose(): ReturnType<typeof diagnoseHost>;
  readonly images: Pick<ImageReader, 'read' | 'check'>;
}

/** One coordinator's stream, from its hello to its end: what is said on it, and what it has claimed the host for. */
export class StreamSession {
  readonly #context: ServiceContext;
  readonly #claim: HostClaim<Work>;
  readonly #looks: Looks;
  readonly #stream: ServerStream;
  readonly #log: Logger;
  #holder = 'unknown';
  #greeted = false;
  #operation: ClaimedOperation<Work> | null = null;
  #descriptions: ReadonlyMap<string, MemberDescription> = new Map();
  #underWay = 0;

  constructor(context: ServiceContext, claim: HostClaim<Work>, looks: Looks, stream: ServerStream) {
    this.#context = context;
    this.#claim = claim;
    this.#looks = looks;
    this.#stream = stream;
    this.#log = context.log.child({ peer: stream.peer.name });
  }

  async run(): Promise<void> {
    this.#log.info({ event: 'streamOpened' }, 'coordinator connected');
    // The stream may break while nothing is read from it: the freeze must not wait for the next read.
    this.#stream.closed.addEventListener('abort', () => void this.end(), { once: true });
    const { clock } = this.#context.surroundings;
    const silent = clock.alarm(() => {
      if (!this.#greeted && !this.#stream.closed.aborted) this.#reject(helloMissing());
    });
    silent.set(clock.now() + HELLO_MS);
    try {
      // What comes after the end is read, so that the other side can see the end, and not heard.
      for await (const request of this.#stream.requests)
        if (!this.#stream.closed.aborted) this.#receive(request);
    } catch (error) {
      this.#log.warn({ event: 'streamBroken', err: error }, 'the stream broke');
      if (error instanceof StillpointError) this.#reject(error.failure);
    }
    silent.set(null);
    await this.end();
  }

  /** What was prepared and never armed waits for a new stream; all else ends with this one. */
  async end(): Promise<void> {
    this.#stream.close();
    const operation = this.#operation;
    this.#operation = null;
    await operation?.streamClosed();
  }

  async #endOperation(): Promise<void> {
    const operation = this.#operation;
    this.#operation = null;
    await operation?.end();
  }

  #receive(request: AgentRequest): void {
    if (request.type === 'member')
      this.#operation?.work?.checkpoint?.received(request.member, request.command);
    try {
      checkRequest(request);
    } catch (error) {
      return this.#reject(failureOf(error, badRequest));
    }
    if (request.type === 'hello') return this.#greet(request);
    if (!this.#greeted) return this.#reject(helloMissing());
    this.#operation?.messageReceived();
    switch (request.type) {
      case 'keepAlive':
        this.#operation?.work?.checkpoint?.messageReceived();
        return;
      case 'member': {
        const checkpoint = this.#operation?.work?.checkpoint ?? null;
        if (checkpoint === null) {
          this.#send({
            type: 'memberAnswer',
            member: request.member,
            answer: { type: 'refused', failure: notClaimed() },
          });
          return;
        }
        checkpoint.messageReceived();
        checkpoint.receive(request.member, request.command);
        return;
      }
      case 'rehearseMember':
        this.#operation?.work?.checkpoint?.rehearse(request.member, request.command);
        return;
      case 'rehearse':
        this.#send({ type: 'done', id: request.id, clockMs: machineMs() });
        return;
      case 'describe':
      case 'diagnose':
      case 'claim':
      case 'release':
      case 'settle':
      case 'dropLocal':
      case 'raiseEpoch':
      case 'joinLineage':
      case 'readLocal':
      case 'salvage':
      case 'restore':
      case 'readTrace':
      case 'askJob':
      case 'letGo':
      case 'stampMember':
      case 'readImage':
      case 'checkImage':
      case 'applyDocument':
      case 'readDocuments':
      case 'deleteDocument':
      case 'readDocumentLog':
      case 'importArchive':
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
    const limit = REQUESTS_AT_ONCE + this.#context.members.size;
    if (this.#underWay >= limit) {
      this.#send({ type: 'failed', id: request.id, failure: tooManyRequests(limit) });
      return;
    }
    this.#underWay += 1;
    try {
      this.#send(await this.#perform(request));
    } catch (error) {
      const failure = failureOf(error, {
        code: 'agent-failed',
        hint: 'journalctl -u stillpoint-agent says why; then ask again',
      });
      const about = { event: 'requestFailed', request: request.type };
      if (ENDED_CODES.has(failure.code)) this.#log.info({ ...about, code: failure.code }, failure.message);
      else this.#log.error({ ...about, err: error }, failure.message);
      this.#send({ type: 'failed', id: request.id, failure });
    } finally {
      this.#underWay -= 1;
    }
  }

  async #perform(request: Answered): Promise<AgentResponse> {
    const { id } = request;
    switch (request.type) {
      case 'describe': {
        const described = await this.#looks.describe();
        this.#descriptions = new Map(described.host.members.map((member) => [member.name, member]));
        return { type: 'described', id, ...described };
      }
      case 'diagnose':
        return { type: 'diagnosed', id, findings: await this.#looks.diagnose() };
      case 'claim':
        return { type: 'claimed', id, ...(await this.#becomeHolder(request)) };
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
      case 'joinLineage':
        this.#mustHold();
        await this.#context.state.saveLineage(request.lineage);
        return { type: 'done', id };
      case 'readTrace':
        return { type: 'traced', id, trace: this.#readTrace() };
      case 'askJob':
        return { type: 'job', id, ...jobOf(this.#claim, this.#context.state) };
      case 'letGo':
        await letGo(this.#context, this.#claim, { ...request, holder: this.#holder });
        return { type: 'done', id };
      case 'stampMember':
        return { type: 'stamped', id, stamp: await stampOf(this.#context, this.#claim, request.member) };
      case 'readImage':
        return { type: 'imageRead', id, image: await this.#readImage(request) };
      case 'checkImage':
        await this.#looks.images.check(request, this.#stream.closed);
        return { type: 'done', id };
      case 'applyDocument': {
        const applied = await this.#documents.apply(request.document, request.backup);
        return { type: 'documentApplied', id, ...applied };
      }
      case 'readDocuments':
        return { type: 'documents', id, ...(this.#context.documents?.page(request.after) ?? NO_DOCUMENTS) };
      case 'deleteDocument':
        await this.#documents.delete(request.kind, request.name);
        return { type: 'done', id };
      case 'readDocumentLog': {
        const part = await this.#documents.log(request.kind, request.name, request.offset);
        return { type: 'documentLog', id, ...part };
      }
      case 'importArchive': {
        const imports = this.#operation?.work?.imports ?? null;
        if (imports === null) throw new StillpointError(notClaimed());
        return { type: 'archiveImported', id, ...(await imports.perform(request)) };
      }
      case 'restore': {
        const restore = this.#operation?.work?.restore ?? null;
        if (restore === null) throw new StillpointError(notClaimed());
        return { type: 'restored', id, result: await restore.perform(request.member, request.step) };
      }
      default:
        return assertNever(request);
    }
  }

  #readImage(request: Extract<AgentRequest, { type: 'readImage' }>): Promise<ImageSummary> {
    const { member } = request;
    return this.#looks.images.read(request, this.#stream.closed, (bytesDone) =>
      this.#send({
        type: 'progress',
        progress: { member, phase: 'image', bytesDone, bytesTotal: 0, waitsFor: '' },
      }),
    );
  }

  get #documents(): Documents {
    const { documents, host } = this.#context;
    if (documents === null) throw new StillpointError(noDocuments(host), EXIT.refused);
    return documents;
  }

  #mustHold(): void {
    if (this.#operation === null) throw new StillpointError(notClaimed());
  }

  #readTrace(): ProcessTrace {
    const tracer = this.#operation?.work?.checkpoint?.tracer ?? null;
    if (tracer === null) throw new StillpointError(notClaimed());
    return tracer.read();
  }

  /** `resumed`: the work of an earlier stream of this operation goes on. */
  async #becomeHolder(request: ClaimRequest): Promise<{ resumed: boolean; rehearses: true; traced?: true }> {
    const { file } = this.#context;
    const refusal = leaseRefusal(request.leaseMs, file.freezeBudget.leaseSeconds * 1000);
    if (refusal !== null) throw new StillpointError(refusal, EXIT.refused);
    const listener: Listener = {
      answer: (member, answer) => this.#send({ type: 'memberAnswer', member, answer }),
      rehearsed: (member, answer) => this.#send({ type: 'rehearsed', member, answer }),
      progress: (progress) => this.#send({ type: 'progress', progress }),
      letGoAsked: (holder) => this.#send({ type: 'letGoAsked', holder }),
    };
    const { operation: id, leaseMs } = request;
    const operation = await this.#claim.claim({ operation: id, holder: this.#holder, leaseMs }, (ended) =>
      beginWork(this.#context, request, {
        listener,
        ended,
        descriptions: { get: (name) => this.#descriptions.get(name) },
      }),
    );
    if (operation.resumed) operation.work?.checkpoint?.resume(listener);
    const isTraced = (operation.work?.checkpoint?.tracer ?? null) !== null;
    const claimed = {
      resumed: operation.resumed,
      rehearses: true as const,
      ...(isTraced && { traced: true as const }),
    };
    if (this.#stream.closed.aborted) await operation.streamClosed();
    else this.#operation = operation;
    return claimed;
  }

  #send(response: AgentResponse): void {
    const code = failureCodeOf(response);
    if (code !== null) this.#context.happenings.failed(code);
    if (!this.#stream.closed.aborted) this.#stream.send(response);
  }

  #reject(failure: Failure): void {
    this.#log.warn({ event: 'rejected', code: failure.code }, failure.message);
    this.#send({ type: 'rejected', failure });
    this.#stream.close();
  }
}

/** Null where it tells of no failure. */
function failureCodeOf(response: AgentResponse): string | null {
  if (response.type === 'failed' || response.type === 'rejected') return response.failure.code;
  if (response.type !== 'memberAnswer') return null;
  const { answer } = response;
  return 'failure' in answer ? (answer.failure?.code ?? null) : null;
}

const badRequest = { code: 'bad-message', hint: 'use the stillpoint command' };

function helloMissing(): Failure {
  return {
    code: 'bad-message',
    message: 'the first request was not hello, or none came',
    hint: 'use the stillpoint command',
  };
}

function tooManyRequests(limit: number): Failure {
  return {
    code: 'too-many-requests',
    message: `more than ${limit} requests of this stream are under way`,
    hint: 'wait for answers: the stillpoint command does',
  };
}

const NO_DOCUMENTS = { clusters: [], documents: [], more: false } as const;

function noDocuments(host: string): Failure {
  return {
    code: 'no-documents',
    message: `the agent on ${host} keeps no documents`,
    hint: "write documents with its clusters into the agent's file: docs/documents.md",
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
    hint: `let grid in the grid file and in the agent file on ${host} be the same; where they are, the certificate of the coordinator is another grid's: tls in the grid file`,
    host,
  };
}
