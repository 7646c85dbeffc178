import { AbsentStandbyFence } from './absent-standby-fence.ts';
import { ABSENT_STANDBY, STANDBY_NAME } from './acknowledger.ts';
import { AcknowledgementFence } from './acknowledgement-fence.ts';
import type { Fence, FenceContext } from './fence.ts';
import { withStandby } from './standby-names.ts';

/** By what the owner's own setting lets a standby of ours be. */
export function createFence(context: FenceContext): Fence {
  if (context.undo.standing === true) return new AcknowledgementFence(context, context.undo.original);
  const names = withStandby(context.undo.original, STANDBY_NAME);
  return names === null
    ? new AbsentStandbyFence(context, `FIRST 1 (${ABSENT_STANDBY})`)
    : new AcknowledgementFence(context, names);
}
