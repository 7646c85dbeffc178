import { inMegabytes } from './megabytes.ts';
import { stderr } from './words.ts';

/** Where an operation shows how far it is. Goes to stderr; the result alone goes to stdout. */
export interface ProgressView {
  /** A member, or with null the operation as a whole, enters a phase. */
  phase(member: string | null, phase: string, detail?: string): void;
  bytes(member: string, bytesDone: number, bytesTotal: number): void;
  note(text: string): void;
  /** Leaves the terminal in order. */
  finish(): void;
}

export async function createProgress(options: { quiet: boolean }): Promise<ProgressView> {
  if (options.quiet) return { phase() {}, bytes() {}, note() {}, finish() {} };
  if (!process.stderr.isTTY) return new LineProgress();
  // What draws is loaded where there is a terminal: a script waits for its commands to start.
  const { LiveProgress } = await import('./live-progress.ts');
  return new LiveProgress();
}

/** A line for each phase, of the whole and of each member: for logs and scripts. */
class LineProgress implements ProgressView {
  readonly #seen = new Set<string>();
  #phase = '';

  phase(member: string | null, phase: string, detail?: string): void {
    if (member === null) {
      this.#phase = phase;
      this.note(`${phase}${detail === undefined ? '' : ` (${detail})`}`);
    } else {
      this.note(`${member}: ${phase}`);
    }
  }

  bytes(member: string, bytesDone: number, bytesTotal: number): void {
    const key = `${this.#phase} ${member}`;
    if (this.#seen.has(key)) return;
    if (bytesDone < bytesTotal) return;
    this.#seen.add(key);
    this.note(`${member}: ${this.#phase} ${inMegabytes(bytesTotal)}`);
  }

  note(text: string): void {
    stderr.write(`${text}\n`);
  }

  finish(): void {
    this.#seen.clear();
  }
}
