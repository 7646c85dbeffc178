import type { ProgressView } from '../progress.ts';
import type { EndedStep } from '../restore-steps.ts';
import type { DrillReport, DrillStep } from './report.ts';

/** Steps that only ask how things are: nobody waits for them. */
const ASKED = new Set<EndedStep['step']>(['isRunning', 'ready', 'admitDrill']);

/** What a drill takes, phase by phase and step by step. Times count from when this was made. */
export class DrillMeasures {
  readonly #startedAt = performance.now();
  readonly #steps: (DrillStep & { readonly host: string; readonly bytes: number })[] = [];
  readonly #proven = new Map<string, readonly string[]>();
  readonly #phases: { readonly phase: string; readonly startMs: number; durationMs: number }[] = [];

  nowMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** The same view, which tells of phases here besides. */
  watching(progress: ProgressView): ProgressView {
    return {
      phase: (member, phase, detail) => {
        if (member === null) this.#enter(phase);
        progress.phase(member, phase, detail);
      },
      bytes: (member, done, total) => progress.bytes(member, done, total),
      note: (text) => progress.note(text),
      finish: () => progress.finish(),
    };
  }

  stepEnded({ member, step, startedAt, endedAt, result }: EndedStep): void {
    if (result?.type === 'verified') this.#proven.set(member.name, result.checks);
    if (ASKED.has(step)) return;
    this.#steps.push({
      host: member.to.host,
      member: member.name,
      step,
      startMs: startedAt - this.#startedAt,
      durationMs: endedAt - startedAt,
      failed: result === null,
      bytes: result?.type === 'staged' ? result.bytes : 0,
    });
  }

  /** Closes the last phase. */
  end(): void {
    const last = this.#phases.at(-1);
    if (last !== undefined && last.durationMs === 0) last.durationMs = this.nowMs() - last.startMs;
  }

  get phases(): DrillReport['phases'] {
    return this.#phases;
  }

  /** When the last phase of this name was over; null where none was. */
  endOf(name: string): number | null {
    const phase = this.#phases.findLast((one) => one.phase === name);
    return phase === undefined || phase.durationMs === 0 ? null : phase.startMs + phase.durationMs;
  }

  hosts(names: readonly string[]): DrillReport['hosts'] {
    return [...new Set(names)].map((host) => ({
      host,
      steps: this.#steps
        .filter((step) => step.host === host)
        .map(({ member, step, startMs, durationMs, failed }) => ({
          member,
          step,
          startMs,
          durationMs,
          failed,
        })),
    }));
  }

  /** What was staged of a member; with null of all, in the time from the first to the last. */
  staged(member: string | null): { bytes: number; bytesPerSecond: number | null } {
    const steps = this.#steps.filter(
      (one) => one.step === 'stage' && !one.failed && (member === null || one.member === member),
    );
    const bytes = steps.reduce((sum, one) => sum + one.bytes, 0);
    const ms =
      Math.max(...steps.map((one) => one.startMs + one.durationMs)) -
      Math.min(...steps.map((one) => one.startMs));
    return { bytes, bytesPerSecond: steps.length === 0 || ms <= 0 ? null : (bytes / ms) * 1000 };
  }

  proven(member: string): readonly string[] {
    return this.#proven.get(member) ?? [];
  }

  #enter(phase: string): void {
    this.end();
    this.#phases.push({ phase, startMs: this.nowMs(), durationMs: 0 });
  }
}
