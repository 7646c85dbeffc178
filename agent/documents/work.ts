import { join } from 'node:path';
import type { KeptBackup, KeptRestore } from '../../shared/documents/document.ts';
import { ALL, resourcesInWords, selectedResources } from '../../shared/documents/resources.ts';
import { readArchive, readConfigurations } from '../engines/infinispan/archive/archive.ts';
import type { InfinispanServer, JobState } from '../engines/infinispan/server/infinispan-server.ts';
import type { BackupMember } from './backup-member.ts';
import { archiveMissing } from './failures.ts';
import { mustHaveReplicated, replicatedEntries } from './replicated.ts';
import { copyProven, type ArchiveFacts, type Volume } from './volume.ts';

/** Adds a line to the log of the document. */
export type Say = (line: string) => Promise<void>;

/** What a Backup and a Restore do differently. */
export interface Work {
  readonly what: 'backup' | 'restore';
  /** Before the member is started. Rejects where it cannot be done. */
  prepare(member: BackupMember): Promise<void>;
  /** What is said, and made ready in the cluster, before the member is started. */
  ready(cluster: InfinispanServer, signal: AbortSignal): Promise<void>;
  begin(server: InfinispanServer, signal: AbortSignal): Promise<void>;
  state(server: InfinispanServer, signal: AbortSignal): Promise<JobState>;
  /** After a failure: the server has it no more, and may be asked for it again. */
  forget(server: InfinispanServer, signal: AbortSignal): Promise<void>;
  /** Whether this server works at another of the kind. */
  isBusy(server: InfinispanServer, signal: AbortSignal): Promise<boolean>;
  /** When the server is done. May be called again. Resolves with what the document is told of. */
  complete(
    server: InfinispanServer,
    cluster: InfinispanServer,
    signal: AbortSignal,
  ): Promise<ArchiveFacts | null>;
  /** Where nobody can be asked any more: whether it was done to its end, as is known without the server. */
  wasCompleted(): Promise<{ readonly archive: ArchiveFacts | null } | null>;
  /** After a failure: nothing of it is left. */
  undo(): Promise<void>;
  /** What its log says when it has succeeded. */
  readonly lastWords: string;
}

export class BackupWork implements Work {
  readonly what = 'backup';
  readonly #document: KeptBackup;
  readonly #volume: Volume;
  readonly #say: Say;
  /** Before the backup; null of one that an earlier run of the agent had begun. */
  #replicated: ReadonlyMap<string, number> | null = null;

  constructor(document: KeptBackup, volume: Volume, say: Say) {
    this.#document = document;
    this.#volume = volume;
    this.#say = say;
  }

  get #name(): string {
    return this.#document.metadata.name;
  }

  async prepare(): Promise<void> {
    await this.#volume.prepare();
  }

  async ready(cluster: InfinispanServer, signal: AbortSignal): Promise<void> {
    await this.#say(`what is backed up: ${resourcesInWords(this.#document.spec.resources)}`);
    this.#replicated = await replicatedEntries(cluster, signal);
  }

  async begin(server: InfinispanServer, signal: AbortSignal): Promise<void> {
    await server.startBackup(this.#name, selectedResources(this.#document.spec.resources), signal);
  }

  state(server: InfinispanServer, signal: AbortSignal): Promise<JobState> {
    return server.backupState(this.#name, signal);
  }

  forget(server: InfinispanServer, signal: AbortSignal): Promise<void> {
    return server.deleteBackup(this.#name, signal);
  }

  isBusy(server: InfinispanServer, signal: AbortSignal): Promise<boolean> {
    return isAnyRunning(
      () => server.backups(signal),
      (name) => server.backupState(name, signal),
    );
  }

  /** Every entry of the archive is read before it is at its place. */
  async complete(
    server: InfinispanServer,
    cluster: InfinispanServer,
    signal: AbortSignal,
  ): Promise<ArchiveFacts> {
    return this.#volume.store(
      (file, until) => server.saveBackup(this.#name, file, until),
      async (file) => {
        const { caches, counters, templates, protoSchemas, tasks } = await readArchive(file, signal);
        for (const { name, entries } of caches) await this.#say(`cache ${name}: ${entries} entries`);
        mustHaveReplicated(caches, this.#replicated, await replicatedEntries(cluster, signal));
        await this.#say(
          `${counters.length} counters, ${templates.length} templates, ${protoSchemas.length} schemas, ${tasks.length} tasks`,
        );
      },
      signal,
    );
  }

  async wasCompleted(): Promise<{ readonly archive: ArchiveFacts } | null> {
    const archive = await this.#volume.stored();
    return archive === null ? null : { archive };
  }

  undo(): Promise<void> {
    return this.#volume.remove();
  }

  get lastWords(): string {
    return `ISPN005044: Backup file created '${this.#name}.zip'`;
  }
}

export class RestoreWork implements Work {
  readonly what = 'restore';
  readonly #document: KeptRestore;
  readonly #archive: string;
  readonly #copy: string;
  readonly #say: Say;
  readonly #logged: () => Promise<string>;

  /** `archive`: of its Backup. `room`: of its member. `logged`: all that its member has said since it was begun. */
  constructor(
    document: KeptRestore,
    places: { readonly archive: string; readonly room: string },
    say: Say,
    logged: () => Promise<string>,
  ) {
    this.#document = document;
    this.#archive = places.archive;
    this.#copy = join(places.room, `${document.spec.backup}.zip`);
    this.#say = say;
    this.#logged = logged;
  }

  get #name(): string {
    return this.#document.metadata.name;
  }

  async prepare(member: BackupMember): Promise<void> {
    const { archive } = this.#document.status;
    if (archive === undefined) throw archiveMissing(this.#archive, 'its backup tells no digest');
    await copyProven(this.#archive, this.#copy, archive);
    await member.give(this.#copy);
  }

  /**
   * What the source's notes warn of, by name: what exists keeps its configuration, and loses what is newer. What does not
   * is made by a server of the cluster, before the member is there: where a member without capacity is the first to have a
   * cache, the others wait for it in vain (16.0), and the restore fails.
   */
  async ready(cluster: InfinispanServer, signal: AbortSignal): Promise<void> {
    const { backup, resources } = this.#document.spec;
    await this.#say(`what is restored: ${resourcesInWords(resources)} of backup ${backup}`);
    const [configurations, existing] = await Promise.all([
      readConfigurations(this.#copy, signal),
      cluster.caches(signal),
    ]);
    const selected = selectedResources(resources);
    const isSelected = (name: string): boolean =>
      selected === null || selected.caches?.some((one) => one === ALL || one === name) === true;
    for (const [name, configuration] of configurations) {
      if (!isSelected(name)) continue;
      if (existing.some((one) => one.name === name))
        await this.#say(
          `cache ${name} exists: it keeps its configuration, and entries of the backup overwrite its own, newer ones too`,
        );
      else await this.#create(cluster, name, configuration, signal);
    }
  }

  async #create(
    cluster: InfinispanServer,
    name: string,
    configuration: string,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await cluster.createCache(name, configuration, signal);
      await this.#say(`cache ${name} is created`);
    } catch (error) {
      signal.throwIfAborted();
      // It may need a template of the backup: the server that restores has both.
      await this.#say(
        `cache ${name} is left to the restore: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  async begin(server: InfinispanServer, signal: AbortSignal): Promise<void> {
    const resources = selectedResources(this.#document.spec.resources);
    await server.startRestore(this.#name, { location: this.#copy }, resources, signal);
  }

  state(server: InfinispanServer, signal: AbortSignal): Promise<JobState> {
    return server.restoreState(this.#name, signal);
  }

  forget(server: InfinispanServer, signal: AbortSignal): Promise<void> {
    return server.deleteRestore(this.#name, signal);
  }

  isBusy(server: InfinispanServer, signal: AbortSignal): Promise<boolean> {
    return isAnyRunning(
      () => server.restores(signal),
      (name) => server.restoreState(name, signal),
    );
  }

  complete(): Promise<null> {
    return Promise.resolve(null);
  }

  /** 5045 is the server's word for the beginning of a restore, 5046 for its end. */
  async wasCompleted(): Promise<{ readonly archive: null } | null> {
    const ended = `ISPN005046: Restore '${this.#name}' complete`;
    return (await this.#logged()).includes(ended) ? { archive: null } : null;
  }

  /** What was restored stays: nobody knows what was there before. */
  undo(): Promise<void> {
    return Promise.resolve();
  }

  get lastWords(): string {
    return `ISPN005045: Restore '${this.#document.spec.backup}' complete`;
  }
}

async function isAnyRunning(
  all: () => Promise<readonly string[]>,
  stateOf: (name: string) => Promise<JobState>,
): Promise<boolean> {
  for (const name of await all()) if ((await stateOf(name)) === 'running') return true;
  return false;
}
