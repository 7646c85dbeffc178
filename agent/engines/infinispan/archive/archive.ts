import { createHash, hash } from 'node:crypto';
import type { Entry } from 'yauzl';
import { namesIn, readProperties } from './properties.ts';
import { entryParts, readCounter, readRecords } from './records.ts';
import { inZip, type ArchiveZip } from './zip.ts';

/*
 * The archive that a server writes of a cluster: a zip with
 *
 *     manifest.properties                          version of the server, names of the containers
 *     containers/<container>/container.properties  the names of all that is in it
 *     containers/<container>/global.xml            the configuration of the server that wrote it
 *     containers/<container>/caches/<cache>/<cache>.xml, .dat
 *     containers/<container>/counters/counters.dat
 *     containers/<container>/templates/<template>.xml, proto-schemas/…, tasks/…
 *
 * It has no checksum but the CRC of each file, and its order is that in which servers answered. So what is known of a
 * cache is how many entries it has and a digest that is the same in any order.
 */

/** What an archive holds, by name. Digests are hexadecimal SHA-256. */
export interface ArchiveContent {
  /** Of the server that wrote it: `16.0.5`. */
  readonly version: string;
  readonly container: string;
  readonly caches: readonly ArchivedCache[];
  readonly counters: readonly ArchivedCounter[];
  readonly templates: readonly ArchivedFile[];
  readonly protoSchemas: readonly ArchivedFile[];
  readonly tasks: readonly ArchivedFile[];
}

export interface ArchivedCache {
  readonly name: string;
  readonly entries: number;
  /** Of the entries as they lie there: with times of creation and last use. */
  readonly sha256: string;
  /** Of keys and values, and of how long each entry lives: the same after a restore. */
  readonly contentSha256: string;
  readonly sizeBytes: number;
  readonly configurationSha256: string;
}

interface ArchivedCounter {
  readonly name: string;
  /** In decimal digits. */
  readonly value: string;
  /** Of name and configuration, without the value. */
  readonly configurationSha256: string;
}

interface ArchivedFile {
  readonly name: string;
  readonly sha256: string;
}

/**
 * Reads every byte of an archive, with memory for one entry at a time. Rejects `infinispan-archive` with the words of the
 * zip where anything in it is damaged or is not as servers write it, and with the signal's reason. `progress`: bytes
 * unpacked.
 */
export function readArchive(
  file: string,
  signal: AbortSignal,
  progress?: (bytesDone: number) => void,
): Promise<ArchiveContent> {
  return inZip(file, { signal, ...(progress !== undefined && { progress }) }, async (zip) => {
    const reading = new Reading(zip);
    for await (const entry of zip.entries()) await reading.take(entry);
    return reading.content();
  });
}

/** The configurations of its caches, as XML, by their names. Rejects as `readArchive`. */
export function readConfigurations(file: string, signal: AbortSignal): Promise<Map<string, string>> {
  return inZip(file, { signal }, async (zip) => {
    const found = new Map<string, string>();
    for await (const entry of zip.entries()) {
      const [, , kind, name] = entry.fileName.split('/');
      if (kind === 'caches' && name !== undefined && entry.fileName.endsWith('.xml'))
        found.set(name, await zip.text(entry));
    }
    return found;
  });
}

/** Hands each entry of a cache out as it lies in an archive. Rejects as `readArchive`. */
export function forEachEntry(
  file: string,
  cache: string,
  signal: AbortSignal,
  take: (record: Buffer) => void,
): Promise<void> {
  return inZip(file, { signal }, async (zip) => {
    for await (const entry of zip.entries()) {
      const [, , kind, name] = entry.fileName.split('/');
      if (kind === 'caches' && name === cache && entry.fileName.endsWith('.dat'))
        for await (const record of readRecords(zip.bytes(entry))) take(record);
    }
  });
}

class Reading {
  readonly #zip: ArchiveZip;
  #version: string | null = null;
  #containers: readonly string[] = [];
  readonly #seen = new Set<string>();
  /** The containers that files lie in. */
  readonly #filled = new Set<string>();
  readonly #listed = new Map<string, readonly string[]>();
  readonly #data = new Map<string, Omit<ArchivedCache, 'name' | 'configurationSha256'>>();
  readonly #configurations = new Map<string, string>();
  readonly #counters: ArchivedCounter[] = [];
  readonly #files = { templates: [], 'proto-schemas': [], tasks: [] } as Record<string, ArchivedFile[]>;

  constructor(zip: ArchiveZip) {
    this.#zip = zip;
  }

  async take(entry: Entry): Promise<void> {
    const path = entry.fileName;
    if (path.endsWith('/')) return;
    if (this.#seen.has(path)) throw new Error(`it has ${path} twice`);
    this.#seen.add(path);
    if (path === 'manifest.properties') return this.#takeManifest(await this.#zip.text(entry));
    const [, container, kind, ...names] = path.split('/');
    if (!path.startsWith('containers/') || container === undefined) return this.#pass(entry);
    this.#filled.add(container);
    const name = names.join('/');
    if (kind === 'container.properties') return this.#takeNames(await this.#zip.text(entry));
    if (kind === 'counters' && name === 'counters.dat') return this.#takeCounters(entry);
    if (kind === 'caches') return this.#takeOfCache(entry, names);
    const files = this.#files[kind ?? ''];
    if (files === undefined) return this.#pass(entry);
    files.push({
      name: kind === 'templates' ? name.replace(/\.xml$/, '') : name,
      sha256: await this.#digest(entry),
    });
  }

  content(): ArchiveContent {
    if (this.#version === null) throw new Error('it has no manifest.properties');
    const [container] = this.#containers;
    if (container === undefined) throw new Error('its manifest names no container');
    const all = new Set([...this.#containers, ...this.#filled]);
    if (all.size > 1) throw new Error(`it has more than one container: ${[...all].join(', ')}`);
    const caches = [...this.#configurations].map(([name, configurationSha256]) => {
      const data = this.#data.get(name);
      if (data === undefined) throw new Error(`it has no entries of cache ${name}`);
      return { name, ...data, configurationSha256 };
    });
    const lost = [...this.#data.keys()].find((name) => !this.#configurations.has(name));
    if (lost !== undefined) throw new Error(`it has no configuration of cache ${lost}`);
    const content = {
      version: this.#version,
      container,
      caches: byName(caches),
      counters: byName(this.#counters),
      templates: byName(this.#files['templates'] ?? []),
      protoSchemas: byName(this.#files['proto-schemas'] ?? []),
      tasks: byName(this.#files['tasks'] ?? []),
    };
    this.#mustBeWhole(content);
    return content;
  }

  /**
   * The archive says itself what is in it: a name without its file is damage, not absence. It lists templates too that
   * every server has, and holds none of them.
   */
  #mustBeWhole({ caches, counters, protoSchemas, tasks }: ArchiveContent): void {
    for (const [kind, found] of Object.entries({ caches, counters, 'proto-schemas': protoSchemas, tasks })) {
      const listed = this.#listed.get(kind) ?? [];
      // Names may hold commas, which the list does not escape: those found are cut at them, too.
      const there = found.flatMap(({ name }) => name.split(','));
      if ([...listed].sort().join(',') !== [...there].sort().join(','))
        throw new Error(`it lists ${kind} ${listed.join(', ')}, and has ${there.join(', ')}`);
    }
  }

  #takeManifest(text: string): void {
    const properties = readProperties(text);
    this.#version = properties.get('version') ?? '';
    this.#containers = namesIn(properties.get('containers'));
  }

  #takeNames(text: string): void {
    for (const [kind, list] of readProperties(text)) this.#listed.set(kind, namesIn(list));
  }

  async #takeOfCache(entry: Entry, names: readonly string[]): Promise<void> {
    const [cache = '', file = ''] = names;
    if (file === `${cache}.xml`) this.#configurations.set(cache, await this.#digest(entry));
    else if (file === `${cache}.dat`) this.#data.set(cache, await this.#entries(entry));
    else await this.#pass(entry);
  }

  async #takeCounters(entry: Entry): Promise<void> {
    for await (const record of readRecords(this.#zip.bytes(entry))) {
      const { name, value, configuration } = readCounter(record);
      this.#counters.push({ name, value, configurationSha256: sha256(configuration).toString('hex') });
    }
  }

  async #entries(entry: Entry): Promise<Omit<ArchivedCache, 'name' | 'configurationSha256'>> {
    const whole = new UnorderedDigest();
    const content = new UnorderedDigest();
    let sizeBytes = 0;
    for await (const record of readRecords(this.#zip.bytes(entry))) {
      sizeBytes += record.byteLength;
      whole.add(record);
      content.add(entryParts(record));
    }
    return {
      entries: whole.count,
      sha256: whole.hex(),
      contentSha256: content.hex(),
      sizeBytes,
    };
  }

  async #digest(entry: Entry): Promise<string> {
    const digest = createHash('sha256');
    for await (const bytes of this.#zip.bytes(entry)) digest.update(bytes);
    return digest.digest('hex');
  }

  /** Nothing is known of it, but that it is undamaged. */
  async #pass(entry: Entry): Promise<void> {
    for await (const bytes of this.#zip.bytes(entry)) void bytes;
  }
}

/**
 * A digest of many entries that is the same in any order: their SHA-256, added up as whole numbers of 256 bits. An entry
 * that is there twice counts twice.
 */
class UnorderedDigest {
  count = 0;
  readonly #sum = new BigUint64Array(4);

  add(bytes: Uint8Array): void {
    this.count += 1;
    const digest = sha256(bytes);
    let carry = 0n;
    for (let word = 0; word < 4; word += 1) {
      const total = (this.#sum[word] ?? 0n) + digest.readBigUInt64LE(word * 8) + carry;
      this.#sum[word] = total;
      carry = total >> 64n;
    }
  }

  hex(): string {
    return Buffer.from(this.#sum.buffer).toString('hex');
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

function byName<T extends { readonly name: string }>(things: readonly T[]): T[] {
  return [...things].sort((a, b) => (a.name < b.name ? -1 : 1));
}
