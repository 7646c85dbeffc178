import { EXIT, failureOf, StillpointError, type MemberState } from '../shared/domain/errors.ts';
import type { Warning } from '../shared/domain/warning.ts';
import type { Answer, Question } from '../shared/domain/wire.ts';
import type { Cancellation } from './cancellation.ts';
import type { AddressReport } from './reports.ts';
import type { PlannedMember } from './planned-member.ts';
import type { RestorePlan } from './restore-plan.ts';
import type { EndedStep, RestoreSteps } from './restore-steps.ts';

/**
 * What makes a restore a drill. It goes all the way to the decision, in places where nothing was, and is taken back
 * there, or kept as it is: nothing is decided, so no grid comes to be. What a killed drill leaves is therefore what an
 * undecided restore leaves, and is taken away as that is.
 */
export interface Rehearsal {
  /** Also the restore's. */
  readonly drillId: string;
  readonly keep: boolean;
  planned(plan: RestorePlan): void;
  /** Before anything is on a host. Rejects where a check cannot be made of its member. */
  looked(members: {
    readonly asked: ReadonlySet<PlannedMember>;
    readonly private: ReadonlySet<PlannedMember>;
  }): void;
  questionsFor(member: PlannedMember): readonly Question[];
  answered(member: PlannedMember, answers: readonly Answer[]): void;
  /** All that is known now of what in the data led to other servers. */
  named(addresses: readonly AddressReport[]): void;
  /** The operator's own look at what is restored. Rejects `drill-check-failed`. */
  examine(signal: AbortSignal): Promise<void>;
  stepEnded(step: EndedStep): void;
  warned(warning: Warning): void;
}

/** In the place of the decision: all is there that it would need. */
export async function rehearse(
  { members }: RestorePlan,
  steps: RestoreSteps,
  rehearsal: Rehearsal,
  { signal }: Cancellation,
): Promise<void> {
  await rehearsal.examine(signal);
  await steps.each(members, { type: 'ready' });
  signal.throwIfAborted();
  if (rehearsal.keep) await steps.each(members, { type: 'keep' });
}

/** Rejects `drill-left` unless every agent has looked, and nothing of the drill is left. */
export async function takeBack(
  plan: RestorePlan,
  steps: RestoreSteps,
  drillId: string,
  rollBack: (member: PlannedMember) => Promise<MemberState>,
): Promise<void> {
  const members = await Promise.all(
    plan.members.map(async (member) => {
      const state = await rollBack(member);
      const why = await steps.one(member, { type: 'admitDrill' }).then(
        () => null,
        (error: unknown) => failureOf(error, { code: '', hint: '' }).message,
      );
      return { name: member.name, state, left: why };
    }),
  );
  const left = members.filter((member) => member.left !== null);
  if (left.length > 0) throw leftByDrill(drillId, left, members);
}

function leftByDrill(
  drillId: string,
  left: readonly { readonly name: string; readonly left: string | null }[],
  members: readonly { readonly name: string; readonly state: MemberState }[],
): StillpointError {
  const said = left.map(({ name, left: why }) => `${name} (${why ?? ''})`);
  return new StillpointError(
    {
      code: 'drill-left',
      message: `the drill is over, and something of it is left: ${said.join(', ')}`,
      hint: `its agent takes it away when it runs and reads the repository; see to it with: stillpoint drill --finish ${drillId}`,
      phase: 'tear down',
      members: members.map(({ name, state }) => ({ name, state })),
    },
    EXIT.rolledBack,
  );
}
