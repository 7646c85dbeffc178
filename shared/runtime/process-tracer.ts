import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { STEPS, type ProcessorSample, type ProcessTrace, type Step } from '../domain/trace.ts';
import { machineMs } from './clock.ts';

/** Steps of one member in one operation: three attempts, and five arms of each, have some two hundred. */
const STEPS_OF_A_MEMBER = 256;
/** Of a process: what it sends of them must fit into one message. */
const MOST_STEPS = 16_384;
const MOST_SAMPLES = 1024;
/** Of /proc/self/schedstat: three numbers. */
const SAMPLE_BYTES = 72;

const PLACES: Readonly<Record<string, number>> = Object.fromEntries(
  STEPS.map((step, place) => [step, place]),
);

/**
 * Notes the steps of this process while one operation is traced. All its room is taken when it begins: a step becomes three
 * numbers in arrays, a sample some bytes as the system gives them, and what they say is put into words by `read`, when
 * nobody is held any more. What finds no room is counted.
 */
export class ProcessTracer {
  readonly #members = new Map<string, number>();
  readonly #at: Float64Array;
  readonly #step: Uint8Array;
  readonly #member: Uint16Array;
  #steps = 0;
  readonly #sampledAt = new Float64Array(MOST_SAMPLES);
  readonly #sampled = Buffer.alloc(MOST_SAMPLES * SAMPLE_BYTES);
  #samples = 0;
  #lost = 0;
  #schedule: number | null = openSchedule();
  readonly #collections: { readonly atMs: number; readonly durationMs: number }[] = [];
  readonly #observer: PerformanceObserver;

  /** `members`: all that may take part here. */
  constructor(members: readonly string[]) {
    for (const name of ['', ...members]) this.#members.set(name, this.#members.size);
    const room = Math.min(MOST_STEPS, STEPS_OF_A_MEMBER * this.#members.size);
    this.#at = new Float64Array(room);
    this.#step = new Uint8Array(room);
    this.#member = new Uint16Array(room);
    this.#observer = new PerformanceObserver((list) => this.#collected(list.getEntries()));
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** `member` is empty for what is of no single one. Steps that it does not know are left out. */
  note(step: Step | undefined, member: string, atMs = machineMs()): void {
    if (step === undefined) return;
    const place = PLACES[step];
    const of = this.#members.get(member);
    if (place === undefined || of === undefined) return;
    if (this.#steps === this.#at.length) {
      this.#lost += 1;
      return;
    }
    this.#at[this.#steps] = atMs;
    this.#step[this.#steps] = place;
    this.#member[this.#steps] = of;
    this.#steps += 1;
  }

  /** Notes how much this thread has run and waited up to now. It takes some microseconds. */
  sample(): void {
    if (this.#schedule === null) return;
    if (this.#samples === MOST_SAMPLES) {
      this.#lost += 1;
      return;
    }
    this.#sampledAt[this.#samples] = machineMs();
    readSync(this.#schedule, this.#sampled, this.#samples * SAMPLE_BYTES, SAMPLE_BYTES, 0);
    this.#samples += 1;
  }

  read(): ProcessTrace {
    this.#collected(this.#observer.takeRecords());
    const names = [...this.#members.keys()];
    return {
      processId: process.pid,
      machine: machine(),
      steps: Array.from({ length: this.#steps }, (_, index) => ({
        member: names[this.#member[index] ?? 0] ?? '',
        step: STEPS[this.#step[index] ?? 0] ?? '',
        atMs: this.#at[index] ?? 0,
      })),
      samples: Array.from({ length: this.#samples }, (_, index) => this.#sampleOf(index)),
      collections: [...this.#collections],
      lost: this.#lost,
    };
  }

  /** Idempotent. */
  end(): void {
    this.#observer.disconnect();
    if (this.#schedule !== null) closeSync(this.#schedule);
    this.#schedule = null;
  }

  #sampleOf(index: number): ProcessorSample {
    const text = this.#sampled.toString('latin1', index * SAMPLE_BYTES, (index + 1) * SAMPLE_BYTES);
    const [ran = 0, waited = 0] = text.split(/[ \n\0]/).map(Number);
    return { atMs: this.#sampledAt[index] ?? 0, ranMs: ran / 1e6, waitedMs: waited / 1e6 };
  }

  #collected(entries: readonly { readonly startTime: number; readonly duration: number }[]): void {
    const startedMs = machineMs() - performance.now();
    for (const { startTime, duration } of entries)
      if (this.#collections.length < MOST_SAMPLES)
        this.#collections.push({ atMs: startedMs + startTime, durationMs: duration });
  }
}

/** Null where the system does not tell how its processors are shared. */
function openSchedule(): number | null {
  try {
    return openSync('/proc/self/schedstat', 'r');
  } catch {
    return null;
  }
}

function machine(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
