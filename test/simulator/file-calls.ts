import crypto from 'node:crypto';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import zlib from 'node:zlib';
import { systemError, type DiskNode, type FileNode } from './disk.ts';
import type { Kernel } from './kernel.ts';

/**
 * Puts a kernel in the place of the operating system for code that knows nothing of it: the functions of
 * node:fs/promises, clocks, timers, UUIDs and the names of host and process themselves are replaced, until the body has ended. The event loop does
 * not turn meanwhile, so nobody else in this thread sees them.
 */
export async function underKernel<T>(kernel: Kernel, body: () => Promise<T>): Promise<T> {
  install();
  const { Date: realDate, setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
  const { stackTraceLimit } = Error;
  active = kernel;
  // ENOENT is an everyday answer here; nobody reads where it was made.
  Error.stackTraceLimit = 0;
  globalThis.Date = class extends realDate {
    constructor(...values: unknown[]) {
      super(...((values.length === 0 ? [kernel.wallMs] : values) as [number]));
    }

    static override now(): number {
      return kernel.wallMs;
    }
  } as DateConstructor;
  const stop = (timer: unknown): void => kernel.stopTimer(timer as number);
  Object.assign(globalThis, {
    setTimeout: (ring: () => void, ms: number) => kernel.startTimer(ring, ms, false),
    setInterval: (ring: () => void, ms: number) => kernel.startTimer(ring, ms, true),
    clearTimeout: stop,
    clearInterval: stop,
  });
  performance.now = () => kernel.monotonicMs;
  const pid = Object.getOwnPropertyDescriptor(process, 'pid') ?? {};
  Object.defineProperty(process, 'pid', { ...pid, value: 1 });
  try {
    return await body();
  } finally {
    active = null;
    Error.stackTraceLimit = stackTraceLimit;
    Object.assign(globalThis, { Date: realDate, setTimeout, setInterval, clearTimeout, clearInterval });
    Reflect.deleteProperty(performance, 'now');
    Object.defineProperty(process, 'pid', pid);
  }
}

let active: Kernel | null = null;
let isInstalled = false;

/** Once in a thread: with no kernel, each function is what it was. */
function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const [name, simulated] of Object.entries(CALLS)) {
    const real = files[name as keyof typeof files] as (...args: unknown[]) => unknown;
    Object.assign(files, {
      [name]: (...args: never[]) =>
        active === null
          ? real(...args)
          : (simulated as (kernel: Kernel, ...more: never[]) => unknown)(active, ...args),
    });
  }
  const uuid = crypto.randomUUID;
  crypto.randomUUID = (options) =>
    active === null ? uuid(options) : (active.uuid() as ReturnType<typeof uuid>);
  const { hostname } = os;
  os.hostname = () => (active === null ? hostname() : active.awake.name.replace(' ', '-'));
  for (const name of ['zstdCompressSync', 'zstdDecompressSync'] as const) {
    const real = zlib[name] as Packing;
    Object.assign(zlib, { [name]: remembering(real) });
  }
  syncBuiltinESMExports();
}

const CALLS = {
  async mkdir(kernel: Kernel, path: string, options?: { recursive?: boolean }) {
    if (options?.recursive === true)
      return kernel.call('mkdir', path, 'change', () => kernel.makeDirectories(path));
    return kernel.call('mkdir', path, 'change', () => {
      if (!kernel.disk.makeDirectory(path, kernel.diskMs)) throw systemError('EEXIST', 'mkdir', path);
    });
  },
  /** Flags that are a number only read. */
  async open(kernel: Kernel, path: string, flags: string | number) {
    const isNew = flags === 'wx';
    const node = await kernel.call(
      'open',
      path,
      typeof flags === 'number' || flags === 'r' ? 'nothing' : 'change',
      () => (isNew ? kernel.disk.create(path, kernel.diskMs) : kernel.disk.find(path, 'open')),
    );
    return new Handle(kernel, path, node);
  },
  link: (kernel: Kernel, from: string, to: string) =>
    kernel.call('link', to, 'change', () => kernel.link(from, to)),
  rename: (kernel: Kernel, from: string, to: string) =>
    kernel.call('rename', to, 'change', () => kernel.rename(from, to)),
  unlink: (kernel: Kernel, path: string) => kernel.call('unlink', path, 'change', () => kernel.unlink(path)),
  async rm(kernel: Kernel, path: string, options: Removal = {}): Promise<void> {
    try {
      await remove(kernel, path, options.recursive ?? false);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const { maxRetries = 0 } = options;
      if (code === 'ENOTEMPTY' && maxRetries > 0)
        await CALLS.rm(kernel, path, { ...options, maxRetries: maxRetries - 1 });
      else if (code !== 'ENOENT' || options.force !== true) throw error;
    }
  },
  stat: (kernel: Kernel, path: string) =>
    kernel.call('stat', path, 'nothing', () => looked(kernel.disk.find(path))),
  lstat: (kernel: Kernel, path: string) => CALLS.stat(kernel, path),
  readdir: (kernel: Kernel, path: string) =>
    kernel.call('readdir', path, 'nothing', () => kernel.disk.names(path)),
  readFile: (kernel: Kernel, path: string, encoding?: BufferEncoding) =>
    kernel.call('read', path, 'nothing', () => {
      const bytes = Buffer.from(kernel.disk.file(path, 'open').content);
      return encoding === undefined ? bytes : bytes.toString(encoding);
    }),
  statfs: (kernel: Kernel, path: string) =>
    kernel.call('statfs', path, 'nothing', () => ({ bavail: 1_000_000, bsize: 4096 })),
};

interface Removal {
  readonly recursive?: boolean;
  readonly force?: boolean;
  readonly maxRetries?: number;
}

/** A tree goes one entry after the other, so a crash may leave any part of it. */
async function remove(kernel: Kernel, path: string, isRecursive: boolean): Promise<void> {
  const isDirectory = isRecursive && (await CALLS.stat(kernel, path)).isDirectory();
  if (!isDirectory) return CALLS.unlink(kernel, path);
  for (const name of await CALLS.readdir(kernel, path)) {
    // Somebody else may remove the same tree.
    await CALLS.rm(kernel, `${path}/${name}`, { recursive: true, force: true });
  }
  return kernel.call('rmdir', path, 'change', () => kernel.disk.removeDirectory(path, kernel.diskMs));
}

/** What is open stays what it is, also when its name is gone. */
class Handle {
  readonly #kernel: Kernel;
  readonly #path: string;
  readonly #node: DiskNode;

  constructor(kernel: Kernel, path: string, node: DiskNode) {
    this.#kernel = kernel;
    this.#path = path;
    this.#node = node;
  }

  writeFile(data: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(data);
    const needs = bytes.byteLength === 0 ? 'change' : 'room';
    return this.#call('write', needs, () => {
      if (bytes.byteLength > 0) this.#kernel.write(this.#path, this.#node as FileNode, bytes, 0);
    });
  }

  /** In place: it needs no room. */
  write(text: string, at: number): Promise<void> {
    return this.#call('write', 'change', () =>
      this.#kernel.write(this.#path, this.#node as FileNode, Buffer.from(text), at),
    );
  }

  read(into: Uint8Array, offset: number, length: number, at: number): Promise<{ bytesRead: number }> {
    return this.#call('read', 'nothing', () => {
      const bytes = (this.#node as FileNode).content.subarray(at, at + length);
      into.set(bytes, offset);
      return { bytesRead: bytes.byteLength };
    });
  }

  utimes(_accessed: Date, modified: Date): Promise<void> {
    return this.#call('utimes', 'change', () => {
      this.#node.mtimeMs = modified.getTime();
    });
  }

  sync(): Promise<void> {
    return this.#call('sync', 'nothing', () => this.#kernel.disk.sync(this.#node));
  }

  datasync(): Promise<void> {
    return this.sync();
  }

  stat(): Promise<Looked> {
    return this.#call('fstat', 'nothing', () => looked(this.#node));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #call<T>(name: string, needs: 'nothing' | 'change' | 'room', effect: () => T): Promise<T> {
    return this.#kernel.call(name, this.#path, needs, effect);
  }
}

interface Looked {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ino: number;
  readonly nlink: number;
  isDirectory(): boolean;
  isFile(): boolean;
}

function looked(node: DiskNode): Looked {
  const size = node.kind === 'file' ? node.content.byteLength : 4096;
  return {
    size,
    mtimeMs: node.mtimeMs,
    ino: node.ino,
    nlink: node.links,
    isDirectory: () => node.kind === 'directory',
    isFile: () => node.kind === 'file',
  };
}

type Packing = (bytes: Uint8Array, options?: object) => Uint8Array;

/** The same bytes give the same result; a run asks for the same few thousand times. */
function remembering(real: Packing): Packing {
  const results = new Map<string, Uint8Array | Error>();
  return (bytes, options) => {
    if (active === null || bytes.byteLength > MOST_REMEMBERED_BYTES) return real(bytes, options);
    const key = `${(options as { maxOutputLength?: number }).maxOutputLength} ${Buffer.from(bytes).toString('latin1')}`;
    let result = results.get(key);
    if (result === undefined) {
      try {
        result = real(bytes, options);
      } catch (error) {
        result = error as Error;
      }
      if (results.size < MOST_REMEMBERED) results.set(key, result);
    }
    if (result instanceof Error) throw result;
    return new Uint8Array(result);
  };
}

const MOST_REMEMBERED_BYTES = 4096;
const MOST_REMEMBERED = 20_000;
