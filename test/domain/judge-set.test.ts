import { expect } from 'chai';
import fc from 'fast-check';
import type { Backup, BackupSet, Stamp } from '../../shared/domain/backup-set.ts';
import {
  coldMembers,
  judge,
  stampedHolds,
  type HeldMember,
  type Hold,
} from '../../shared/domain/judge-set.ts';
import type { HoldPurpose } from '../../shared/domain/purpose.ts';

// Goal: a set is restored to a hold only where all its members come to one moment, and whatever is in the way is told,
// with its remedy. Method: one good case of each approach, changed in one place at a time; then histories at random, with
// the truth known from the order in which things happened.

const FREEZE = '20261120T120000.000Z_00000000_00000007_external';
const LATER = '20261120T130000.000Z_00000000_00000009_external';
const MEMBERS = ['orders-1a', 'orders-2a'];

function stamp(counter: number, changes: Partial<Stamp> = {}): Stamp {
  return { epoch: 0, counter, heldBy: null, incarnation: 'life 1', stoppedAs: null, ...changes };
}

function heldUnder(checkpoint: string, purpose: HoldPurpose, counter = 7): Stamp {
  return stamp(counter, { heldBy: { operation: `job of ${checkpoint}`, purpose, checkpoint } });
}

function backup(member: string, begun: Stamp | null, end: Stamp, type: 'ended' | 'added' = 'ended'): Backup {
  return {
    member,
    begun,
    ended: { type, image: `${member}.image`, stamp: end, begunBefore: MEMBERS },
    image: {
      digest: 'd'.repeat(64),
      engine: 'native',
      dataIdentity: `data of ${member}`,
      files: 3,
      sizeBytes: 100,
      firstJournalFile: 'journal-0003',
      journalFiles: ['journal-0003', 'journal-0004', `end of ${member}`],
    },
  };
}

function setOf(backups: readonly Backup[]): BackupSet {
  return { grid: 'orders', name: 'nightly', backups };
}

type Committed = Extract<Hold, { type: 'committed' }>;

function hold(purpose: HoldPurpose, changes: Partial<Committed> = {}): Committed {
  return {
    type: 'committed',
    checkpoint: FREEZE,
    purpose,
    epoch: 0,
    counter: 7,
    members: MEMBERS.map((name) => heldMember(name)),
    ...changes,
  };
}

function heldMember(name: string, changes: Partial<HeldMember> = {}): HeldMember {
  return {
    name,
    journalFile: `end of ${name}`,
    dataIdentity: `data of ${name}`,
    stoppedAs: null,
    ...changes,
  };
}

/** Copied at any time before the checkpoint. */
const before = (member: string): Backup => backup(member, stamp(4), stamp(6));
const during = (purpose: HoldPurpose, member: string): Backup =>
  backup(member, heldUnder(FREEZE, purpose), heldUnder(FREEZE, purpose));
const cold = (member: string): Backup => {
  const stopped = stamp(6, { incarnation: '', stoppedAs: `as ${member} lay` });
  return backup(member, stopped, stopped);
};
const coldHold = hold('quiesce', {
  members: MEMBERS.map((name) => heldMember(name, { journalFile: null, stoppedAs: `as ${name} lay` })),
});

const uncoordinated = setOf(MEMBERS.map(before));
const quiesced = setOf(MEMBERS.map((member) => during('quiesce', member)));
const frozen = setOf(MEMBERS.map((member) => during('freeze', member)));
const stopped = setOf(MEMBERS.map(cold));

function changed(set: BackupSet, member: string, change: (backup: Backup) => Backup): BackupSet {
  return setOf(set.backups.map((one) => (one.member === member ? change(one) : one)));
}

function changedEnd(set: BackupSet, change: Partial<NonNullable<Backup['ended']>>): BackupSet {
  return changed(set, 'orders-2a', (one) => ({
    ...one,
    ended: one.ended === null ? null : { ...one.ended, ...change },
  }));
}

describe('what a set of backups can be restored to', () => {
  const good: readonly [string, BackupSet, Hold, string][] = [
    [
      'a journal checkpoint after backups of any time [S57]',
      uncoordinated,
      hold('journalCheckpoint'),
      'journals',
    ],
    ['a quiesce in which all was copied [S60]', quiesced, hold('quiesce'), 'quiesce'],
    ['the moment at which all members were shut down, and copied so [S61]', stopped, coldHold, 'quiesce'],
    ['a freeze in which all was copied [S64]', frozen, hold('freeze'), 'freeze'],
    [
      'the journal checkpoint in a freeze after backups of any time',
      uncoordinated,
      hold('freeze'),
      'journals',
    ],
    [
      'a journal checkpoint after backups that were added before it',
      setOf(MEMBERS.map((member) => backup(member, null, stamp(6), 'added'))),
      hold('journalCheckpoint'),
      'journals',
    ],
    [
      'a journal checkpoint of a higher epoch, whatever its counter',
      uncoordinated,
      hold('journalCheckpoint', { epoch: 1, counter: 1 }),
      'journals',
    ],
  ];
  for (const [what, set, to, approach] of good)
    it(`is ${what}`, () => expect(judge(set, to)).to.deep.equal({ approach, reasons: [] }));

  const underOther = heldUnder(LATER, 'freeze', 9);
  const bad: readonly [string, BackupSet, Hold, string, RegExp, string?][] = [
    [
      'a journal checkpoint that was made before the last backup ended [S58]',
      changedEnd(uncoordinated, { stamp: stamp(7) }),
      hold('journalCheckpoint'),
      'backup-after-checkpoint',
      /too old for the backup of orders-2a, which had not ended when it was made/,
    ],
    [
      'a journal checkpoint of a lower epoch [S58]',
      changedEnd(uncoordinated, { stamp: stamp(1, { epoch: 1 }) }),
      hold('journalCheckpoint'),
      'backup-after-checkpoint',
      /too old/,
    ],
    [
      'a journal checkpoint that a backup was added after [S58]',
      changedEnd(uncoordinated, { stamp: stamp(8), type: 'added' }),
      hold('journalCheckpoint'),
      'backup-after-checkpoint',
      /was told of only after it, and nothing proves/,
    ],
    [
      'a freeze that a backup began before [S65]',
      changed(frozen, 'orders-2a', (one) => ({ ...one, begun: stamp(6) })),
      hold('freeze'),
      'backup-outside-hold',
      /the backup of orders-2a began when .* did not hold/,
    ],
    [
      'a freeze that a backup ended after [S65]',
      changedEnd(frozen, { stamp: stamp(7) }),
      hold('freeze'),
      'backup-outside-hold',
      /ended when .* had let go/,
    ],
    [
      'a freeze that a backup began under another of [S65]',
      changed(frozen, 'orders-2a', (one) => ({ ...one, begun: underOther })),
      hold('freeze'),
      'backup-outside-hold',
      /began under .*00000009_external, not under/,
    ],
    [
      'a freeze that a backup ended under another of [S65]',
      changedEnd(frozen, { stamp: underOther }),
      hold('freeze'),
      'backup-outside-hold',
      /ended when .* had let go/,
    ],
    [
      'a quiesce that a backup ended after [S75]',
      changedEnd(quiesced, { stamp: stamp(7) }),
      hold('quiesce'),
      'backup-outside-hold',
      /ended when .* had let go/,
    ],
    [
      'a quiesce that a backup was made before, with or without journals [S60]',
      uncoordinated,
      hold('quiesce'),
      'backup-outside-hold',
      /began when .* did not hold/,
      'orders-1a',
    ],
    [
      'a freeze that a backup was added to [S65]',
      changed(frozen, 'orders-2a', (one) => ({ ...one, begun: null })),
      hold('freeze'),
      'backup-outside-hold',
      /was added to the set, and nothing proves/,
    ],
    [
      'a freeze of which the ending journal file is not in an image [S66]',
      changed(frozen, 'orders-2a', (one) => ({
        ...one,
        image: one.image === null ? null : { ...one.image, journalFiles: ['journal-0003', 'journal-0004'] },
      })),
      hold('freeze'),
      'journal-not-in-image',
      /journal file end of orders-2a, which ended at the freeze, is not in its image orders-2a\.image/,
    ],
    [
      'anything, where a member has no backup',
      setOf(frozen.backups.slice(0, 1)),
      hold('freeze'),
      'backup-missing',
      /orders-2a has no backup in set nightly/,
    ],
    [
      'anything in which a member of the set took no part',
      frozen,
      hold('freeze', { members: [heldMember('orders-1a')] }),
      'backup-not-held',
      /orders-2a is in set nightly, and took no part in/,
    ],
    [
      'anything, where a backup has not ended',
      changed(frozen, 'orders-2a', (one) => ({ ...one, ended: null, image: null })),
      hold('freeze'),
      'backup-unfinished',
      /has begun and not ended/,
    ],
    [
      'anything, where nobody has read an image',
      changed(frozen, 'orders-2a', (one) => ({ ...one, image: null })),
      hold('freeze'),
      'image-not-read',
      /nobody has read its image orders-2a\.image yet/,
    ],
    [
      'anything, where an image is of other data',
      frozen,
      hold('freeze', {
        members: [heldMember('orders-1a'), heldMember('orders-2a', { dataIdentity: 'data of a copy' })],
      }),
      'image-of-other',
      /is of the data data of orders-2a; .* is of data of a copy/,
    ],
    [
      'a shutdown that a member was started in [S61]',
      changedEnd(stopped, { stamp: stamp(6, { incarnation: '', stoppedAs: 'as it lay afterwards' }) }),
      coldHold,
      'backup-not-cold',
      /orders-2a ran while it was copied/,
    ],
    [
      'a shutdown that a member ran at the begin of [S61]',
      changed(stopped, 'orders-2a', (one) => ({ ...one, begun: stamp(6) })),
      coldHold,
      'backup-not-cold',
      /orders-2a ran while it was copied/,
    ],
    [
      'shutdowns one after the other [S61]',
      changedEnd(stopped, { begunBefore: ['orders-2a'] }),
      coldHold,
      'backup-not-together',
      /orders-2a was copied before it was known that orders-1a was shut down too/,
    ],
  ];
  for (const [what, set, to, code, message, member = 'orders-2a'] of bad)
    it(`is not ${what}`, () => {
      const { approach, reasons } = judge(set, to);
      expect(approach).to.equal(null);
      const [reason] = reasons;
      expect(reason).to.include({ code, member });
      expect(reason?.message).to.match(message);
      expect(reason?.hint).to.match(/stillpoint|start|set/);
    });

  it('is nothing that is not proven to have held to its end [S75] [S91]', () => {
    const { approach, reasons } = judge(frozen, { type: 'unproven', checkpoint: FREEZE });
    expect(approach).to.equal(null);
    expect(reasons.map(({ code }) => code)).to.deep.equal(['hold-not-proven']);
    expect(reasons[0]?.hint).to.match(/do not trust .* copy again/);
  });

  it('is nothing later either, where a hold under which a member was copied is not proven [S91]', () => {
    const later = hold('journalCheckpoint', { checkpoint: LATER, counter: 9 });
    expect(judge(frozen, later).approach).to.equal('journals');
    const { approach, reasons } = judge(frozen, later, { unproven: [FREEZE] });
    expect(approach).to.equal(null);
    expect(reasons.map(({ code, message }) => `${code} ${message.includes(FREEZE)}`)).to.deep.equal([
      'hold-not-proven true',
    ]);
    expect(stampedHolds(frozen)).to.deep.equal([FREEZE]);
    expect(stampedHolds(uncoordinated)).to.deep.equal([]);
  });

  it('is nothing that an agent has seen something against: a journal is missing [S59], a foreign one lies there [S62]', () => {
    const failure = (
      code: string,
      member: string,
    ): [string, { code: string; message: string; hint: string }] => [
      member,
      { code, message: `${code} of ${member}`, hint: 'bring it back' },
    ];
    const seen = new Map([failure('journal-missing', 'orders-1a'), failure('journal-foreign', 'orders-2a')]);
    const { approach, reasons } = judge(uncoordinated, hold('journalCheckpoint'), { seen });
    expect(approach).to.equal(null);
    expect(reasons.map(({ code }) => code)).to.deep.equal(['journal-missing', 'journal-foreign']);
  });

  it('has every reason told at once', () => {
    const { backups } = changed(frozen, 'orders-2a', (one) => ({ ...one, ended: null, image: null }));
    const [first] = backups;
    const both = setOf([{ ...first, begun: stamp(6) } as Backup, ...backups.slice(1)]);
    expect(judge(both, hold('freeze')).reasons.map(({ code, member }) => `${member} ${code}`)).to.deep.equal([
      'orders-2a backup-unfinished',
      'orders-1a backup-outside-hold',
    ]);
  });

  it('is known of a cold set without a hold, and of no other', () => {
    expect(coldMembers(stopped)).to.deep.equal(
      MEMBERS.map((name) => ({ name, stoppedAs: `as ${name} lay` })),
    );
    for (const set of [frozen, uncoordinated, setOf([]), changedEnd(stopped, { begunBefore: [] })])
      expect(coldMembers(set)).to.equal(null);
  });
});

describe('a set that was made in any order of things', () => {
  /** What happens, one after the other: the truth that no stamp says by itself. */
  type Happening =
    | { readonly type: 'begin' | 'end'; readonly member: string }
    | { readonly type: 'hold' | 'letGo' | 'number' };

  interface History {
    readonly set: BackupSet;
    readonly hold: Hold | null;
    /** By the order of things: every copy before the hold, or every copy inside of it. */
    readonly allBefore: boolean;
    readonly allInside: boolean;
  }

  const members = ['a', 'b', 'c'];

  function play(happenings: readonly Happening[], purpose: HoldPurpose): History {
    let counter = 0;
    let isHeld = false;
    const at = new Map<string, { begun?: number; ended?: number; begin?: Stamp; end?: Stamp }>();
    let held: { number: number; from: number; to: number } | null = null;
    const checkpoint = 'the hold';
    const now = (): Stamp =>
      stamp(counter, {
        heldBy: isHeld && purpose !== 'journalCheckpoint' ? { operation: 'job', purpose, checkpoint } : null,
      });
    happenings.forEach((happening, time) => {
      if (happening.type === 'begin' && !at.has(happening.member))
        at.set(happening.member, { begun: time, begin: now() });
      const one = happening.type === 'end' ? at.get(happening.member) : undefined;
      if (one !== undefined && one.ended === undefined) Object.assign(one, { ended: time, end: now() });
      if (happening.type === 'number') counter += 1;
      if (happening.type === 'hold' && held === null) {
        counter += 1;
        isHeld = true;
        held = { number: counter, from: time, to: Infinity };
      }
      if (happening.type === 'letGo' && isHeld && held !== null) {
        isHeld = false;
        held = { ...held, to: time };
      }
    });
    const done = held as { number: number; from: number; to: number } | null;
    const copies = members.map((member) => at.get(member) ?? {});
    const set = setOf(
      members.flatMap((member) => {
        const { begin, end } = at.get(member) ?? {};
        if (begin === undefined) return [];
        const made = backup(member, begin, end ?? now());
        return [end === undefined ? { ...made, ended: null, image: null } : made];
      }),
    );
    const isIn = (from: number, to: number): boolean =>
      copies.every(
        ({ begun, ended }) => begun !== undefined && ended !== undefined && begun > from && ended < to,
      );
    return {
      set,
      hold:
        done === null
          ? null
          : hold(purpose, {
              checkpoint,
              counter: done.number,
              members: members.map((name) => heldMember(name)),
            }),
      allBefore: done !== null && isIn(-1, done.from),
      allInside: done !== null && isIn(done.from, done.to),
    };
  }

  const happening: fc.Arbitrary<Happening> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constantFrom('begin' as const, 'end' as const),
        member: fc.constantFrom(...members),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constantFrom('hold' as const, 'letGo' as const, 'number' as const) }),
    },
  );
  /** Every member begins and ends, and the hold is somewhere among that. */
  const whole = fc.shuffledSubarray(members, { minLength: 3 }).chain((order) => {
    const copied = order.flatMap((member): Happening[] => [
      { type: 'begin', member },
      { type: 'end', member },
    ]);
    return fc
      .tuple(fc.constantFrom(0, 0, 1, 3, 6), fc.constantFrom(2, 5, 6, 6))
      .map(([from, to]) => [
        ...copied.slice(0, from),
        { type: 'hold' as const },
        ...copied.slice(from, Math.max(from, to)),
        { type: 'letGo' as const },
        ...copied.slice(Math.max(from, to)),
      ]);
  });
  const histories = fc.oneof(fc.array(happening, { maxLength: 24 }), whole);

  for (const [purpose, ids] of [
    ['journalCheckpoint', '[S57] [S58]'],
    ['quiesce', '[S60]'],
    ['freeze', '[S64] [S65]'],
  ] as const)
    it(`is restored to a ${purpose} exactly where the truth allows it ${ids}`, () => {
      const counted = { fits: 0, refused: 0 };
      fc.assert(
        fc.property(histories, (happenings) => {
          const { set, hold: made, allBefore, allInside } = play(happenings, purpose);
          if (made === null) return;
          const { approach, reasons } = judge(set, made);
          const allowed =
            purpose === 'journalCheckpoint'
              ? allBefore
              : purpose === 'quiesce'
                ? allInside
                : allBefore || allInside;
          expect(approach !== null).to.equal(allowed);
          expect(reasons.length > 0).to.equal(!allowed);
          counted[allowed ? 'fits' : 'refused'] += 1;
        }),
        { numRuns: 1000 },
      );
      expect(Math.min(counted.fits, counted.refused)).to.be.greaterThan(20);
    });
});
