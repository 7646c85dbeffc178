import type { AppliedDocument, KeptDocument } from '../../shared/documents/document.ts';
import { isFinal } from '../../shared/documents/phase.ts';
import type { AgentConnection } from '../agents.ts';
import { heeding } from '../cancellation.ts';
import { readAnswer, type DocumentAgents } from './document-agents.ts';
import { after, backupNowhere, clusterNowhere, clusterTwice, notSucceeded } from './failures.ts';

/** What was done for one document. */
export interface Applied {
  readonly document: KeptDocument;
  readonly result: 'created' | 'unchanged';
  /** Of the agent that keeps it. */
  readonly host: string;
}

const LOOK_EVERY_MS = 250;

/**
 * One after the other, in their order. The first that is refused is the failure, which names what was taken before it; what
 * was taken goes on.
 */
export async function applyDocuments(
  agents: DocumentAgents,
  documents: readonly AppliedDocument[],
): Promise<Applied[]> {
  const applied: Applied[] = [];
  for (const document of documents)
    try {
      applied.push(await applyOne(agents, document));
    } catch (error) {
      throw after(
        applied.map((one) => `${one.document.kind} ${one.document.metadata.name}`),
        error,
      );
    }
  return applied;
}

async function applyOne(agents: DocumentAgents, document: AppliedDocument): Promise<Applied> {
  const shelves = await agents.shelves();
  const isSame = (one: KeptDocument): boolean =>
    one.kind === document.kind && one.metadata.name === document.metadata.name;
  const { cluster } = document.spec;
  // Whoever keeps one of this name says whether it is the same; else who has the cluster takes it.
  const keepers = shelves.filter(({ documents }) => documents.some(isSame));
  const takers = keepers.length > 0 ? keepers : shelves.filter(({ clusters }) => clusters.includes(cluster));
  const [taker, other] = takers;
  if (taker === undefined) {
    const known = shelves.flatMap(({ clusters }) => clusters);
    throw clusterNowhere(cluster, [...new Set(known)].sort());
  }
  if (other !== undefined)
    throw clusterTwice(
      cluster,
      takers.map(({ connection }) => connection.host),
    );
  const all = shelves.flatMap(({ documents }) => documents);
  const told = await taker.connection.applyDocument(JSON.stringify(document), backupOf(document, all));
  return {
    document: readAnswer(told.document, taker.connection.host),
    result: told.unchanged ? 'unchanged' : 'created',
    host: taker.connection.host,
  };
}

/** A Restore's, as it is kept; of one that is kept already its agent needs none. */
function backupOf(document: AppliedDocument, all: readonly KeptDocument[]): string {
  if (document.kind === 'Backup') return '';
  const { backup } = document.spec;
  const found = all.find((one) => one.kind === 'Backup' && one.metadata.name === backup);
  if (found !== undefined) return JSON.stringify(found);
  const { name } = document.metadata;
  if (all.some((one) => one.kind === 'Restore' && one.metadata.name === name)) return '';
  throw backupNowhere(backup);
}

/** Resolves when each is Succeeded. Rejects `document-failed` as soon as one is not. */
export async function waitFor(
  agents: DocumentAgents,
  applied: readonly Applied[],
  { signal, tell }: { readonly signal: AbortSignal; readonly tell: (document: KeptDocument) => void },
): Promise<KeptDocument[]> {
  const ended: KeptDocument[] = [];
  for (const { document } of applied) ended.push(await untilFinal(agents, document, signal, tell));
  return ended;
}

async function untilFinal(
  agents: DocumentAgents,
  { kind, metadata }: KeptDocument,
  signal: AbortSignal,
  tell: (document: KeptDocument) => void,
): Promise<KeptDocument> {
  let told = '';
  for (;;) {
    const { document } = await heeding(signal, agents.find(kind, metadata.name));
    const { phase, reason } = document.status;
    const state = `${phase} ${reason ?? ''}`;
    if (state !== told) tell(document);
    told = state;
    if (phase === 'Failed') throw notSucceeded(document);
    if (isFinal(phase)) return document;
    await heeding(signal, pause(LOOK_EVERY_MS));
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The log of a document from its beginning, part by part; with `follow` until nothing is added to it any more. */
export async function* readLog(
  connection: AgentConnection,
  { kind, metadata }: KeptDocument,
  { follow, signal }: { readonly follow: boolean; readonly signal: AbortSignal },
): AsyncGenerator<string> {
  for (let offset = 0; ;) {
    const part = await connection.readDocumentLog(kind, metadata.name, offset);
    if (part.text !== '') yield part.text;
    const isAtEnd = part.nextOffset === offset;
    offset = part.nextOffset;
    if (isAtEnd && (!follow || part.ended)) return;
    if (isAtEnd) await heeding(signal, pause(LOOK_EVERY_MS));
  }
}
