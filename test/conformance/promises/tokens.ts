import { brief, LONG_MS } from '../lab.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

/** Whose word counts. */
export const tokenPromises: readonly ContractPromise[] = [
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
