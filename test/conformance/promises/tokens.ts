import type { Attempt } from '../../../shared/domain/participant.ts';
import { brief, LONG_MS } from '../lab.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

/** Whose word counts. */
export const tokenPromises: readonly ContractPromise[] = [
  {
    id: 'refused-not-seen',
    says: 'Errors: after an error the process is as it was before the call: its token has not been seen.',
    roles: RESTING_ROLES,
    async check(lab) {
      const { participant } = lab;
      const used = lab.attempt();
      await lab.quiesce(used);
      // Newer, and each of them refused: malformed, of another operation, and of a rest that is not its own.
      const refused: [string, Attempt, { leaseMs: number }][] = [
        ['malformed', lab.attempt(), { leaseMs: 0 }],
        ['of another operation', lab.attempt(), { leaseMs: LONG_MS }],
        ['of the same operation, while it rests', lab.attempt(used.operation), { leaseMs: LONG_MS }],
      ];
      for (const [what, attempt, { leaseMs }] of refused) {
        const isRefused = await participant
          .quiesce({ ...attempt, allowReads: true, timeoutMs: 500, leaseMs })
          .then(
            () => false,
            () => true,
          );
        if (!isRefused) throw new Unjudged(`a Quiesce ${what} was not refused`);
        const seen = await participant.switchJournal(used).then(
          () => null,
          (error: Error) => error.message,
        );
        if (seen !== null)
          throw new Broken(`the token of a Quiesce ${what} was refused, and counts: ${seen}`);
      }
      return 'tokens of requests that were refused do not count';
    },
  },
  {
    id: 'older-token-refused',
    says: 'Errors: ABORTED, the token is older than one seen before.',
    roles: RESTING_ROLES,
    async check(lab) {
      const older = lab.attempt();
      const newer = await lab.whileQuiesced((attempt) => Promise.resolve(attempt), {
        operation: older.operation,
      });
      const request = { ...older, allowReads: true, timeoutMs: 1000, leaseMs: LONG_MS };
      await lab.refusal(
        'Quiesce with an older token',
        lab.participant.quiesce(request),
        'participant-superseded',
      );
      const { held } = await lab.participant.describe();
      if (held.quiesced) throw new Broken(`refused, and it holds ${brief(held)}`);
      return `token ${older.token.counter} after ${newer.token.counter}: ABORTED`;
    },
  },
  {
    id: 'other-operation-refused',
    says: 'Errors: ABORTED, another operation holds the process. After an error the process is as it was before.',
    roles: RESTING_ROLES,
    async check(lab) {
      const { participant } = lab;
      return await lab.whileQuiesced(async (ours) => {
        const theirs = lab.attempt();
        const calls: [string, () => Promise<unknown>][] = [
          [
            'Quiesce',
            () => participant.quiesce({ ...theirs, allowReads: true, timeoutMs: 500, leaseMs: LONG_MS }),
          ],
        ];
        if (NODE.includes(lab.description.role)) {
          const request = { operation: theirs.operation, leaseMs: LONG_MS };
          calls.push(['SuspendWriting', () => participant.suspendWriting(request)]);
          calls.push(['EnterMaintenance', () => participant.enterMaintenance(request)]);
        }
        for (const [name, call] of calls) {
          const { held } = await participant.describe();
          if (!held.quiesced) throw new Unjudged(`nothing is held any more: ${brief(held)}`);
          await lab
            .refusal(`${name} of another operation`, call(), 'participant-superseded')
            .catch((error: unknown) => {
              throw error instanceof Broken ? new Broken(error.message, { certain: true }) : error;
            });
        }
        const { held } = await participant.describe();
        if (held.operation !== ours.operation) throw new Broken(`held is ${brief(held)}`);
        return `${calls.map(([name]) => name).join(', ')} of another operation: ABORTED`;
      });
    },
  },
];
