import { KINDS, type KeptDocument, type Kind, type Status } from '../../shared/documents/document.ts';
import { mustNotBeRead } from '../../shared/documents/archive-readers.ts';
import { mustBeTheSame } from '../../shared/documents/one-time.ts';
import { isFinal } from '../../shared/documents/phase.ts';
import { readDocument } from '../../shared/documents/read-documents.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { InfinispanServer } from '../engines/infinispan/server/infinispan-server.ts';
import { admit, parsed } from './admission.ts';
import { carryOut } from './carry-out.ts';
import { referenceOf } from './document-store.ts';
import type { DocumentPage, Documents, LogPart } from './documents.ts';
import { beingDeleted, documentMissing } from './failures.ts';
import { KeptDocuments } from './kept-documents.ts';
import { clusterNamed, volumeOf } from './places.ts';
import { ENDING } from './run.ts';
import type { DocumentSettings } from './settings.ts';
import { Turns } from './turns.ts';

/** Of documents, in one answer. */
const PAGE_CHARACTERS = 1024 * 1024;

export interface ControllerContext {
  readonly settings: DocumentSettings;
  /** The agent's state directory. */
  readonly state: string;
  readonly log: Logger;
  readonly reach: Reach;
  readonly now: () => Date;
}

/**
 * Keeps the documents of this agent's clusters, and has each carried out once: of a cluster one at a time, in the order in
 * which they were applied.
 */
export class DocumentController implements Documents {
  readonly #context: ControllerContext;
  readonly #kept: KeptDocuments;
  readonly #turns = new Turns();
  readonly #servers = new Map<string, InfinispanServer>();
  #applying: Promise<unknown> = Promise.resolve();

  private constructor(context: ControllerContext, kept: KeptDocuments) {
    this.#context = context;
    this.#kept = kept;
  }

  /** Goes on with what an earlier agent has left. Rejects `agent-state-damaged`. */
  static async open(context: ControllerContext): Promise<DocumentController> {
    const controller = new DocumentController(context, await KeptDocuments.open(context));
    controller.#goOn();
    return controller;
  }

  #goOn(): void {
    const left = this.#kept.all();
    const open = left.filter(({ status }) => !isFinal(status.phase));
    // What runs has the turn already; the others come in the order in which they were applied.
    const order = ({ status, metadata }: KeptDocument): string =>
      `${isWaiting(status) ? 1 : 0} ${metadata.creationTimestamp}`;
    for (const document of open.toSorted((one, other) => (order(one) < order(other) ? -1 : 1)))
      this.#begin(document);
    for (const { kind, metadata } of left.filter((one) => one.metadata.deletionTimestamp !== undefined))
      void this.delete(kind, metadata.name).catch((error: unknown) =>
        this.#context.log.error(
          { event: 'documentRemains', err: error },
          `${kind} ${metadata.name} is not deleted`,
        ),
      );
  }

  /** One at a time: two at once could both find that there is none of this name yet. */
  apply(document: string, backup: string): ReturnType<Documents['apply']> {
    const applied = this.#applying.then(() => this.#apply(document, backup));
    this.#applying = applied.catch(() => undefined);
    return applied;
  }

  async #apply(
    text: string,
    backup: string,
  ): Promise<{ readonly unchanged: boolean; readonly document: string }> {
    const { document } = readDocument(parsed(text), 'the document');
    const reference = referenceOf(document);
    const kept = this.#kept.get(reference);
    if (kept !== undefined) {
      if (kept.metadata.deletionTimestamp !== undefined) throw beingDeleted(kept.kind, kept.metadata.name);
      mustBeTheSame(kept, document);
      return { unchanged: true, document: JSON.stringify(kept) };
    }
    const { settings, now, log } = this.#context;
    const accepted = admit(document, { settings, kept: this.#kept, backup, now: now() });
    await this.#kept.add(accepted);
    await this.#kept
      .say(reference, `${reference} accepted for cluster ${document.spec.cluster}`)
      .catch(() => undefined);
    log.info({ event: 'documentAccepted', document: reference }, 'document accepted');
    this.#begin(accepted);
    return { unchanged: false, document: JSON.stringify(this.#kept.get(reference)) };
  }

  /** Begins it when it is its turn. */
  #begin(document: KeptDocument): void {
    const reference = referenceOf(document);
    const { cluster } = document.spec;
    this.#turns.begin(
      reference,
      cluster,
      (other) => this.#kept.update(reference, { reason: other === null ? undefined : `waits for ${other}` }),
      (signal) => this.#carryOut(document, signal),
    );
  }

  async #carryOut(document: KeptDocument, signal: AbortSignal): Promise<void> {
    const reference = referenceOf(document);
    try {
      const server = this.#server(document.spec.cluster);
      await carryOut(document, { ...this.#context, kept: this.#kept, server }, signal);
    } catch (error) {
      this.#context.log.error({ event: 'documentLeft', err: error }, `${reference} is not carried out`);
      // What it needs is not in the agent's file any more: it is as it was left, and nobody can say how.
      await this.#kept.update(reference, { phase: 'Unknown', reason: (error as Error).message });
    }
  }

  page(after: string): DocumentPage {
    const rest = this.#kept
      .all()
      .map((document) => ({ reference: referenceOf(document), text: JSON.stringify(document) }))
      .filter(({ reference }) => reference > after)
      .sort((one, other) => (one.reference < other.reference ? -1 : 1));
    const documents: string[] = [];
    let characters = 0;
    for (const { text } of rest) {
      characters += text.length;
      if (documents.length > 0 && characters > PAGE_CHARACTERS) break;
      documents.push(text);
    }
    const clusters = Object.keys(this.#context.settings.clusters);
    return { clusters, documents, more: documents.length < rest.length };
  }

  async delete(kind: string, name: string): Promise<void> {
    const document = this.#find(kind, name);
    const reference = referenceOf(document);
    mustNotBeRead(document, this.#kept.all());
    if (document.metadata.deletionTimestamp === undefined) {
      const deletionTimestamp = this.#context.now().toISOString();
      await this.#kept.change(reference, (kept) => ({
        ...kept,
        metadata: { ...kept.metadata, deletionTimestamp },
      }));
    }
    await this.#turns.end(reference, deleted(document));
    // What has failed has left none, and one that lies there is another's.
    const { archive } = this.#kept.get(reference)?.status ?? {};
    if (document.kind === 'Backup' && archive !== undefined)
      await volumeOf(this.#context.settings, document).remove();
    await this.#kept.remove(reference);
    this.#context.log.info({ event: 'documentDeleted', document: reference }, 'document deleted');
  }

  async log(kind: string, name: string, offset: number): Promise<LogPart> {
    const reference = referenceOf(this.#find(kind, name));
    const wasRunning = this.#turns.isRunning(reference);
    const { isLast, ...part } = await this.#kept.logPart(reference, offset);
    return { ...part, ended: isLast && !wasRunning };
  }

  async end(): Promise<void> {
    await this.#turns.endAll(ENDING);
    for (const server of this.#servers.values()) server.close();
  }

  #find(kind: string, name: string): KeptDocument {
    const document = this.#kept.get(`${kind as Kind}/${name}`);
    if (document !== undefined) return document;
    throw documentMissing(KINDS.find((one) => one === kind) ?? kind, name);
  }

  #server(name: string): InfinispanServer {
    const known = this.#servers.get(name);
    if (known !== undefined) return known;
    const { url, container, auth, tls } = clusterNamed(this.#context.settings, name);
    const server = new InfinispanServer({ url, container, auth, tls });
    this.#servers.set(name, server);
    return server;
  }
}

function isWaiting({ phase }: Status): boolean {
  return phase === 'Initializing' || phase === 'Initialized';
}

function deleted({ kind, metadata }: KeptDocument): StillpointError {
  return new StillpointError({
    code: 'document-terminating',
    message: `${kind} ${metadata.name} was deleted before it had ended`,
    hint: 'apply it under a new name',
  });
}
