import { createLogUpdate } from 'log-update';
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

export function createProgress(options: { quiet: boolean }): ProgressView {
  if (options.quiet) return { phase() {}, bytes() {}, note() {}, finish() {} };
  return process.stderr.isTTY ? new LiveProgress() : new LineProgress();
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

interface MemberLine {
  phase: string;
  bytesDone: number;
  bytesTotal: number;
  since: number;
}

const REDRAW_MS = 100;

/** One line a member, redrawn in place: phase, bytes, rate. */
class LiveProgress implements ProgressView {
  readonly #screen = createLogUpdate(process.stderr, { showCursor: true });
  readonly #members = new Map<string, MemberLine>();
  #phase = '';
  #timer: NodeJS.Timeout | null = null;

  phase(member: string | null, phase: string, detail?: string): void {
    if (member === null) {
      this.#phase = `${phase}${detail === undefined ? '' : ` (${detail})`}`;
      for (const line of this.#members.values())
        Object.assign(line, { phase, since: performance.now(), bytesDone: 0 });
    } else {
      this.#line(member).phase = phase;
    }
    this.#redrawSoon();
  }

  bytes(member: string, bytesDone: number, bytesTotal: number): void {
    Object.assign(this.#line(member), { bytesDone, bytesTotal });
    this.#redrawSoon();
  }

  note(text: string): void {
    this.#screen.clear();
    stderr.write(`${text}\n`);
    this.#redrawSoon();
  }

  finish(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#screen.clear();
    this.#screen.done();
  }

  #line(member: string): MemberLine {
    const known = this.#members.get(member);
    if (known !== undefined) return known;
    const line = { phase: this.#phase, bytesDone: 0, bytesTotal: 0, since: performance.now() };
    this.#members.set(member, line);
    return line;
  }

  #redrawSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#screen(
        [
          this.#phase,
          ...[...this.#members].map(([name, line]) => `  ${name.padEnd(20)} ${describeLine(line)}`),
        ].join('\n'),
      );
    }, REDRAW_MS);
  }
}

function describeLine({ phase, bytesDone, bytesTotal, since }: MemberLine): string {
  if (bytesDone === 0) return phase;
  const rate = bytesDone / Math.max(0.001, (performance.now() - since) / 1000);
  return `${phase.padEnd(10)} ${inMegabytes(bytesDone)} of ${inMegabytes(bytesTotal)}, ${inMegabytes(rate)}/s`;
}

export function inMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}
