import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import type { Warning } from '../../shared/domain/warning.ts';
import type { Answer, Question } from '../../shared/domain/wire.ts';
import type { AddressReport } from '../reports.ts';
import type { PlannedMember } from '../planned-member.ts';
import type { Rehearsal } from '../rehearsal.ts';
import type { EndedStep } from '../restore-steps.ts';
import type { RestorePlan } from '../restore-plan.ts';
import { resultOf, timeLimitMs, type CheckResult, type DrillCheck } from './checks.ts';
import type { DrillMeasures } from './measures.ts';
import { runCommand } from './run-command.ts';

/** A drill, as the restore sees it: makes the operator's checks, and remembers what it is told. */
export class DrillRehearsal implements Rehearsal {
  readonly drillId = crypto.randomUUID();
  readonly keep: boolean;
  readonly warnings: Warning[] = [];
  addresses: readonly AddressReport[] = [];
  readonly #checks: readonly DrillCheck[];
  readonly #manifest: Pick<GridManifest, 'grid' | 'checkpoint'>;
  readonly #measures: DrillMeasures;
  readonly #results = new Map<DrillCheck, CheckResult>();
  #members: readonly PlannedMember[] = [];
  #private: ReadonlySet<PlannedMember> = new Set();

  constructor(input: {
    readonly keep: boolean;
    readonly checks: readonly DrillCheck[];
    readonly manifest: Pick<GridManifest, 'grid' | 'checkpoint'>;
    readonly measures: DrillMeasures;
  }) {
    this.keep = input.keep;
    this.#checks = input.checks;
    this.#manifest = input.manifest;
    this.#measures = input.measures;
  }

  get members(): readonly PlannedMember[] {
    return this.#members;
  }

  /** Members that were never started as their owner starts them. */
  get neverStarted(): PlannedMember[] {
    return this.#members.filter((member) => this.#private.has(member));
  }

  /** In the order of the grid file, those that were made. */
  get results(): CheckResult[] {
    return this.#checks.flatMap((check) => this.#results.get(check) ?? []);
  }

  planned({ members }: RestorePlan): void {
    this.#members = members;
  }

  looked(members: { asked: ReadonlySet<PlannedMember>; private: ReadonlySet<PlannedMember> }): void {
    this.#private = members.private;
    for (const check of this.#checks) {
      if (check.member === undefined) continue;
      const member = this.#members.find(({ name }) => name === check.member);
      if (member === undefined) throw unfit(check, `the target grid has no member ${check.member}`);
      if (check.sql !== undefined && !members.asked.has(member))
        throw unfit(check, `${check.member} takes no questions; ask the primary of its copyset`);
      if (check.command !== undefined && members.private.has(member))
        throw unfit(
          check,
          `no command reaches ${check.member}, which is not started in a drill; ask it with sql`,
        );
    }
  }

  questionsFor(member: PlannedMember): Question[] {
    return this.#checks.flatMap(({ name, member: about, sql, database }) =>
      about === member.name && sql !== undefined ? [{ name, statement: sql, database: database ?? '' }] : [],
    );
  }

  answered(member: PlannedMember, answers: readonly Answer[]): void {
    for (const answer of answers) {
      const check = this.#checks.find(
        ({ name, member: about }) => name === answer.name && about === member.name,
      );
      if (check?.sql !== undefined) this.#results.set(check, resultOf(check, answer));
    }
  }

  named(addresses: readonly AddressReport[]): void {
    this.addresses = addresses;
  }

  async examine(signal: AbortSignal): Promise<void> {
    for (const check of this.#checks) {
      if (check.command === undefined) {
        if (!this.#results.has(check))
          this.#results.set(
            check,
            resultOf(check, { text: '', error: 'its agent gave no answer', durationMs: 0 }),
          );
        continue;
      }
      const about = this.#members.find(({ name }) => name === check.member);
      const answer = await runCommand({
        command: check.command,
        env: {
          STILLPOINT_DRILL: this.drillId,
          STILLPOINT_GRID_NAME: this.#manifest.grid,
          STILLPOINT_CHECKPOINT: this.#manifest.checkpoint,
          ...(about !== undefined && {
            STILLPOINT_MEMBER: about.name,
            STILLPOINT_ADDRESS: about.to.address,
          }),
        },
        limitMs: timeLimitMs(check),
        signal,
      });
      this.#results.set(check, resultOf(check, answer));
      signal.throwIfAborted();
    }
    const failed = this.results.filter(({ passed }) => !passed);
    if (failed.length > 0) throw checksFailed(failed);
  }

  stepEnded(step: EndedStep): void {
    this.#measures.stepEnded(step);
  }

  warned(warning: Warning): void {
    this.warnings.push(warning);
  }
}

function unfit({ name, member }: DrillCheck, why: string): StillpointError {
  return new StillpointError(
    {
      code: 'drill-check-unfit',
      message: `the check ${name} cannot be made: ${why}`,
      hint: 'correct it in the grid file, under drill; docs/restore.md says what can be asked of which member',
      phase: 'plan',
      ...(member !== undefined && { member }),
    },
    EXIT.refused,
  );
}

function checksFailed(failed: readonly CheckResult[]): StillpointError {
  const said = failed.map(({ name, expected, cause }) =>
    expected === null ? `${name}: ${cause}` : `${name}: ${cause}, expected ${expected}`,
  );
  const [member] = failed.flatMap((one) => one.member ?? []);
  return new StillpointError(
    {
      code: 'drill-check-failed',
      message: `restored and proven, but ${failed.length === 1 ? 'a check' : `${failed.length} checks`} of your own failed: ${said.join('; ')}`,
      hint: 'see whether the data of the checkpoint or the check is wrong; drill another checkpoint to tell',
      phase: 'check',
      ...(member !== undefined && { member }),
    },
    EXIT.invalid,
  );
}
