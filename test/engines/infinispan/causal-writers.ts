import { fromBufferPromise } from 'yauzl';
import { readRecords } from '../../../agent/engines/infinispan/archive/records.ts';
import { put } from './clients.ts';

/**
 * Clients whose acts have causes: each writes on one cache through one server and, after that was acknowledged, on the
 * next through the next. What is refused it tries again until it is let through.
 */
export class CausalWriters {
  readonly #servers: readonly string[];
  readonly #caches: readonly string[];
  readonly #writing: readonly Promise<void>[];
  /** By writer: how many of its writes were acknowledged. */
  readonly #acknowledged: number[];
  #isStopped = false;
  refused = 0;

  constructor(servers: readonly string[], caches: readonly string[], writers: number) {
    this.#servers = servers;
    this.#caches = caches;
    this.#acknowledged = Array.from({ length: writers }, () => 0);
    this.#writing = this.#acknowledged.map((_, writer) => this.#write(writer));
  }

  get acknowledged(): readonly number[] {
    return [...this.#acknowledged];
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#writing);
  }

  async #write(writer: number): Promise<void> {
    for (let number = 0; !this.#isStopped;) {
      const server = this.#servers[(writer + number) % this.#servers.length] ?? '';
      const cache = this.#caches[number % this.#caches.length] ?? '';
      const status = await put(server, cache, `w${writer}.${number}.`, 'x'.repeat(100));
      if (status === 503) this.refused += 1;
      else if (status !== 204) throw new Error(`a write was answered with ${status}`);
      else {
        number += 1;
        this.#acknowledged[writer] = number;
      }
    }
  }
}

/** By writer: the numbers of its writes that an archive has, in order. */
export async function writesIn(archive: Buffer, writers: number): Promise<number[][]> {
  const zip = await fromBufferPromise(archive, {});
  const found: number[][] = Array.from({ length: writers }, () => []);
  for await (const entry of zip.eachEntry()) {
    if (!entry.fileName.endsWith('.dat')) continue;
    for await (const record of readRecords(await zip.openReadStreamPromise(entry))) {
      const [, writer, number] = /w(\d+)\.(\d+)\./.exec(record.toString('latin1')) ?? [];
      if (writer !== undefined) found[Number(writer)]?.push(Number(number));
    }
  }
  return found.map((numbers) => numbers.toSorted((a, b) => a - b));
}
