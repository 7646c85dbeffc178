import { createLogUpdate } from 'log-update';
import { inMegabytes } from './megabytes.ts';
import type { ProgressView } from './progress.ts';
import { stderr } from './words.ts';

interface MemberLine {
  phase: string;
  bytesDone: number;
  bytesTotal: number;
  since: number;
}

const REDRAW_MS = 100;

/** One line a member, redrawn in place: phase, bytes, rate. */
export class LiveProgress implements ProgressView {
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
