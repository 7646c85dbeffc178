import { StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import type { RestoreStepResult } from '../shared/domain/wire.ts';
import type { Warning } from '../shared/domain/warning.ts';
import type { PlannedMember } from './planned-member.ts';
import { checkRooms } from './restore-check.ts';
import { refusedInPlan } from './restore-failures.ts';
import type { RestoreFindings } from './restore-findings.ts';
import { stagePlanOf, type RestoreSteps } from './restore-steps.ts';
import { approachOf, type SetToRestore } from './sets/restore-set.ts';

/** What an agent finds of an image that keeps it from the mark. */
const OF_IMAGES: ReadonlySet<string> = new Set([
  'images-unnamed',
  'image-missing',
  'image-unfit',
  'image-changed',
  'journal-missing',
  'journal-foreign',
  'set-missing',
  'set-damaged',
]);

interface Looked {
  /** Members that their agents prove where no client can reach them. */
  readonly private: ReadonlySet<PlannedMember>;
  /** Those that take questions. */
  readonly asked: ReadonlySet<PlannedMember>;
  readonly warnings: readonly Warning[];
}

/** Every agent looks at what its part of the restore needs on its host; nothing is touched. */
export async function lookAtHosts(input: {
  readonly restoreId: string;
  readonly manifest: GridManifest;
  readonly members: readonly PlannedMember[];
  readonly steps: RestoreSteps;
  readonly findings: RestoreFindings;
  readonly set: SetToRestore | null;
}): Promise<Looked> {
  const { members, findings } = input;
  const looked = { private: new Set<PlannedMember>(), asked: new Set<PlannedMember>() };
  const warnings: Warning[] = [];
  const rooms = (await lookAtEach(input)).flatMap((result, index) => {
    const member = members[index];
    if (result.type !== 'checked' || member === undefined) return [];
    if (result.provesInPrivate) looked.private.add(member);
    if (result.takesQuestions) looked.asked.add(member);
    warnings.push(...result.warnings);
    findings.named(member, result.addresses);
    return [{ member, rooms: result.rooms }];
  });
  checkRooms(rooms);
  return { ...looked, warnings };
}

/** Of a set all that is in the way is told at once: who makes it anew must not be told of the next reason only then. */
async function lookAtEach({
  restoreId,
  manifest,
  members,
  steps,
  findings,
  set,
}: Parameters<typeof lookAtHosts>[0]): Promise<RestoreStepResult[]> {
  const moves = findings.movesOf(members);
  const seen = new Map<string, Failure>();
  const results = await Promise.allSettled(
    members.map(async (member) => {
      const plan = stagePlanOf(restoreId, manifest, member);
      const [result] = await steps.each([member], { type: 'check', moves, ...plan });
      return result;
    }),
  );
  const found = results.map((result, index) => {
    if (result.status === 'fulfilled') return null;
    const error: unknown = result.reason;
    const isOfImage = error instanceof StillpointError && OF_IMAGES.has(error.failure.code);
    if (isOfImage) seen.set(members[index]?.source.name ?? '', error.failure);
    return { error, isOfImage };
  });
  const [first] = found.filter((one) => one !== null).toSorted((a, b) => +a.isOfImage - +b.isOfImage);
  if (set !== null && first?.isOfImage === true) approachOf(set, seen);
  if (first !== undefined) refusedInPlan(first.error);
  return results.flatMap((result) =>
    result.status === 'fulfilled' && result.value !== undefined ? [result.value] : [],
  );
}
