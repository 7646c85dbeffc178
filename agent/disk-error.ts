import { EXIT, StillpointError } from '../shared/domain/errors.ts';

/** The agent's own disk is full: says so in words that help. Other errors stay what they are. */
export function agentDiskError(error: unknown, what: string): unknown {
  const code = fullDisk(error);
  if (code === null) return error;
  return new StillpointError(
    {
      code: 'agent-disk-full',
      message: `the agent's disk is full (${code}): ${what}`,
      hint: "make room on the disk of the agent's state directory; a busy server writes much journal during a base copy",
    },
    EXIT.aborted,
    { cause: error },
  );
}

/** The same of the disk on which a restore builds what takes the place of the data. */
export function hostDiskError(
  error: unknown,
  path: string,
  { noRoomFor, hint }: { readonly noRoomFor: string; readonly hint: string },
): unknown {
  const code = fullDisk(error);
  if (code === null) return error;
  return new StillpointError(
    { code: 'host-disk-full', message: `no room ${noRoomFor} (${code} at ${path})`, hint },
    EXIT.rolledBack,
    { cause: error },
  );
}

/** The error's code where a file could not grow for lack of room; else null. */
export function fullDisk(error: unknown): string | null {
  const { code = '' } = error as NodeJS.ErrnoException;
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code) ? code : null;
}
