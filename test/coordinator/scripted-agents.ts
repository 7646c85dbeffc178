import { join } from 'node:path';
import type { GridFile } from '../../coordinator/grid-file.ts';
import type { ProgressView } from '../../coordinator/progress.ts';
import type { ImageManifest, ImageSummary, Stamp } from '../../shared/domain/backup-set.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import {
  PROTOCOL_VERSION,
  type AgentRequest,
  type AgentResponse,
  type HeldBy,
  type ImportedMember,
  type RestoreStepResult,
} from '../../shared/domain/wire.ts';
import type { KeptDocument } from '../../shared/documents/document.ts';
import { keptBackup } from '../documents/documents.ts';
import { madeRepository } from '../repository/made.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { serveAgents, type AgentServer, type ServerStream } from '../../shared/rpc/agent-server.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { inPieces, rows } from '../repository/samples.ts';

type Numbered = Extract<AgentRequest, { id: number }>;

/** Agents that say what a test lets them say and remember what they were asked, over the real wire. */
export interface ScriptedAgents {
  readonly gridFile: GridFile;
  readonly repository: Repository;
  /** What describe answers with, by position. */
  hosts: HostDescription[];
  /** Requests of all agents in the order of their coming, but for keepAlive. */
  readonly asked: { readonly host: string; readonly request: Numbered }[];
  /** Throws what an agent is to fail with. */
  onRequest: (host: string, request: Numbered) => void;
  /** What an agent says to a command for a member: any messages, in this order. Nothing by default. */
  onCommand: (host: string, member: string, command: MemberCommand) => Promise<readonly AgentResponse[]>;
  /** What an agent says to a command for a stand-in; null: it says with the claim that it knows none. */
  onRehearsal:
    ((host: string, member: string, command: MemberCommand) => Promise<readonly AgentResponse[]>) | null;
  /** An agent that is asked for this says nothing. */
  silentOn: (host: string, request: Numbered) => boolean;
  /** Agents greet coordinators of other grids too, and say of which they are when they describe themselves. */
  greetsAll: boolean;
  /** How a member's host stands when it is asked for a backup. */
  stampOf: (member: string) => Stamp;
  /** What is in an image. */
  imageOf: (member: string, image: string) => ImageManifest;
  /** What an agent stores of an archive that is imported. */
  importing: (request: Extract<Numbered, { type: 'importArchive' }>) => Promise<ImportedMember>;
  /** What an agent keeps of documents, and the clusters that it has. Nothing by default. */
  keeps: (host: string) => {
    readonly clusters: readonly string[];
    readonly documents: readonly KeptDocument[];
  };
  /** Which job an agent says that it is held by. Nobody by default. */
  heldBy: (host: string) => HeldBy | null;
  /** To the stream that has claimed this host. */
  tell: (host: string, response: AgentResponse) => void;
  /** The streams that have claimed this host end. */
  cut: (host: string) => void;
  /** How often coordinators have said no more than that they live. */
  words: number;
  /** What a process answers when it is asked whether it runs: all of them, or those of these names. */
  running: boolean | readonly string[];
  close(): Promise<void>;
}

export async function scriptedAgents(hosts: readonly HostDescription[]): Promise<ScriptedAgents> {
  const folder = temporaryFolder('scripted-agents');
  const pki = join(folder.path, 'pki');
  const names = hosts.map((_, index) => `127.0.18.${index + 1}`);
  await initializePki(pki, { grid: 'orders' });
  await issueAgentCertificates(pki, names);
  const tls = (name: string): { ca: string; cert: string; key: string } => ({
    ca: join(pki, 'ca.pem'),
    cert: join(pki, `${name}.pem`),
    key: join(pki, `${name}-key.pem`),
  });
  const location = join(folder.path, 'repository');
  const repository = await madeRepository(location);
  const servers: AgentServer[] = [];
  const claimed = new Map<string, ServerStream>();
  for (const [index, name] of names.entries()) {
    servers.push(
      await serveAgents({
        listen: `${name}:0`,
        tls: tls(name),
        onStream: (stream) => void serve(agents, claimed, index, stream).catch(() => undefined),
      }),
    );
  }
  const agents: ScriptedAgents = {
    gridFile: {
      grid: 'orders',
      agents: names.map((name, index) => `${name}:${servers[index]?.port}`),
      repository: location,
      tls: tls('coordinator'),
      leaseSeconds: 10,
    },
    repository,
    hosts: [...hosts],
    asked: [],
    onRequest: () => undefined,
    onCommand: () => Promise.resolve([]),
    onRehearsal: null,
    silentOn: () => false,
    greetsAll: false,
    stampOf: () => ({ epoch: 0, counter: 0, heldBy: null, incarnation: 'i', stoppedAs: null }),
    imageOf: () => {
      throw new Error('this test has no images');
    },
    importing: () => {
      throw new Error('this test has no archives');
    },
    keeps: () => ({ clusters: [], documents: [] }),
    heldBy: () => null,
    tell: (host, response) => claimed.get(host)?.send(response),
    cut: (host) => claimed.get(host)?.close(),
    words: 0,
    running: false,
    async close() {
      await Promise.all(servers.map((server) => server.close()));
      await repository.close();
      folder.remove();
    },
  };
  return agents;
}

/** Stores and commits what a manifest names, so that it can be restored: of each member one file. */
export async function storeManifest(repository: Repository, manifest: GridManifest): Promise<GridManifest> {
  const { grid, checkpoint, token } = manifest;
  const members = await Promise.all(
    manifest.members.map(async (member) => {
      const { name, host, role, copyset, engine, address, primary, traits, assignment, mark } = member;
      const writer = repository.beginMember(grid, checkpoint);
      await writer.file({ path: 'base/rows', mode: 0o600, mtimeMs: 0 }, inPieces(rows(5000, name)));
      const identity = {
        version: '1',
        dataIdentity: role === 'state-keeper' ? 'keepers' : name.slice(0, -1),
        freezeKind: 'fenced' as const,
      };
      const finished = await writer.finish({
        format: 1,
        grid,
        checkpoint,
        token,
        member: { name, host, role, copyset, engine, address, primary, traits, assignment, ...identity },
        mark,
        engineFacts: null,
      });
      return { ...member, ...finished };
    }),
  );
  const stored = { ...manifest, members };
  await repository.commit(stored);
  return stored;
}

async function serve(
  agents: ScriptedAgents,
  claimed: Map<string, ServerStream>,
  index: number,
  stream: ServerStream,
): Promise<void> {
  for await (const request of stream.requests) {
    const host = agents.hosts[index];
    if (host === undefined) throw new Error(`no host ${index}`);
    if (request.type === 'hello') {
      const { grid } = host;
      if (request.grid !== grid && !agents.greetsAll) {
        stream.send({ type: 'rejected', failure: wrongGrid(grid, request.grid) });
        continue;
      }
      const versions = { protocolVersion: PROTOCOL_VERSION, agentVersion: '0' };
      stream.send({ type: 'welcome', ...versions, host: host.host, grid });
    } else if ('id' in request) {
      if (request.type === 'claim') claimed.set(host.host, stream);
      const answered = await answer(agents, host, request);
      if (!agents.silentOn(host.host, request)) stream.send(answered);
    } else if (request.type === 'keepAlive') agents.words += 1;
    else if (request.type === 'member') {
      const said = await agents.onCommand(host.host, request.member, request.command);
      for (const response of said) stream.send(response);
    } else if (request.type === 'rehearseMember') {
      const said = await agents.onRehearsal?.(host.host, request.member, request.command);
      for (const response of said ?? []) stream.send(response);
    }
  }
}

function wrongGrid(ours: string, theirs: string): Failure {
  return { code: 'wrong-grid', message: `of grid ${ours}, not ${theirs}`, hint: 'correct it' };
}

async function answer(
  agents: ScriptedAgents,
  host: HostDescription,
  request: Numbered,
): Promise<AgentResponse> {
  const { id } = request;
  agents.asked.push({ host: host.host, request });
  try {
    agents.onRequest(host.host, request);
  } catch (error) {
    if (error instanceof StillpointError) return { type: 'failed', id, failure: error.failure };
    throw error;
  }
  switch (request.type) {
    case 'claim':
      return {
        type: 'claimed',
        id,
        resumed: false,
        ...(agents.onRehearsal !== null && { rehearses: true as const }),
      };
    case 'describe':
      return { type: 'described', id, host, repositoryId: agents.repository.id };
    case 'diagnose':
      return { type: 'diagnosed', id, findings: [] };
    case 'stampMember':
      return { type: 'stamped', id, stamp: agents.stampOf(request.member) };
    case 'readImage':
      return { type: 'imageRead', id, image: await readImage(agents, request) };
    case 'importArchive':
      return { type: 'archiveImported', id, ...(await agents.importing(request)) };
    case 'readDocuments': {
      const { clusters, documents } = agents.keeps(host.host);
      // One in each answer: whoever asks has to ask for the next.
      const left = documents.filter((one) => `${one.kind}/${one.metadata.name}` > request.after);
      const page = left.slice(0, 1).map((one) => JSON.stringify(one));
      return { type: 'documents', id, clusters, documents: page, more: left.length > 1 };
    }
    case 'applyDocument': {
      const applied = JSON.parse(request.document) as KeptDocument;
      const kept = { ...keptBackup({ phase: 'Initializing' }), ...applied };
      const metadata = { ...keptBackup().metadata, ...applied.metadata };
      return {
        type: 'documentApplied',
        id,
        unchanged: false,
        document: JSON.stringify({ ...kept, metadata }),
      };
    }
    case 'askJob':
      return { type: 'job', id, held: agents.heldBy(host.host), highestEpoch: 0, highestCounter: 0 };
    case 'settle':
      return { type: 'settled', id, warnings: [] };
    case 'restore':
      // A process that was told to stop runs no more.
      if (request.step.type === 'stop') agents.running = false;
      return {
        type: 'restored',
        id,
        result: stepResult(request.step.type, isRunning(agents, request.member)),
      };
    default:
      return { type: 'done', id };
  }
}

async function readImage(
  { repository, imageOf }: ScriptedAgents,
  { set, member, image }: Extract<Numbered, { type: 'readImage' }>,
): Promise<ImageSummary> {
  const manifest = imageOf(member, image);
  const { engine, dataIdentity, entries, firstJournalFile, journalFiles } = manifest;
  const { digest } = await repository.saveImage('orders', set, manifest);
  const files = entries.filter((entry) => entry.kind === 'file');
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  return { digest, engine, dataIdentity, files: files.length, sizeBytes, firstJournalFile, journalFiles };
}

function isRunning({ running }: ScriptedAgents, member: string): boolean {
  return typeof running === 'boolean' ? running : running.includes(member);
}

function stepResult(step: string, running: boolean): RestoreStepResult {
  if (step === 'isRunning') return { type: 'running', running };
  if (step === 'check')
    return {
      type: 'checked',
      provesInPrivate: false,
      warnings: [],
      rooms: [],
      takesQuestions: false,
      addresses: [],
    };
  if (step === 'stage') return { type: 'staged', bytes: 0, followsAs: null };
  if (step === 'open') return { type: 'opened', warnings: [], problems: [] };
  if (step === 'verify' || step === 'prove')
    return { type: 'verified', checks: [], warnings: [], prepared: [], answers: [], addresses: [] };
  return { type: 'done', bytes: 0 };
}

export const quiet: ProgressView = { phase() {}, bytes() {}, note() {}, finish() {} };

/** A cancellation that never comes. */
export const patient = { signal: new AbortController().signal, second: new AbortController().signal };
