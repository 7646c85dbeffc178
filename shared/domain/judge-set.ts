import type { Approach, Backup, BackupSet, Stamp } from './backup-set.ts';
import type { Failure } from './errors.ts';
import type { HoldPurpose } from './purpose.ts';

/** A member as a hold names it: everybody who stores data, and so needs a backup. */
export interface HeldMember {
  readonly name: string;
  /** The journal file that ends at the mark; null where its engine has no such file. */
  readonly journalFile: string | null;
  readonly dataIdentity: string;
  /** Of a member that was shut down all along: how its files lay. Else null. */
  readonly stoppedAs: string | null;
}

/** What a set is to be restored to: its moment is that of the marks. */
export type Hold =
  | {
      readonly type: 'committed';
      readonly checkpoint: string;
      readonly purpose: HoldPurpose;
      readonly epoch: number;
      readonly counter: number;
      readonly members: readonly HeldMember[];
    }
  /** It ended as already resumed, or nobody knows how it ended: nothing proves that it held. */
  | { readonly type: 'unproven'; readonly checkpoint: string };

type CommittedHold = Extract<Hold, { type: 'committed' }>;

export interface Verdict {
  /** Null where the set cannot be restored to this hold. */
  readonly approach: Approach | null;
  /** Everything that is in the way; empty where nothing is. */
  readonly reasons: readonly Failure[];
}

/** What the records of a set and a hold do not say. */
export interface Known {
  /** By member: what its agent found when it looked at its image again (a journal is missing, a foreign one lies there). */
  readonly seen?: ReadonlyMap<string, Failure>;
  /** Those of `stampedHolds` of which nothing proves that they held to their end. */
  readonly unproven?: readonly string[];
}

/**
 * Which approach a set of backups satisfies with a hold, and all that keeps it from it. A wrong combination restores
 * members to different moments, and no member can see that by itself; so everything is told here, before a file is
 * written.
 *
 * Nothing here is a time of a clock. A backup that ended before a hold began has a stamp with a lower number; one that was
 * made inside of it has the same hold in its first stamp and in its last, and a hold cannot come back once it has ended.
 */
export function judge(set: BackupSet, hold: Hold, { seen = new Map(), unproven = [] }: Known = {}): Verdict {
  if (hold.type === 'unproven') return { approach: null, reasons: [notProven(hold.checkpoint)] };
  const common = [
    ...unproven.map(notProven),
    ...differentMembers(set, hold),
    ...unfit(set, hold),
    ...seen.values(),
  ];
  const tried = approachesOf(hold).map((approach) => ({
    approach,
    reasons: [...common, ...inTheWayOf(approach, set, hold)],
  }));
  const fits = tried.find(({ reasons }) => reasons.length === 0);
  if (fits !== undefined) return fits;
  // What its operator meant is most likely what the least is missing of.
  const [nearest] = tried.toSorted((a, b) => a.reasons.length - b.reasons.length);
  return { approach: null, reasons: nearest?.reasons ?? common };
}

/** The quiesces and freezes under which members of a set were copied: what was broken of one is in no copy of it whole. */
export function stampedHolds({ backups }: BackupSet): string[] {
  const stamps = backups.flatMap(({ begun, ended }) => [begun, ended?.stamp]);
  return [...new Set(stamps.flatMap((stamp) => stamp?.heldBy?.checkpoint ?? []))];
}

/** Inside a freeze is a journal checkpoint: backups that ended before it are brought to its mark by their journals. */
function approachesOf({ purpose }: CommittedHold): readonly Approach[] {
  if (purpose === 'freeze') return ['freeze', 'journals'];
  return purpose === 'quiesce' ? ['quiesce'] : ['journals'];
}

function inTheWayOf(approach: Approach, set: BackupSet, hold: CommittedHold): Failure[] {
  return set.backups.flatMap((backup) => {
    const held = hold.members.find(({ name }) => name === backup.member);
    // Told already.
    if (held === undefined || backup.ended === null) return [];
    if (approach === 'journals') return tooLate(backup, backup.ended.stamp, hold);
    if (held.stoppedAs !== null) return notCold(backup, held.stoppedAs, set);
    const outside = outsideOf(backup, hold);
    return approach === 'freeze' ? [...outside, ...withoutItsJournal(backup, held)] : outside;
  });
}

function differentMembers({ name, backups }: BackupSet, { checkpoint, members }: CommittedHold): Failure[] {
  const missing = members
    .filter((held) => !backups.some(({ member }) => member === held.name))
    .map(({ name: member }) => ({
      code: 'backup-missing',
      message: `${member} has no backup in set ${name}`,
      hint: `copy it too: stillpoint set begin ${name} ${member} before, stillpoint set end ${name} ${member} --image NAME after`,
      member,
    }));
  const others = backups
    .filter(({ member }) => !members.some((held) => held.name === member))
    .map(({ member }) => ({
      code: 'backup-not-held',
      message: `${member} is in set ${name}, and took no part in ${checkpoint}`,
      hint: `restore to one in which it took part (stillpoint set describe ${name}), or make a set without it`,
      member,
    }));
  return [...missing, ...others];
}

/** Whatever the approach. */
function unfit({ name, backups }: BackupSet, { checkpoint, members }: CommittedHold): Failure[] {
  return backups.flatMap(({ member, ended, image }): Failure[] => {
    const held = members.find((one) => one.name === member);
    if (held === undefined) return [];
    if (ended === null)
      return [
        {
          code: 'backup-unfinished',
          message: `the backup of ${member} in set ${name} has begun and not ended`,
          hint: `when it is whole: stillpoint set end ${name} ${member} --image NAME`,
          member,
        },
      ];
    if (image === null)
      return [
        {
          code: 'image-not-read',
          message: `${member}: nobody has read its image ${ended.image} yet`,
          hint: `stillpoint set end ${name} ${member} --image ${ended.image}`,
          member,
        },
      ];
    if (held.dataIdentity === '' || image.dataIdentity === held.dataIdentity) return [];
    return [
      {
        code: 'image-of-other',
        message: `${member}: its image ${ended.image} is of the data ${image.dataIdentity}; ${checkpoint} is of ${held.dataIdentity}`,
        hint: 'name the image of this member in a new set (stillpoint set add)',
        member,
      },
    ];
  });
}

function tooLate({ member, ended }: Backup, { epoch, counter }: Stamp, hold: CommittedHold): Failure[] {
  if (epoch < hold.epoch || (epoch === hold.epoch && counter < hold.counter)) return [];
  const cause =
    ended?.type === 'added'
      ? 'was told of only after it, and nothing proves that it had ended before'
      : 'had not ended when it was made';
  return [
    {
      code: 'backup-after-checkpoint',
      message: `${hold.checkpoint} is too old for the backup of ${member}, which ${cause}`,
      hint: 'make another when all backups have ended (stillpoint journal-checkpoint), and restore to that',
      member,
    },
  ];
}

/** Begun before it was held, ended after it was let go, or held by another job. */
function outsideOf({ member, begun, ended }: Backup, hold: CommittedHold): Failure[] {
  const outside = (cause: string): Failure[] => [
    {
      code: 'backup-outside-hold',
      message: `the backup of ${member} ${cause}`,
      hint: `copy all members again while one ${hold.purpose} holds: stillpoint set begin after it says that it holds, stillpoint set end before it is let go of`,
      member,
    },
  ];
  const isThis = (stamp: Stamp): boolean => stamp.heldBy?.checkpoint === hold.checkpoint;
  if (begun === null)
    return outside(`was added to the set, and nothing proves that ${hold.checkpoint} held meanwhile`);
  if (begun.heldBy === null) return outside(`began when ${hold.checkpoint} did not hold the member`);
  if (!isThis(begun)) return outside(`began under ${begun.heldBy.checkpoint}, not under ${hold.checkpoint}`);
  if (ended === null || isThis(ended.stamp)) return [];
  return outside(`ended when ${hold.checkpoint} had let go of the member already`);
}

function withoutItsJournal({ member, image, ended }: Backup, { journalFile }: HeldMember): Failure[] {
  if (image === null || journalFile === null || image.journalFiles.includes(journalFile)) return [];
  return [
    {
      code: 'journal-not-in-image',
      message: `${member}: the journal file ${journalFile}, which ended at the freeze, is not in its image ${ended?.image ?? ''}`,
      hint: "copy the member's journal directory with its data while it is frozen, in a new set",
      member,
    },
  ];
}

/** Copied while everybody was shut down: its files never changed from its begin to its end, and all were down at once. */
function notCold({ member, begun, ended }: Backup, stoppedAs: string, { backups }: BackupSet): Failure[] {
  const reason = (code: string, message: string): Failure[] => [
    {
      code,
      message,
      hint: 'shut all members down, then stillpoint set begin, copy all of them, stillpoint set end for each, and only then start them',
      member,
    },
  ];
  if (begun?.stoppedAs !== stoppedAs || ended?.stamp.stoppedAs !== stoppedAs)
    return reason('backup-not-cold', `${member} ran while it was copied, or its files changed`);
  const late = backups.map((other) => other.member).filter((name) => !ended.begunBefore.includes(name));
  if (late.length === 0) return [];
  return reason(
    'backup-not-together',
    `${member} was copied before it was known that ${late.join(', ')} ${late.length === 1 ? 'was' : 'were'} shut down too`,
  );
}

function notProven(checkpoint: string): Failure {
  return {
    code: 'hold-not-proven',
    message: `nothing proves that ${checkpoint} held to its end: it ended as already resumed, failed, or was deleted`,
    hint: 'do not trust what was copied during it: hold again, and copy again into a new set',
  };
}

/**
 * What a set of members that were all shut down while they were copied was copied of: equal to a quiesce. Null where it
 * is no such set.
 */
export function coldMembers(set: BackupSet): readonly { name: string; stoppedAs: string }[] | null {
  const members = set.backups.flatMap(({ member, begun }) =>
    begun?.stoppedAs === undefined || begun.stoppedAs === null
      ? []
      : [{ name: member, stoppedAs: begun.stoppedAs }],
  );
  const isCold =
    members.length === set.backups.length &&
    set.backups.every((backup, index) => {
      const { stoppedAs = '' } = members[index] ?? {};
      return backup.image !== null && notCold(backup, stoppedAs, set).length === 0;
    });
  return isCold && members.length > 0 ? members : null;
}
