import type { MemberCommand } from '../../shared/domain/messages.ts';
import type { Job } from './job.ts';
import { DEADLINES, MAX_ARMS } from './limits.ts';
import type { Process } from './process.ts';
import { Broken } from './promises.ts';

/** What a coordinator says, judged as it goes out: in time, with pauses, and to nobody whom it knows to be lost. */
export class CommandChecks {
  /** When it first said abort; null before. */
  abortsSince: number | null = null;
  readonly #coordinator: Process;
  readonly #job: Job;
  #phase: { type: MemberCommand['type'] | null; attempt: number; sinceMs: number } = {
    type: null,
    attempt: 0,
    sinceMs: 0,
  };
  readonly #aborted = new Map<string, number>();
  readonly #gone = new Set<string>();
  #disarmedAtMs: number | null = null;

  constructor(coordinator: Process, job: Job) {
    this.#coordinator = coordinator;
    this.#job = job;
  }

  lost(member: string): void {
    this.#gone.add(member);
  }

  back(member: string): void {
    this.#gone.delete(member);
  }

  sends(member: string, command: MemberCommand): void {
    if (command.type === 'abort') this.#checkAborts(member);
    this.checkTime(command.type, 'token' in command ? command.token?.attempt : 0);
    this.#checkArm(member, command.type);
  }

  /** A job has the grid, for as long as it takes. */
  jobBegins(): void {
    this.#phase = { type: null, attempt: 0, sinceMs: 0 };
  }

  /** From the first command of a kind to the first of the next; who is lost is connected anew for the abort. */
  checkTime(type: MemberCommand['type'], attempt = 0): void {
    const { type: last, sinceMs } = this.#phase;
    if (type === last && (type === 'abort' || attempt === this.#phase.attempt)) return;
    const { name, nowMs, world, wasPaused } = this.#coordinator;
    const tookMs = nowMs - sinceMs;
    this.#phase = { type, attempt, sinceMs: nowMs };
    const rounds = new Set(world.engines.map(({ kind }) => kind)).size;
    const { pauseMs, armMs, disarmMs, armAgainMs, thawMs } = DEADLINES;
    const { purpose } = this.#job;
    const freezeMs = purpose.type === 'quiesce' ? purpose.timeOutMs : DEADLINES.freezeMs;
    // With one member there is nobody else to disarm before the pause.
    const betweenMs = type === 'arm' || type === 'pause' ? armAgainMs * 2 ** (MAX_ARMS - 2) : 0;
    const longestMs =
      {
        pause: pauseMs,
        arm: armMs + betweenMs,
        disarm: disarmMs + betweenMs,
        freeze: rounds * freezeMs,
        thaw: thawMs,
      }[last as string] ?? Infinity;
    if (tookMs > longestMs + 2 && !wasPaused)
      throw new Broken('in-time', `${name} says ${type} ${tookMs} ms after its first ${last}`);
  }

  /**
   * Nobody is armed whose stream is known to be lost, an arm that failed is not tried again at once, and what a job had
   * once it does not get again.
   */
  #checkArm(member: string, type: MemberCommand['type']): void {
    const { name, nowMs } = this.#coordinator;
    if (type === 'disarm') this.#disarmedAtMs ??= nowMs;
    if (type !== 'arm' && type !== 'pause') return;
    if (this.#gone.has(member))
      throw new Broken('resumes', `${name} says ${type} to ${member}, which is lost`);
    if (this.#job.heldFrom !== null)
      throw new Broken('holds', `${name} says ${type} to ${member}, and its job had the grid already`);
    const sinceMs = nowMs - (this.#disarmedAtMs ?? -Infinity);
    this.#disarmedAtMs = null;
    if (sinceMs < DEADLINES.armAgainMs)
      throw new Broken('pauses', `${name} says ${type} again ${sinceMs} ms after a disarm`);
  }

  #checkAborts(member: string): void {
    const { name, world } = this.#coordinator;
    this.abortsSince ??= world.now;
    const times = (this.#aborted.get(member) ?? 0) + 1;
    this.#aborted.set(member, times);
    if (times > 2 * (DEADLINES.abortGiveUpMs / DEADLINES.abortRetryMs))
      throw new Broken('pauses', `${name} says abort to ${member} for the ${times}th time`);
  }
}
