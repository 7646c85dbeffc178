import type { Role } from '../../shared/domain/grid.ts';
import type { Attempt, HoldEnding } from '../../shared/domain/participant.ts';
import { LONG_MS, type Lab } from './lab.ts';
import { NODE, RESTING_ROLES } from './promise.ts';

/** Whatever a process holds back: how it is taken and how it is ended. */
export interface HoldKind {
  readonly name: 'quiesced' | 'writingSuspended' | 'journalRetained' | 'maintenance';
  readonly roles: readonly Role[];
  /** The call that ends it. */
  readonly ending: string;
  take(lab: Lab, attempt: Attempt, leaseMs: number): Promise<unknown>;
  end(lab: Lab, attempt: Attempt): Promise<HoldEnding>;
}

const KINDS: readonly HoldKind[] = [
  {
    name: 'quiesced',
    roles: RESTING_ROLES,
    ending: 'Resume',
    take: (lab, attempt, leaseMs) => lab.quiesce(attempt, { leaseMs }),
    end: ({ participant }, attempt) => participant.resume(attempt),
  },
  {
    name: 'writingSuspended',
    roles: NODE,
    ending: 'ResumeWriting',
    take: ({ participant }, { operation }, leaseMs) => participant.suspendWriting({ operation, leaseMs }),
    end: ({ participant }, { operation }) =>
      participant.resumeWriting({ operation, retainJournal: false, leaseMs: LONG_MS }),
  },
  {
    name: 'journalRetained',
    roles: NODE,
    ending: 'ReleaseJournal',
    async take({ participant }, { operation }, leaseMs) {
      await participant.suspendWriting({ operation, leaseMs: LONG_MS });
      await participant.resumeWriting({ operation, retainJournal: true, leaseMs });
    },
    end: ({ participant }, { operation }) => participant.releaseJournal({ operation }),
  },
  {
    name: 'maintenance',
    roles: NODE,
    ending: 'LeaveMaintenance',
    take: ({ participant }, { operation }, leaseMs) => participant.enterMaintenance({ operation, leaseMs }),
    end: ({ participant }, { operation }) => participant.leaveMaintenance({ operation }),
  },
];

/** Those that a process of this role knows. */
export function holdKinds(lab: Lab): readonly HoldKind[] {
  return KINDS.filter(({ roles }) => roles.includes(lab.description.role));
}

/** Those of which Describe tells: of the others nobody sees from outside when they end. */
export async function toldHoldKinds(lab: Lab): Promise<readonly HoldKind[]> {
  const told: HoldKind[] = [];
  for (const kind of holdKinds(lab)) {
    const attempt = lab.attempt();
    await kind.take(lab, attempt, LONG_MS);
    const { held } = await lab.participant.describe();
    await kind.end(lab, attempt);
    if (held[kind.name]) told.push(kind);
  }
  return told;
}

/** Ends all that attempts may still hold: by Release, and where that does not do it, call by call. */
export async function releaseAll(lab: Lab): Promise<void> {
  const attempts = lab.takeAttempts();
  for (const { operation } of attempts) await lab.participant.release({ operation }).catch(() => undefined);
  const { operation } = await lab.participant.describe().then(
    ({ held }) => held,
    () => ({ operation: '' }),
  );
  for (const attempt of attempts.filter((one) => one.operation === operation)) {
    for (const kind of holdKinds(lab)) await kind.end(lab, attempt).catch(() => undefined);
  }
}
