import type { Warning } from '../../../../shared/domain/warning.ts';
import type { Archives, ReadArchive } from '../../engine.ts';
import { readConfigurations, type ArchiveContent } from '../archive/archive.ts';
import { readBrought } from '../archive/brought.ts';
import { otherContainer } from '../restore/failures.ts';
import { isLater, listed } from '../restore/look.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import type { InfinispanSettings } from '../settings.ts';
import { ARCHIVE_PATH, type ClusterFacts } from './facts.ts';

/** What a server that does not answer may cost. */
const LOOK_MS = 5000;

/** Archives that servers or an operator of Kubernetes made: the same as those that a checkpoint stores. */
export class ClusterArchives implements Archives {
  readonly #settings: InfinispanSettings;

  constructor(settings: InfinispanSettings) {
    this.#settings = settings;
  }

  async read(
    { file, sizeBytes, sha256 }: Parameters<Archives['read']>[0],
    signal: AbortSignal,
    progress: (bytesDone: number) => void,
  ): Promise<ReadArchive> {
    const { name, container } = this.#settings;
    const { content, writtenAt, leftOut } = await readBrought(file, signal, progress);
    if (content.container !== container) throw otherContainer(name, content.container, container);
    const facts: ClusterFacts = {
      kind: 'cluster',
      ...content,
      servers: [],
      archive: { path: ARCHIVE_PATH, sizeBytes, sha256 },
      heldMs: null,
      backupMs: null,
    };
    return {
      version: content.version,
      writtenAt,
      leftOut: leftOut.length === 0 ? null : leftOut.join(', '),
      content: inWords(content),
      engineFacts: facts,
      warnings: [
        ...(await this.#olderServers(content, signal)),
        ...(await this.#emptyReplicated(file, content, signal)),
      ],
    };
  }

  /** It may be for other servers than those that run now, so it is said and not refused. */
  async #olderServers({ version }: ArchiveContent, signal: AbortSignal): Promise<Warning[]> {
    const server = new InfinispanServer(this.#settings);
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]);
      const { version: running } = await server.container(bounded);
      if (!isLater(version, running)) return [];
      return [
        {
          code: 'infinispan-older',
          about: this.#settings.name,
          text: `its servers are of version ${running}, and read no archive of version ${version}`,
          hint: 'restore it onto servers of that release, or of a later one',
        },
      ];
    } catch {
      // A restore looks again.
      return [];
    } finally {
      server.close();
    }
  }

  /**
   * Operators have archives made by a server without capacity, and that one backs no entry of a replicated cache up
   * (16.0). Nothing in the archive tells whether the cache was empty.
   */
  async #emptyReplicated(file: string, { caches }: ArchiveContent, signal: AbortSignal): Promise<Warning[]> {
    const configurations = await readConfigurations(file, signal);
    const empty = caches.filter(
      ({ name, entries }) =>
        entries === 0 && configurations.get(name)?.includes('<replicated-cache') === true,
    );
    if (empty.length === 0) return [];
    return [
      {
        code: 'infinispan-replicated-empty',
        about: this.#settings.name,
        text: `replicated caches without entries in the archive: ${listed(empty)}`,
        hint: 'a server without capacity, as operators start it for a backup, backs up none of theirs: where they were not empty, take another archive, or create a checkpoint',
      },
    ];
  }
}

function inWords({ caches, counters, templates, protoSchemas, tasks }: ArchiveContent): string[] {
  const entries = caches.reduce((sum, cache) => sum + cache.entries, 0);
  return [
    `caches: ${caches.length}, ${entries} entries`,
    `counters: ${counters.length}`,
    `schemas: ${protoSchemas.length}`,
    `templates: ${templates.length}`,
    `tasks: ${tasks.length}`,
  ];
}
