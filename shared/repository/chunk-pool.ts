import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { ChunkReference } from '../domain/manifest.ts';

export type ChunkTask =
  | { readonly type: 'encode'; readonly bytes: Uint8Array }
  | { readonly type: 'decode'; readonly bytes: Uint8Array; readonly reference: Omit<ChunkReference, 'key'> };

export type ChunkTaskResult =
  | {
      readonly type: 'encoded';
      readonly digest: string;
      readonly stored: Uint8Array;
      readonly storedDigest: string;
      readonly codec: 'zstd' | 'none';
    }
  | { readonly type: 'decoded'; readonly plain: Uint8Array }
  | { readonly type: 'damaged'; readonly cause: string };

interface Waiting {
  readonly id: number;
  readonly task: ChunkTask;
  resolve(result: ChunkTaskResult): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  readonly busy: Map<number, Waiting>;
}

/** Two tasks lie ready in each thread, so that none waits for the event loop between them. */
const TASKS_PER_THREAD = 2;

/** Worker threads for hashing and compressing. Started with the first task; an idle pool keeps nothing alive. */
export class ChunkPool {
  readonly #size: number;
  readonly #threads: Thread[] = [];
  readonly #queue: Waiting[] = [];
  #nextId = 1;
  #closed = false;

  constructor(threads: number = Math.max(1, Math.min(4, availableParallelism()))) {
    this.#size = threads;
  }

  /** Concurrent tasks that keep all threads busy; callers bound their memory by it. */
  get width(): number {
    return this.#size * TASKS_PER_THREAD;
  }

  /** The task's bytes are handed over: the caller must not use them again unless it passed a copy. */
  run(task: ChunkTask): Promise<ChunkTaskResult> {
    if (this.#closed) return Promise.reject(new Error('the chunk pool is closed'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ id: this.#nextId, task, resolve, reject });
      this.#nextId += 1;
      this.#assign();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#threads.splice(0).map((thread) => thread.worker.terminate()));
  }

  #assign(): void {
    while (this.#queue.length > 0) {
      const thread = this.#leastBusy();
      if (thread === null) return;
      const waiting = this.#queue.shift();
      if (waiting === undefined) return;
      thread.worker.ref();
      thread.busy.set(waiting.id, waiting);
      const { buffer, byteOffset, byteLength } = waiting.task.bytes;
      const whole = byteOffset === 0 && byteLength === buffer.byteLength && buffer instanceof ArrayBuffer;
      thread.worker.postMessage({ id: waiting.id, task: waiting.task }, whole ? [buffer] : []);
    }
  }

  #leastBusy(): Thread | null {
    const free = this.#threads
      .filter((thread) => thread.busy.size < TASKS_PER_THREAD)
      .sort((a, b) => a.busy.size - b.busy.size)[0];
    if (free !== undefined && (free.busy.size === 0 || this.#threads.length === this.#size)) return free;
    if (this.#threads.length < this.#size) return this.#start();
    return free ?? null;
  }

  #start(): Thread {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./chunk-worker.${extension}`, import.meta.url));
    const thread: Thread = { worker, busy: new Map() };
    worker.on('message', ({ id, result, error }: { id: number; result: ChunkTaskResult; error?: string }) => {
      const waiting = thread.busy.get(id);
      thread.busy.delete(id);
      if (thread.busy.size === 0) worker.unref();
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
      this.#assign();
    });
    const fail = (error: Error): void => {
      for (const waiting of thread.busy.values()) waiting.reject(error);
      thread.busy.clear();
      const index = this.#threads.indexOf(thread);
      if (index >= 0) this.#threads.splice(index, 1);
    };
    worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', () => fail(new Error('a chunk thread ended')));
    this.#threads.push(thread);
    return thread;
  }
}
