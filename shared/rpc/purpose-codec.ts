import type { Suspension } from '../domain/messages.ts';
import type { Purpose } from '../domain/purpose.ts';
import type { HeldBy } from '../domain/wire.ts';
import { oneOf, present, toLease } from './codec-values.ts';
import type * as wire from './generated/agent.ts';

// What a grid is held for, and by whom: domain ↔ wire.

export function fromPurpose(purpose: Purpose): wire.Purpose {
  return {
    type: purpose.type,
    allowReads: purpose.type === 'quiesce' && purpose.allowReads,
    timeOutMs: 'timeOutMs' in purpose ? purpose.timeOutMs : 0,
  };
}

export function toPurpose(value: wire.Purpose | undefined): Purpose {
  const { type, allowReads, timeOutMs } = present(value, 'purpose');
  switch (oneOf(type, ['checkpoint', 'journalCheckpoint', 'quiesce', 'freeze'], 'purpose')) {
    case 'quiesce':
      return { type: 'quiesce', allowReads, timeOutMs: toLease(timeOutMs) };
    case 'freeze':
      return { type: 'freeze', timeOutMs: toLease(timeOutMs) };
    case 'journalCheckpoint':
      return { type: 'journalCheckpoint' };
    default:
      return { type: 'checkpoint' };
  }
}

export function fromSuspension(suspension: Suspension | undefined): wire.Suspension | undefined {
  if (suspension === undefined) return undefined;
  return { held: suspension.held, cause: suspension.held ? '' : suspension.cause };
}

export function toSuspension({ held, cause }: wire.Suspension): Suspension {
  return held ? { held } : { held, cause };
}

export function fromHeldBy(held: HeldBy | null): wire.HeldBy | undefined {
  if (held === null) return undefined;
  const { operation, holder, checkpoint, purpose } = held;
  return {
    operation,
    holder,
    checkpoint: checkpoint ?? '',
    purpose: purpose === null ? undefined : fromPurpose(purpose),
  };
}

export function toHeldBy(value: wire.HeldBy | undefined): HeldBy | null {
  if (value === undefined) return null;
  const { operation, holder, checkpoint, purpose } = value;
  return {
    operation,
    holder,
    checkpoint: checkpoint === '' ? null : checkpoint,
    purpose: purpose === undefined ? null : toPurpose(purpose),
  };
}
