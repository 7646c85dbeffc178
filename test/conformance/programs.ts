import { spawn, type ChildProcess } from 'node:child_process';
import { Unjudged } from './promise.ts';

/** A program of the implementer: an argv with placeholders, or whatever else does the same. */
export type Program = readonly string[] | Launched;

export interface Launched {
  readonly servesContract: boolean;
  launch(placeholders: Readonly<Record<string, string>>, onLine: (line: string) => void): RunningProgram;
}

/** Programs by which the suite is a client of the process. */
export interface Programs {
  /** Writes numbered rows without end; prints a number when it is acknowledged, `refused` when one is refused. */
  readonly writer?: Program;
  /** Prints the numbers that are visible, and ends. */
  readonly reader?: Program;
  /** Keeps the process busy with what cannot come to rest; prints a line when it does; until it is ended. */
  readonly busy?: Program;
  /** Runs a process on the data directory `{data}`, until it is ended; it may serve the contract at `{socket}`. */
  readonly start?: Program;
}

export interface RunningProgram {
  /** Resolves to the exit code when it is gone. */
  readonly gone: Promise<number | null>;
  readonly isGone: () => boolean;
  /** Stands still until `goOn`, with all that it started. */
  pause(): void;
  goOn(): void;
  /** What it wrote to stderr, shortened. */
  readonly complaint: () => string;
  stop(): Promise<void>;
}

const STOP_MS = 5000;
const running = new Set<ChildProcess>();

process.once('exit', () => {
  for (const child of running) signal(child, 'SIGKILL');
});

/** Starts a program in a process group of its own, so that what it starts ends with it. */
export function startProgram(
  what: Program,
  placeholders: Readonly<Record<string, string>>,
  onLine: (line: string) => void,
): RunningProgram {
  if ('launch' in what) return what.launch(placeholders, onLine);
  const [program = '', ...args] = what.map((word) =>
    word.replaceAll(/\{(\w+)\}/g, (all, name: string) => placeholders[name] ?? all),
  );
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  running.add(child);
  let said = '';
  let code: number | null | undefined;
  child.stderr.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-2000)));
  let rest = '';
  child.stdout.on('data', (bytes: Buffer) => {
    const lines = (rest + bytes.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') onLine(line.trim());
  });
  const gone = new Promise<number | null>((resolve) => {
    const end = (status: number | null): void => {
      running.delete(child);
      code = status;
      resolve(status);
    };
    child.once('error', (error) => {
      said += error.message;
      end(null);
    });
    child.once('close', end);
  });
  return {
    gone,
    isGone: () => code !== undefined,
    pause: () => signal(child, 'SIGSTOP'),
    goOn: () => signal(child, 'SIGCONT'),
    complaint: () => said.trim().split('\n').slice(-3).join(' '),
    async stop() {
      if (code !== undefined) return;
      signal(child, 'SIGTERM');
      signal(child, 'SIGCONT');
      const timer = setTimeout(() => signal(child, 'SIGKILL'), STOP_MS);
      await gone;
      clearTimeout(timer);
    },
  };
}

/** One reading of the visible rows, begun. */
export interface Reading {
  readonly rows: Promise<ReadonlySet<number>>;
  readonly program: RunningProgram;
}

export function startReading(reader: Program, data: string): Reading {
  const rows = new Set<number>();
  const program = startProgram(reader, { data }, (line) => rows.add(Number(line)));
  const finished = program.gone.then((code) => {
    if (code === 0) return rows;
    throw new Unjudged(`the reader ended with ${code}: ${program.complaint()}`);
  });
  // Who looks at it later must still find the reason; until then it is nobody's failure.
  finished.catch(() => undefined);
  return { rows: finished, program };
}

/** The rows that are visible now. Unjudged when the reader fails or does not end in time. */
export async function read(reader: Program, data: string, limitMs: number): Promise<ReadonlySet<number>> {
  const { rows, program } = startReading(reader, data);
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Unjudged(`the reader did not end in ${limitMs} ms`)),
    limitMs,
  );
  try {
    return await Promise.race([rows, late.promise]);
  } finally {
    clearTimeout(timer);
    if (!program.isGone()) await program.stop();
  }
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, name);
  } catch {
    // It is gone.
  }
}
