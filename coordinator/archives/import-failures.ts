import { EXIT, failureOf, StillpointError } from '../../shared/domain/errors.ts';
import type { MemberManifest } from '../../shared/domain/manifest.ts';
import { isCancellation } from '../cancellation.ts';
import { inMegabytes } from '../megabytes.ts';
import { BECOMES_THAT } from './import-manifest.ts';

/** What an agent has stored is what was brought, and nothing besides. */
export function mustBeGiven({ member, artifacts }: MemberManifest, path: string, sha256: string): void {
  const [archive, ...others] = artifacts;
  if (archive?.kind === 'file' && archive.path === path && archive.digest === sha256 && others.length === 0)
    return;
  throw new StillpointError(
    {
      code: 'agent-untrue',
      message: `${member.name}: its agent has stored something else than the archive that was given`,
      hint: `see the agent's log on ${member.host}; nothing was committed`,
      host: member.host,
      member: member.name,
    },
    EXIT.aborted,
  );
}

export function checkRoom(needed: number, free: number, where: string): void {
  if (needed <= free) return;
  throw new StillpointError(
    {
      code: 'import-no-room',
      message: `the archive is of ${inMegabytes(needed)}, and ${where} has ${inMegabytes(free)} free`,
      hint: 'make room there, then import it again',
      phase: 'preflight',
    },
    EXIT.refused,
  );
}

/** In the phase `verify` an engine says what is wrong with the archive. */
export function ofTheArchive(file: string, error: unknown): unknown {
  if (error instanceof StillpointError && isCancellation(error)) return error;
  const failure = failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
  if (failure.phase !== 'verify') return new StillpointError(failure, EXIT.aborted, { cause: error });
  const message = `${file}: ${failure.message}`;
  return new StillpointError({ ...failure, message }, EXIT.invalid, { cause: error });
}

export function notWhole(file: string, leftOut: string): StillpointError {
  return new StillpointError(
    {
      code: 'archive-partial',
      message: `${file} was made without ${leftOut}`,
      hint: `import one of everything; or this one with --partial: ${BECOMES_THAT}`,
      phase: 'verify',
    },
    EXIT.refused,
  );
}
