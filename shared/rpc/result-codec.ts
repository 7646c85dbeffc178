import { assertNever } from '../domain/assert-never.ts';
import type { RestoreStepResult } from '../domain/wire.ts';
import {
  badMessage,
  fromCount,
  fromWarning,
  present,
  toCount,
  toDuration,
  toNamedAddress,
  toWarning,
} from './codec-values.ts';
import type * as wire from './generated/agent.ts';

type WireResult = NonNullable<wire.Restored['result']>;

/** What a step of a restore came to: domain → wire. */
export function encodeResult(result: RestoreStepResult): WireResult {
  switch (result.type) {
    case 'done':
      return { $case: 'done', value: { bytes: fromCount(result.bytes) } };
    case 'running':
      return { $case: 'running', value: { running: result.running } };
    case 'checked': {
      const rooms = result.rooms.map(({ fileSystem, path, neededBytes, freeBytes }) => ({
        fileSystem,
        path,
        neededBytes: fromCount(neededBytes),
        freeBytes: fromCount(freeBytes),
      }));
      const { provesInPrivate, warnings, takesQuestions } = result;
      return {
        $case: 'checked',
        value: {
          provesInPrivate,
          warnings: warnings.map(fromWarning),
          rooms,
          takesQuestions,
          addresses: result.addresses.map((address) => ({ ...address })),
        },
      };
    }
    case 'staged':
      return {
        $case: 'staged',
        value: { bytes: fromCount(result.bytes), followsAs: result.followsAs ?? undefined },
      };
    case 'verified': {
      const { checks, warnings, prepared, answers } = result;
      const transactions = prepared.map(({ byHand, ...one }) => ({
        ...one,
        commitByHand: byHand.commit,
        rollbackByHand: byHand.rollback,
      }));
      return {
        $case: 'verified',
        value: {
          checks: [...checks],
          warnings: warnings.map(fromWarning),
          prepared: transactions,
          answers: answers.map((answer) => ({ ...answer })),
          addresses: result.addresses.map((address) => ({ ...address })),
        },
      };
    }
    case 'opened':
      return {
        $case: 'opened',
        value: { warnings: result.warnings.map(fromWarning), problems: [...result.problems] },
      };
    default:
      return assertNever(result);
  }
}

/** Wire → domain; throws `bad-message`. */
export function decodeResult(received: WireResult | undefined): RestoreStepResult {
  const { $case, value } = present(received, 'result');
  switch ($case) {
    case 'done':
      return { type: 'done', bytes: toCount(value.bytes) };
    case 'running':
      return { type: 'running', running: value.running };
    case 'checked':
      return {
        type: 'checked',
        provesInPrivate: value.provesInPrivate,
        warnings: value.warnings.map(toWarning),
        rooms: value.rooms.map(({ fileSystem, path, neededBytes, freeBytes }) => ({
          fileSystem,
          path,
          neededBytes: toCount(neededBytes),
          freeBytes: toCount(freeBytes),
        })),
        takesQuestions: value.takesQuestions,
        addresses: value.addresses.map(toNamedAddress),
      };
    case 'staged':
      return { type: 'staged', bytes: toCount(value.bytes), followsAs: value.followsAs ?? null };
    case 'verified':
      return {
        type: 'verified',
        checks: value.checks,
        warnings: value.warnings.map(toWarning),
        prepared: value.prepared.map(({ gid, database, committed, cause, commitByHand, rollbackByHand }) => ({
          gid,
          database,
          committed,
          cause,
          byHand: { commit: commitByHand, rollback: rollbackByHand },
        })),
        answers: value.answers.map(({ name, text, error, durationMs }) => ({
          name,
          text,
          error,
          durationMs: toDuration(durationMs, 'answer'),
        })),
        addresses: value.addresses.map(toNamedAddress),
      };
    case 'opened':
      return { type: 'opened', warnings: value.warnings.map(toWarning), problems: value.problems };
    default:
      throw badMessage('an unknown result');
  }
}
