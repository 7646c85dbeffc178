import { StillpointError } from '../../shared/domain/errors.ts';
import { read, startProgram, type Program, type Programs, type RunningProgram } from './programs.ts';

/** So far apart are the numbers of the writers, which do not know of each other. */
const APART = 1_000_000;
/** What a writer that ended may have had under way. */
const BEYOND = 1000;

const READ_MS = 10_000;

/** Writers of the process that has its files in `data`, behind what is there; none where the programs are not named. */
export async function startWriters(
  { writer, reader }: Programs,
  data: string,
  count: number,
): Promise<Writers | undefined> {
  if (writer === undefined || reader === undefined) return undefined;
  const rows = await read(reader, data, READ_MS).catch((error: unknown) => {
    throw new StillpointError({
      code: 'usage',
      message: `the reader does not read: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'it prints the visible numbers, one a line, and ends with 0',
    });
  });
  let highest = 0;
  for (const row of rows) highest = Math.max(highest, row);
  return new Writers(writer, data, { from: highest + 1, count });
}

interface One {
  program: RunningProgram;
  acknowledged: number;
  highest: number;
}

/** Several clients that write at once, and what they have told so far: a fault that one of them misses another sees. */
export class Writers {
  readonly acknowledged = new Set<number>();
  refused = 0;
  readonly #writer: Program;
  readonly #data: string;
  readonly #all: One[] = [];

  constructor(writer: Program, data: string, options: { from: number; count: number }) {
    this.#writer = writer;
    this.#data = data;
    for (let index = 0; index < options.count; index += 1)
      this.#all.push(this.#start(options.from + index * APART));
  }

  /** How many each has had acknowledged. */
  get counts(): number[] {
    return this.#all.map(({ acknowledged }) => acknowledged);
  }

  isGone(): boolean {
    return this.#all.some(({ program }) => program.isGone());
  }

  /** Those that ended begin again, behind what they had under way. */
  restart(): void {
    for (const [index, { program, highest }] of this.#all.entries())
      if (program.isGone()) this.#all[index] = this.#start(highest + BEYOND);
  }

  complaint(): string {
    return this.#all
      .map(({ program }) => program.complaint())
      .filter((text) => text !== '')
      .slice(0, 1)
      .join();
  }

  pause(): void {
    for (const { program } of this.#all) program.pause();
  }

  goOn(): void {
    for (const { program } of this.#all) program.goOn();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map(({ program }) => program.stop()));
  }

  #start(from: number): One {
    const one: Omit<One, 'program'> & { program?: RunningProgram } = { acknowledged: 0, highest: from };
    const program = startProgram(this.#writer, { data: this.#data, from: String(from) }, (line) => {
      if (line.startsWith('refused')) this.refused += 1;
      if (!/^\d+$/.test(line)) return;
      one.acknowledged += 1;
      one.highest = Math.max(one.highest, Number(line));
      this.acknowledged.add(Number(line));
    });
    return Object.assign(one, { program });
  }
}
