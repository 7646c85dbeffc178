import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import type { EngineResult } from '../../shared/protocol/member-machine.ts';
import { Driven, first, held, LEASE, marked, second } from './driven-member.ts';

// Goal: a command is done once, in a phase that it fits; everything else changes nothing on the member.
// Method: a table: every command, and every answer of the engine, in every phase.

const prepare: MemberCommand = { type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: true };
const arm = (token = first): MemberCommand => ({ type: 'arm', token, leaseMs: LEASE });
const freeze = (token = first): MemberCommand => ({ type: 'freeze', token, leaseMs: LEASE });
const thaw = (token = first): MemberCommand => ({ type: 'thaw', token });
const collect = (token = first): MemberCommand => ({ type: 'collect', token });
const collected: EngineResult = { type: 'collected', manifestDigest: 'd', sizeBytes: 2, storedBytes: 1 };

const reach: Record<string, () => Driven> = {
  idle: () => new Driven(),
  preparing: () => new Driven().receives(prepare),
  prepared: () => new Driven().receives(prepare).engine({ type: 'prepared' }),
  arming: () => new Driven().receives(prepare).engine({ type: 'prepared' }).receives(arm()),
  armed: () => new Driven().armed(),
  freezing: () => new Driven().armed().receives(freeze()),
  frozen: () => new Driven().frozen(),
  thawing: () => new Driven().frozen().receives(thaw()),
  thawed: () => new Driven().frozen().receives(thaw()).engine(held),
  releasing: () => new Driven().frozen().timeIs(LEASE),
  released: () => new Driven().frozen().timeIs(LEASE).engine(held),
  collecting: () => new Driven().frozen().receives(thaw()).engine(held).receives(collect()),
  collected: () => new Driven().frozen().receives(thaw()).engine(held).receives(collect()).engine(collected),
  aborting: () => new Driven().frozen().receives({ type: 'abort', token: first }),
  aborted: () =>
    new Driven()
      .frozen()
      .receives({ type: 'abort', token: first })
      .engine({ type: 'aborted', state: 'running' }),
  closed: () => new Driven().happens({ type: 'streamClosed', now: 0 }),
};

/** The same in this phase and in all that follow, until the abort. */
function since(phase: string, did: readonly string[]): Record<string, readonly string[]> {
  const names = Object.keys(reach);
  const following = names.slice(names.indexOf(phase), names.indexOf('aborting'));
  return Object.fromEntries(following.map((name) => [name, did]));
}

/** What is done for a command that is right in this phase; in every other it is refused. */
const done: Record<string, { command: MemberCommand; in: Record<string, readonly string[]> }> = {
  prepare: {
    command: prepare,
    in: {
      idle: ['engine prepare'],
      preparing: [],
      ...since('prepared', ['answer prepared']),
    },
  },
  'arm, repeated': {
    command: arm(),
    in: {
      prepared: ['record', 'engine arm'],
      arming: [],
      ...since('armed', ['answer armed']),
    },
  },
  'arm under a newer token': {
    command: arm(second),
    in: {
      prepared: ['record', 'engine arm'],
      thawed: ['record', 'engine arm'],
      released: ['record', 'engine arm'],
    },
  },
  'pause under a newer token': {
    command: { type: 'pause', token: second },
    in: { prepared: ['engine pause'], thawed: ['engine pause'], released: ['engine pause'] },
  },
  disarm: {
    command: { type: 'disarm', token: first },
    in: {
      prepared: ['answer disarmed'],
      arming: [],
      armed: ['engine disarm'],
      releasing: [],
      released: ['answer disarmed'],
    },
  },
  'disarm under a newer token': {
    command: { type: 'disarm', token: second },
    in: { prepared: ['answer disarmed'], thawed: ['answer disarmed'], released: ['answer disarmed'] },
  },
  freeze: {
    command: freeze(),
    in: {
      armed: ['engine freeze'],
      freezing: [],
      ...since('frozen', ['answer marked']),
    },
  },
  'freeze under another token': { command: freeze(second), in: {} },
  thaw: {
    command: thaw(),
    in: {
      armed: ['engine thaw'],
      frozen: ['engine thaw'],
      thawing: [],
      releasing: [],
      thawed: ['answer thawed'],
      released: ['answer thawed'],
      collecting: ['answer thawed'],
      collected: ['answer thawed'],
    },
  },
  'thaw under another token': { command: thaw(second), in: {} },
  collect: {
    command: collect(),
    in: { thawed: ['engine collect'], collecting: [], collected: ['answer collected'] },
  },
  'collect under another token': { command: collect(second), in: {} },
};

describe('a command to a member', () => {
  for (const [what, { command, in: right }] of Object.entries(done)) {
    it(`to ${what}: is done or answered where it fits, refused elsewhere`, () => {
      const did = Object.fromEntries(
        Object.entries(reach).map(([phase, member]) => {
          const reached = member();
          expect(reached.state.phase.name).to.equal(phase);
          return [phase, reached.receives(command).did];
        }),
      );
      const expected = Object.keys(reach).map((phase) => [phase, right[phase] ?? ['answer refused']]);
      expect(did).to.deep.equal(Object.fromEntries(expected));
    });
  }

  it('that is refused leaves the member in the phase it was in, and says which that is', () => {
    const member = new Driven().frozen();
    const { phase } = member.state;
    member.receives(thaw(second));
    expect(member.state.phase).to.deep.equal(phase);
    expect(member.effects).to.deep.equal([
      {
        type: 'answer',
        answer: {
          type: 'refused',
          failure: {
            code: 'stale-token',
            message: 'm: thaw of 0/3/2 while frozen with 0/3/1',
            hint: 'start the checkpoint again; only the newest attempt of the newest run counts',
          },
        },
      },
    ]);
  });

  const codes: [string, () => Driven, MemberCommand, string][] = [
    ['an arm of a token that was recorded before', () => new Driven(first), arm(), 'stale-token'],
    ['an arm before it is prepared', () => new Driven().receives(prepare), arm(), 'out-of-order'],
    ['a freeze before it is armed', () => new Driven().receives(prepare), freeze(), 'stale-token'],
    ['a collect before its thaw', () => new Driven().frozen(), collect(), 'out-of-order'],
    [
      'a prepare after the abort',
      () => new Driven().receives({ type: 'abort', token: null }),
      prepare,
      'operation-over',
    ],
  ];
  for (const [what, member, command, code] of codes) {
    it(`is refused with ${code}: ${what}`, () => {
      const [effect] = member().receives(command).effects;
      expect(
        effect?.type === 'answer' && effect.answer.type === 'refused' && effect.answer.failure.code,
      ).to.equal(code);
    });
  }

  it('tells the engine what it was told', () => {
    const prepared = new Driven().receives(prepare);
    expect(prepared.effects).to.deep.equal([
      {
        type: 'engine',
        call: 1,
        action: {
          type: 'prepare',
          checkpoint: 'c',
          assignment: BY_ITSELF,
          maintenance: true,
          purpose: { type: 'checkpoint' },
        },
      },
    ]);
    expect(new Driven().armed().receives(freeze()).effects).to.deep.equal([
      { type: 'engine', call: 3, action: { type: 'freeze', token: first } },
    ]);
  });
});

describe('an answer of a member’s engine', () => {
  const fitting: Record<string, readonly string[]> = {
    preparing: ['prepared'],
    arming: ['armed'],
    freezing: ['marked'],
    thawing: ['released', 'thawed'],
    releasing: ['thawed'],
    collecting: ['collected'],
    aborting: ['aborted'],
  };
  const results: EngineResult[] = [
    { type: 'prepared' },
    { type: 'armed', incarnation: 'i' },
    marked,
    { type: 'released', thawMs: 1 },
    held,
    collected,
    { type: 'aborted', state: 'running' },
  ];
  for (const [phase, member] of Object.entries(reach)) {
    it(`that is not what a member waits for while ${phase} is not heard`, () => {
      for (const result of results.filter(({ type }) => !(fitting[phase] ?? []).includes(type))) {
        const reached = member();
        const { state } = reached;
        expect(reached.engine(result).effects, result.type).to.deep.equal([]);
        expect(reached.state).to.equal(state);
      }
    });
  }

  it('is said on to the coordinator as it is', () => {
    const member = reach['collecting']?.().engine(collected);
    expect(member?.effects).to.deep.equal([
      {
        type: 'answer',
        answer: { type: 'collected', token: first, manifestDigest: 'd', sizeBytes: 2, storedBytes: 1 },
      },
    ]);
    const broken: EngineResult = {
      type: 'thawed',
      proof: { type: 'broken', incarnation: 'i', cause: 'leak' },
    };
    expect(reach['thawing']?.().engine(broken).effects).to.deep.equal([
      { type: 'answer', answer: { type: 'thawed', token: first, proof: broken.proof } },
    ]);
  });
});
