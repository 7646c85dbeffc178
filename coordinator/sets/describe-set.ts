import type { Backup, BackupSet } from '../../shared/domain/backup-set.ts';
import { EXIT, failureOf, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { judge, type Hold, type Verdict } from '../../shared/domain/judge-set.ts';
import type { Repository, SetEntry } from '../../shared/repository/repository.ts';
import { notValid } from '../checkpoint-selector.ts';
import type { DescribedHost } from '../with-grid.ts';
import { standing } from './begin-set.ts';
import { imageReport } from './end-backup.ts';
import { holdOf, holdsOf, isHold, unprovenOf, type HoldManifest } from './holds.ts';
import { storingMember } from './members.ts';
import type { BackupReport, SetListReport, SetReport } from './set-reports.ts';

/** Beyond these nobody asks what an old set could be restored to. */
const MOST_HOLDS_JUDGED = 100;

/** What is known of a set, and what it can be restored to. `asked`: what is told of one hold in full. */
export async function describeSet(
  repository: Repository,
  set: BackupSet,
  asked: { readonly checkpoint: string; readonly look: readonly DescribedHost[] | null } | null,
): Promise<SetReport> {
  const { grid, name } = set;
  const entries = await holdsOf(repository, grid);
  const valid = entries.flatMap(({ state, manifest }) =>
    state === 'valid' && manifest !== null && isHold(manifest) ? [manifest] : [],
  );
  const unproven = unprovenOf(set, entries);
  const restorable: { checkpoint: string; approach: NonNullable<Verdict['approach']> }[] = [];
  for (const manifest of valid.slice(0, MOST_HOLDS_JUDGED)) {
    const { approach } = judge(set, await holdOf(repository, manifest), { unproven });
    if (approach !== null) restorable.push({ checkpoint: manifest.checkpoint, approach });
  }
  const report: SetReport = {
    set: name,
    grid,
    backups: set.backups.map(backupReport),
    restorable,
    problems: unproven.flatMap((checkpoint) => judge(set, { type: 'unproven', checkpoint }).reasons),
  };
  if (asked === null) return report;
  const { checkpoint } = asked;
  const { hold, manifest } = await findHold(repository, set, checkpoint);
  const judged = judge(set, hold, { unproven });
  const seen =
    asked.look === null || manifest === null ? new Map() : await lookAgain(asked.look, set, manifest, judged);
  return {
    ...report,
    for: { checkpoint, purpose: manifest?.purpose ?? null, ...judge(set, hold, { seen, unproven }) },
  };
}

/**
 * What a set is to be restored to, by its full id. One that the set's own stamps name and the repository does not have
 * was never proven to its end.
 */
export async function findHold(
  repository: Repository,
  set: BackupSet,
  checkpoint: string,
): Promise<{ hold: Hold; manifest: HoldManifest | null; unproven: readonly string[] }> {
  const entries = await holdsOf(repository, set.grid);
  const unproven = unprovenOf(set, entries);
  const found = entries.find((entry) => entry.checkpoint === checkpoint);
  if (found?.state === 'valid' && found.manifest !== null && isHold(found.manifest))
    return { hold: await holdOf(repository, found.manifest), manifest: found.manifest, unproven };
  if (unproven.includes(checkpoint))
    return { hold: { type: 'unproven', checkpoint }, manifest: null, unproven };
  if (found !== undefined) throw notValid(found);
  const copied = (await repository.list(set.grid, { imported: true })).some(
    (entry) => entry.checkpoint === checkpoint,
  );
  throw copied ? notHeld(checkpoint) : unknownHold(checkpoint, set.name);
}

/** The agents look at every image again, as a restore does before it touches anything. */
async function lookAgain(
  described: readonly DescribedHost[],
  { name: set, backups }: BackupSet,
  { checkpoint, members }: HoldManifest,
  { approach }: Verdict,
): Promise<Map<string, Failure>> {
  const seen = new Map<string, Failure>();
  await Promise.all(
    backups.map(async ({ member, image }) => {
      const mark = members.find(({ name }) => name === member);
      if (mark === undefined || image === null || approach === null) return;
      try {
        await storingMember(described, member).connection.checkImage({
          member,
          checkpoint,
          mark: { member, digest: mark.manifestDigest },
          image: { set, digest: image.digest, approach },
        });
      } catch (error) {
        if (!(error instanceof StillpointError)) throw error;
        const failure = failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
        seen.set(member, { ...failure, member });
      }
    }),
  );
  return seen;
}

function backupReport({ member, begun, ended, image }: Backup): BackupReport {
  return {
    member,
    begun: begun === null ? null : standing(begun),
    ended: ended === null ? null : { type: ended.type, image: ended.image, ...standing(ended.stamp) },
    read: image === null ? null : imageReport(ended?.image ?? '', image),
  };
}

export function listSets(entries: readonly SetEntry[]): SetListReport {
  return {
    sets: entries.map(({ grid, name, state, set, cause }) => {
      const read = (set?.backups ?? []).flatMap(({ ended, image }) =>
        ended === null || image === null ? [] : [image],
      );
      return {
        set: name,
        grid,
        state,
        backups: set?.backups.length ?? 0,
        whole: read.length,
        sizeBytes: read.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        ...(cause !== null && { cause }),
      };
    }),
  };
}

function notHeld(checkpoint: string): StillpointError {
  return new StillpointError(
    {
      code: 'checkpoint-not-held',
      message: `${checkpoint} is a checkpoint with copies of its own: no set is brought to it`,
      hint: 'restore it without --set; or name a journal checkpoint, quiesce or freeze: stillpoint checkpoint list --all',
    },
    EXIT.refused,
  );
}

function unknownHold(checkpoint: string, set: string): StillpointError {
  return new StillpointError({
    code: 'checkpoint-missing',
    message: `the repository has no journal checkpoint, quiesce or freeze ${checkpoint}`,
    hint: `stillpoint set describe ${set} shows what this set can be restored to, and stillpoint checkpoint list --all what there is`,
  });
}
