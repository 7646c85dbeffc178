import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { ChunkTask, ChunkTaskResult, ResultsOf } from './chunk-tasks.ts';
import { performTask } from './chunk-work.ts';

interface QueuedTask {
  readonly id: number;
  readonly task: ChunkTask;
  /** Of its bytes, which are moved when a thread gets it. */
  readonly sizeBytes: number;
  resolve(result: ChunkTaskResult): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  readonly busy: Map<number, QueuedTask>;
}

type Answer = { id: number; result: ChunkTaskResult } | { id: number; error: string };

/** Two tasks lie ready in each thread, so that none waits for the event loop between them. */
const TASKS_PER_THREAD = 2;
const MOST_THREADS = 8;
/** One more thread is started where so much is asked of each that runs: its start takes as long as that. */
const WORTH_A_THREAD_BYTES = 2 * 1024 * 1024;
/** What is no larger is done by whoever asks: handing it to a thread and back takes that one longer than the work. */
const SMALL_BYTES = 32 * 1024;
/** Long enough to outlast the pauses of one operation; an idle agent then has no threads. */
const IDLE_MS = 10_000;

/**
 * Worker threads for hashing and compressing. Started with the first task, ended when nothing was asked for
 * a while; they keep no process alive that has nothing else to do. Callers bound what they ask at once.
 * With `threads: 0` there are none, and whoever asks does the work itself.
 */
export class ChunkPool {
  readonly #size: number;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  readonly #threads: Thread[] = [];
  readonly #queue: QueuedTask[] = [];
  #nextId = 1;
  #closed = false;
  #idling: NodeJS.Timeout | null = null;

  constructor(options: { threads?: number | undefined; idleMs?: number; onIdle?: () => void } = {}) {
    this.#size = options.threads ?? Math.min(MOST_THREADS, availableParallelism());
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#onIdle = options.onIdle ?? (() => undefined);
  }

  get threadCount(): number {
    return this.#threads.length;
  }

  /** The task's bytes are handed over: the caller must not use them again. */
  run<T extends ChunkTask['type']>(task: Extract<ChunkTask, { type: T }>): Promise<ResultsOf[T]> {
    if (this.#closed) return Promise.reject(closed());
    const sizeBytes = bytesOf(task).byteLength;
    if (this.#size === 0 || sizeBytes <= SMALL_BYTES) return performHere(task);
    if (this.#idling !== null) clearTimeout(this.#idling);
    this.#idling = null;
    return new Promise<ChunkTaskResult>((resolve, reject) => {
      this.#queue.push({ id: this.#nextId, task, sizeBytes, resolve, reject });
      this.#nextId += 1;
      this.#assign();
    }) as Promise<ResultsOf[T]>;
  }

  /** What was asked and not answered is rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#idling !== null) clearTimeout(this.#idling);
    for (const waiting of this.#queue.splice(0)) waiting.reject(closed());
    await this.#endThreads();
  }

  async #endThreads(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.worker.terminate()));
  }

  #assign(): void {
    while (this.#queue.length > 0) {
      const thread = this.#leastBusy();
      const waiting = thread === null ? undefined : this.#queue.shift();
      if (thread === null || waiting === undefined) return;
      thread.busy.set(waiting.id, waiting);
      thread.worker.ref();
      const { buffer, byteLength } = bytesOf(waiting.task);
      // A part of a larger buffer cannot be moved without its neighbours; it is copied.
      const transfer = byteLength === buffer.byteLength ? [buffer] : [];
      thread.worker.postMessage({ id: waiting.id, task: waiting.task }, transfer);
    }
  }

  #leastBusy(): Thread | null {
    let best: Thread | null = null;
    for (const thread of this.#threads) {
      if (best === null || thread.busy.size < best.busy.size) best = thread;
    }
    if (best !== null && best.busy.size === 0) return best;
    if (this.#threads.length < this.#size && this.#isWorthAThread()) return this.#start();
    return best !== null && best.busy.size < TASKS_PER_THREAD ? best : null;
  }

  #isWorthAThread(): boolean {
    let asked = 0;
    for (const { sizeBytes } of this.#queue) asked += sizeBytes;
    for (const { busy } of this.#threads) for (const { sizeBytes } of busy.values()) asked += sizeBytes;
    return asked > this.#threads.length * WORTH_A_THREAD_BYTES;
  }

  #start(): Thread {
    // Node runs the sources as they are; the package holds compiled JavaScript.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./chunk-worker.${extension}`, import.meta.url), {
      // Flags of the main thread are not for this one: some make it end at once.
      execArgv: [],
    });
    const thread: Thread = { worker, busy: new Map() };
    worker.on('message', (answer: Answer) => this.#answered(thread, answer));
    worker.on('error', (error) =>
      this.#ended(thread, error instanceof Error ? error : new Error(String(error))),
    );
    worker.on('exit', () => this.#ended(thread, closed()));
    this.#threads.push(thread);
    return thread;
  }

  #answered(thread: Thread, answer: Answer): void {
    const waiting = thread.busy.get(answer.id);
    thread.busy.delete(answer.id);
    if (thread.busy.size === 0) thread.worker.unref();
    if ('error' in answer) waiting?.reject(new Error(answer.error));
    else waiting?.resolve(answer.result);
    this.#assign();
    if (this.#threads.every((one) => one.busy.size === 0)) this.#startIdling();
  }

  #startIdling(): void {
    if (this.#idling !== null || this.#closed) return;
    this.#idling = setTimeout(() => {
      this.#idling = null;
      this.#onIdle();
      void this.#endThreads();
    }, this.#idleMs).unref();
  }

  #ended(thread: Thread, error: Error): void {
    const index = this.#threads.indexOf(thread);
    if (index >= 0) this.#threads.splice(index, 1);
    for (const waiting of thread.busy.values()) waiting.reject(error);
    thread.busy.clear();
    this.#assign();
  }
}

function performHere<T extends ChunkTask['type']>(
  task: Extract<ChunkTask, { type: T }>,
): Promise<ResultsOf[T]> {
  return new Promise<ChunkTaskResult>((resolve) => resolve(performTask(task).result)) as Promise<
    ResultsOf[T]
  >;
}

function bytesOf(task: ChunkTask): Uint8Array<ArrayBuffer> {
  return 'plain' in task ? task.plain : task.stored;
}

function closed(): Error {
  return new Error('the repository was closed while it was in use');
}
