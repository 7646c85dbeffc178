import { randomUUID } from 'node:crypto';
import {
  DEFAULT_STORAGE,
  KINDS,
  readKept,
  type AppliedDocument,
  type KeptBackup,
  type KeptDocument,
  type Kind,
  type Status,
} from '../../shared/documents/document.ts';
import { mustNotBeRead } from '../../shared/documents/archive-readers.ts';
import { mustBeTheSame } from '../../shared/documents/one-time.ts';
import { isFinal } from '../../shared/documents/phase.ts';
import { quantityOf, readQuantity } from '../../shared/documents/quantity.ts';
import { readDocument } from '../../shared/documents/read-documents.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { InfinispanServer } from '../engines/infinispan/server/infinispan-server.ts';
import { BackupMember } from './backup-member.ts';
import { DocumentStore, referenceOf, type Reference } from './document-store.ts';
import type { DocumentPage, Documents, LogPart } from './documents.ts';
import {
  backupNotReady,
  backupUnknown,
  beingDeleted,
  classUnknown,
  clusterUnknown,
  documentMissing,
  noQuota,
  tooMany,
  wrongService,
} from './failures.ts';
import { DocumentRun, ENDING } from './run.ts';
import {
  DATA_GRID,
  type ClusterSettings,
  type DocumentSettings,
  type MemberSettings,
  type StorageClass,
} from './settings.ts';
import { makeRoom, removeRoom, roomIn, Volume } from './volume.ts';
import { BackupWork, RestoreWork, type Work } from './work.ts';

/** As many as an agent keeps. */
const MOST_DOCUMENTS = 1000;
/** Of documents, in one answer. */
const PAGE_CHARACTERS = 1024 * 1024;

/** One that is not at its end. */
interface Running {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** Of a cluster: who has the turn, or waits for it last, and when nobody before or that one has it any more. */
interface Turn {
  readonly reference: Reference;
  readonly over: Promise<void>;
}

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
  readonly #store: DocumentStore;
  readonly #kept: Map<Reference, KeptDocument>;
  readonly #running = new Map<Reference, Running>();
  readonly #turns = new Map<string, Turn>();
  readonly #servers = new Map<string, InfinispanServer>();
  #applying: Promise<unknown> = Promise.resolve();
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(context: ControllerContext, store: DocumentStore, kept: readonly KeptDocument[]) {
    this.#context = context;
    this.#store = store;
    this.#kept = new Map(kept.map((one) => [referenceOf(one), one]));
  }

  /** Goes on with what an earlier agent has left. Rejects `agent-state-damaged`. */
  static async open(context: ControllerContext): Promise<DocumentController> {
    const store = await DocumentStore.open(context.state);
    const controller = new DocumentController(context, store, await store.all());
    controller.#goOn();
    return controller;
  }

  #goOn(): void {
    const left = [...this.#kept.values()];
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
    backupText: string,
  ): Promise<{ readonly unchanged: boolean; readonly document: string }> {
    const { document } = readDocument(parse(text), 'the document');
    const reference = referenceOf(document);
    const kept = this.#kept.get(reference);
    if (kept !== undefined) {
      if (kept.metadata.deletionTimestamp !== undefined) throw beingDeleted(kept.kind, kept.metadata.name);
      mustBeTheSame(kept, document);
      return { unchanged: true, document: JSON.stringify(kept) };
    }
    if (this.#kept.size >= MOST_DOCUMENTS) throw tooMany(MOST_DOCUMENTS);
    this.#cluster(document.spec.cluster);
    const status: Status =
      document.kind === 'Backup'
        ? this.#newBackup(document)
        : this.#newRestore(document.spec.backup, backupText);
    const accepted = {
      ...document,
      metadata: {
        ...document.metadata,
        uid: randomUUID(),
        creationTimestamp: this.#context.now().toISOString(),
        generation: 1,
      },
      status,
    } as KeptDocument;
    await this.#store.save(accepted);
    this.#kept.set(reference, accepted);
    await this.#say(reference, `${reference} accepted for cluster ${document.spec.cluster}`).catch(
      () => undefined,
    );
    this.#context.log.info({ event: 'documentAccepted', document: reference }, 'document accepted');
    this.#begin(accepted);
    return { unchanged: false, document: JSON.stringify(this.#kept.get(reference)) };
  }

  #newBackup({ metadata, spec }: AppliedDocument & { kind: 'Backup' }): Status {
    const { storageClassName, storage = DEFAULT_STORAGE } = spec.volume ?? {};
    const [name, { quota }] = this.#storageClass(storageClassName);
    const taken = [...this.#kept.values()].reduce(
      (sum, one) =>
        sum +
        (one.kind === 'Backup' && one.status.storageClassName === name && one.status.phase !== 'Failed'
          ? limitOf(one)
          : 0),
      0,
    );
    if (quota !== undefined && taken + (readQuantity(storage) ?? 0) > quota)
      throw noQuota(name, storage, quantityOf(Math.max(0, quota - taken)));
    return { phase: 'Initializing', pvc: metadata.name, storageClassName: name };
  }

  /** Its Backup as this agent keeps it, or as the agent does that made it. */
  #newRestore(name: string, told: string): Status {
    const own = this.#kept.get(`Backup/${name}`);
    const backup = own ?? (told === '' ? null : readKept(parse(told)));
    if (backup?.kind !== 'Backup' || backup.metadata.name !== name) throw backupUnknown(name);
    const { phase, archive, storageClassName } = backup.status;
    if (backup.metadata.deletionTimestamp !== undefined) throw beingDeleted('Backup', name);
    if (phase !== 'Succeeded' || archive === undefined) throw backupNotReady(name, phase);
    this.#storageClass(storageClassName);
    return { phase: 'Initializing', storageClassName, archive };
  }

  /** Begins it when it is its turn. */
  #begin(document: KeptDocument): void {
    const reference = referenceOf(document);
    const { cluster } = document.spec;
    const before = this.#turns.get(cluster) ?? null;
    const abort = new AbortController();
    const done = this.#carryOut(document, before, abort.signal)
      .catch(async (error: unknown) => {
        this.#context.log.error({ event: 'documentLeft', err: error }, `${reference} is not carried out`);
        // What it needs is not in the agent's file any more: it is as it was left, and nobody can say how.
        await this.#update(reference, { phase: 'Unknown', reason: (error as Error).message });
      })
      .finally(() => this.#running.delete(reference));
    const over = Promise.all([before?.over, done]).then(() => {
      if (this.#turns.get(cluster)?.over === over) this.#turns.delete(cluster);
    });
    this.#running.set(reference, { abort, done });
    this.#turns.set(cluster, { reference, over });
  }

  async #carryOut(document: KeptDocument, before: Turn | null, signal: AbortSignal): Promise<void> {
    const reference = referenceOf(document);
    if (before !== null) {
      await this.#update(reference, { reason: `waits for ${before.reference}` });
      await Promise.race([before.over, once(signal)]);
      // Nothing has been begun.
      if (signal.aborted) return;
      await this.#update(reference, { reason: undefined });
    }
    const { uid, name } = document.metadata;
    const { cluster, settings } = this.#memberSettings(document);
    const directory = this.#directoryOf(document);
    const room = roomIn(directory, uid);
    const member = new BackupMember({ uid, name, room, cluster, settings });
    const say = (line: string): Promise<void> => this.#say(reference, line);
    try {
      await new DocumentRun({
        ...this.#context,
        store: this.#store,
        cluster: this.#server(document.spec.cluster, cluster),
        member,
        work: this.#workOf(document, room, say),
        silentMs: settings.silentSeconds * 1000,
        say,
        makeRoom: () => makeRoom(directory, uid),
        clear: () => removeRoom(directory, uid),
        document: () => this.#kept.get(reference) ?? document,
        update: (change) => this.#update(reference, change),
      }).run(signal);
    } finally {
      member.server.close();
    }
  }

  /** What cannot be written is told all the same; the next agent finds out by itself how it ended. */
  async #update(reference: Reference, change: Partial<Status>): Promise<void> {
    try {
      await this.#change(reference, (kept) => ({ ...kept, status: { ...kept.status, ...change } }));
    } catch (error) {
      this.#context.log.error(
        { event: 'documentUnsaved', err: error },
        `the status of ${reference} cannot be written`,
      );
    }
  }

  /** One after the other; told when it is on disk, or cannot be. */
  #change(reference: Reference, change: (kept: KeptDocument) => KeptDocument): Promise<void> {
    const changed = this.#changing.then(async () => {
      const kept = this.#kept.get(reference);
      if (kept === undefined) return;
      const next = change(kept);
      try {
        await this.#store.save(next);
      } finally {
        this.#kept.set(reference, next);
      }
    });
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  #workOf(document: KeptDocument, room: string, say: (line: string) => Promise<void>): Work {
    if (document.kind === 'Backup') return new BackupWork(document, this.#volumeOf(document), say);
    const { backup } = document.spec;
    const archive = new Volume({
      directory: this.#directoryOf(document),
      name: backup,
      storage: '',
      limitBytes: 0,
    }).archive;
    return new RestoreWork(document, { archive, room }, say, () =>
      this.#store.logSince(referenceOf(document), 0),
    );
  }

  #volumeOf(document: KeptBackup): Volume {
    return new Volume({
      directory: this.#directoryOf(document),
      name: document.metadata.name,
      storage: document.spec.volume?.storage ?? DEFAULT_STORAGE,
      limitBytes: limitOf(document),
    });
  }

  page(after: string): DocumentPage {
    const references = [...this.#kept.keys()].sort().filter((reference) => reference > after);
    const documents: string[] = [];
    let characters = 0;
    for (const reference of references) {
      const text = JSON.stringify(this.#kept.get(reference));
      characters += text.length;
      if (documents.length > 0 && characters > PAGE_CHARACTERS) break;
      documents.push(text);
    }
    const clusters = Object.keys(this.#context.settings.clusters);
    return { clusters, documents, more: documents.length < references.length };
  }

  async delete(kind: string, name: string): Promise<void> {
    const document = this.#find(kind, name);
    const reference = referenceOf(document);
    mustNotBeRead(document, [...this.#kept.values()]);
    if (document.metadata.deletionTimestamp === undefined) {
      const deletionTimestamp = this.#context.now().toISOString();
      await this.#change(reference, (kept) => ({
        ...kept,
        metadata: { ...kept.metadata, deletionTimestamp },
      }));
    }
    const running = this.#running.get(reference);
    running?.abort.abort(deleted(document));
    await running?.done;
    // What has failed has left none, and one that lies there is another's.
    const { archive } = this.#kept.get(reference)?.status ?? {};
    if (document.kind === 'Backup' && archive !== undefined) await this.#volumeOf(document).remove();
    await this.#store.remove(reference);
    this.#kept.delete(reference);
    this.#context.log.info({ event: 'documentDeleted', document: reference }, 'document deleted');
  }

  async log(kind: string, name: string, offset: number): Promise<LogPart> {
    const reference = referenceOf(this.#find(kind, name));
    const wasRunning = this.#running.has(reference);
    const { isLast, ...part } = await this.#store.logPart(reference, offset);
    return { ...part, ended: isLast && !wasRunning };
  }

  async end(): Promise<void> {
    for (const { abort } of this.#running.values()) abort.abort(ENDING);
    await Promise.all([...this.#running.values()].map(({ done }) => done));
    for (const server of this.#servers.values()) server.close();
  }

  #find(kind: string, name: string): KeptDocument {
    const document = this.#kept.get(`${kind as Kind}/${name}`);
    if (document !== undefined) return document;
    throw documentMissing(KINDS.find((one) => one === kind) ?? kind, name);
  }

  /** Rejects where no document may be applied to it. */
  #cluster(name: string): ClusterSettings {
    const cluster = this.#context.settings.clusters[name];
    if (cluster === undefined) throw clusterUnknown(name);
    if (cluster.service !== DATA_GRID) throw wrongService(name, cluster.service);
    return cluster;
  }

  #memberSettings(document: KeptDocument): {
    readonly cluster: ClusterSettings;
    readonly settings: MemberSettings;
  } {
    const cluster = this.#cluster(document.spec.cluster);
    if (cluster.member === undefined) throw clusterUnknown(document.spec.cluster);
    return { cluster, settings: cluster.member };
  }

  #server(name: string, settings: ClusterSettings): InfinispanServer {
    const known = this.#servers.get(name);
    if (known !== undefined) return known;
    const { url, container, auth, tls } = settings;
    const server = new InfinispanServer({ url, container, auth, tls });
    this.#servers.set(name, server);
    return server;
  }

  /** The one that is named, or the default, or the only one. */
  #storageClass(name: string | undefined): readonly [string, StorageClass] {
    const all = Object.entries(this.#context.settings.storageClasses);
    const found =
      name === undefined
        ? (all.find(([, one]) => one.default) ?? (all.length === 1 ? all[0] : undefined))
        : all.find(([key]) => key === name);
    if (found !== undefined) return found;
    throw classUnknown(
      name,
      all.map(([key]) => key),
    );
  }

  #directoryOf({ status }: KeptDocument): string {
    return this.#storageClass(status.storageClassName)[1].directory;
  }

  async #say(reference: Reference, line: string): Promise<void> {
    await this.#store.append(reference, `${this.#context.now().toISOString()} INFO  [stillpoint] ${line}\n`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Resolves when the signal comes. */
function once(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function isWaiting({ phase }: Status): boolean {
  return phase === 'Initializing' || phase === 'Initialized';
}

function limitOf({ spec }: KeptBackup): number {
  return readQuantity(spec.volume?.storage ?? DEFAULT_STORAGE) ?? 0;
}

function deleted({ kind, metadata }: KeptDocument): StillpointError {
  return new StillpointError({
    code: 'document-terminating',
    message: `${kind} ${metadata.name} was deleted before it had ended`,
    hint: 'apply it under a new name',
  });
}
