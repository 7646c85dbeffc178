import { expect } from 'chai';
import { MemberRehearsal } from '../../agent/member-rehearsal.ts';
import type { AgentEvents } from '../../coordinator/agents.ts';
import { AnswerCheck } from '../../coordinator/answer-check.ts';
import { WindowRehearsal, type RehearsingStream } from '../../coordinator/window-rehearsal.ts';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import * as coordinatorMachine from '../../shared/protocol/coordinator-machine.ts';
import type { ConfiguredMember } from '../../shared/protocol/coordinator-machine.ts';
import * as memberMachine from '../../shared/protocol/member-machine.ts';
import { computerClock } from '../../shared/runtime/clock.ts';

// Goal: stand-ins go through whole checkpoints until that is fast, in a bounded time, and no member hears of it. Method: both
// sides of it are real, between them is a function call; the stream fails a test in which a member is told anything.

class RehearsedHost implements RehearsingStream {
  events: AgentEvents = {};
  readonly isClosed = false;
  rehearses = true;
  rehearsed: AgentEvents['memberAnswered'] | null = null;
  /** What goes on in the member's own server. */
  asked: string[] = [];
  isSilent = false;
  readonly commands: string[] = [];
  readonly #standIns = new Map<string, MemberRehearsal>();

  command(member: string, { type }: MemberCommand): void {
    throw new Error(`${member} itself was told to ${type}`);
  }

  rehearseMember(member: string, command: MemberCommand): void {
    this.commands.push(`${member} ${command.type}`);
    if (this.isSilent) return;
    const standIn =
      this.#standIns.get(member) ??
      new MemberRehearsal({
        member,
        kind: member === 'observer' ? 'observer' : 'fenced',
        surroundings: { clock: computerClock, time: () => new Date(), machine: memberMachine },
        leaseMs: 5000,
        rehearse: async (part) => void this.asked.push(`${member} ${part}`),
        send: (answer) => this.rehearsed?.(member, answer),
      });
    this.#standIns.set(member, standIn);
    standIn.receive(command);
  }

  cut(): void {
    throw new Error('the stream itself was cut');
  }

  close(): void {
    throw new Error('the stream itself was closed');
  }
}

const MEMBERS: readonly ConfiguredMember[] = [
  { name: 'a', kind: 'fenced' },
  { name: 'b', kind: 'fenced', assignment: { hold: 'lead', part: 'whole' } },
  { name: 'led', kind: 'fenced', assignment: { hold: 'none', part: 'none' }, heldBy: 'b' },
  { name: 'observer', kind: 'observer' },
];
const ADDRESS = 'alpha:1';
/** What the run that counts is given besides: of a rehearsal nobody is told, and nothing is noted. */
const FORBIDDEN = Object.fromEntries(
  ['tracer', 'job', 'progress', 'log', 'raisePriority', 'reconnect', 'commit', 'clock', 'answerCheck'].map(
    (name) => [
      name,
      new Proxy(() => undefined, {
        get: () => {
          throw new Error(`a rehearsal used ${name}`);
        },
        apply: () => {
          throw new Error(`a rehearsal called ${name}`);
        },
      }),
    ],
  ),
);

function rehearsal(host: RehearsedHost, mostMs = 20_000): WindowRehearsal {
  const addressOf = new Map(MEMBERS.map(({ name }) => [name, ADDRESS]));
  const check = (): AnswerCheck =>
    new AnswerCheck(
      MEMBERS.map(({ name, kind }) => ({
        name,
        kind,
        role: 'node' as const,
        marksJournalFile: true,
        address: ADDRESS,
      })),
    );
  const deadlines = {
    prepareMs: null,
    pauseMs: 5000,
    armMs: 5000,
    disarmMs: 5000,
    armAgainMs: 5000,
    reconnectMs: 5000,
    freezeMs: 5000,
    thawMs: 5000,
    collectMs: null,
    abortRetryMs: 1000,
    abortGiveUpMs: 5000,
  };
  return new WindowRehearsal(
    {
      config: {
        members: MEMBERS,
        checkpoint: '20261120T120000.123Z_00000000_00000007_nightly',
        maintenance: false,
        epoch: 0,
        counter: 7,
        leaseMs: 5000,
        maxAttempts: 3,
        maxArms: 5,
        deadlines,
      },
      machine: coordinatorMachine,
      streams: new Map([[ADDRESS, host]]),
      addressOf,
      ...FORBIDDEN,
    },
    check,
    mostMs,
  );
}

describe('the rehearsal of a window', () => {
  it('goes through whole checkpoints, with every kind of member, until none is faster than those before', async () => {
    const host = new RehearsedHost();
    const going = rehearsal(host);
    await going.start();
    const { windows } = going;
    expect(windows.length).to.be.at.least(16);
    expect(Math.min(...windows.slice(-8))).to.be.greaterThan(0.9 * Math.min(...windows.slice(0, -8)));
    const first = host.commands.slice(0, host.commands.lastIndexOf('observer prepare'));
    for (const word of [
      'a prepare',
      'observer pause',
      'a arm',
      'b freeze',
      'observer freeze',
      'a thaw',
      'led collect',
    ])
      expect(first).to.include(word);
    expect(first).to.not.include('led freeze');
  });

  it('asks the servers of the members what the real thing will ask, in each round', async () => {
    const host = new RehearsedHost();
    const going = rehearsal(host);
    await going.start();
    const rounds = going.windows.length;
    for (const asked of ['a freeze', 'a thaw', 'b freeze', 'observer thaw'])
      expect(host.asked.filter((one) => one === asked).length).to.be.at.least(rounds);
    expect(host.asked.filter((one) => one.startsWith('led'))).to.deep.equal([]);
  });

  it('ends with its time where an agent does not answer', async () => {
    const host = new RehearsedHost();
    host.isSilent = true;
    const going = rehearsal(host, 50);
    const begunAt = performance.now();
    await going.start();
    expect(performance.now() - begunAt).to.be.within(45, 2000);
    expect(going.windows).to.deep.equal([]);
  });

  it('says nothing more once it is stopped', async () => {
    const host = new RehearsedHost();
    const going = rehearsal(host);
    const over = going.start();
    await new Promise((resolve) => setImmediate(resolve));
    going.stop();
    const said = host.commands.length;
    await over;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(host.commands.length).to.equal(said);
    expect(host.rehearsed).to.equal(null);
  });

  it('is over at once where an agent knows nothing of stand-ins', async () => {
    const host = new RehearsedHost();
    host.rehearses = false;
    const going = rehearsal(host);
    await going.start();
    expect(host.commands).to.deep.equal([]);
  });
});
