import { expect } from 'chai';
import { CheckpointOperation, type Listener } from '../../agent/checkpoint-operation.ts';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import { FOR_CHECKPOINT, type Purpose } from '../../shared/domain/purpose.ts';
import { firstToken as token, HeldHost, settled } from './held-host.ts';

// Goal: one checkpoint on one host ends on all of its members, with its guard and its charge, whatever ends it.
// Method: the real operation, runtimes and machines; members, guard, disk and clock are the test's.

const PREPARE: MemberCommand = {
  type: 'prepare',
  checkpoint: 'c',
  assignment: BY_ITSELF,
  maintenance: false,
};

/** An operation, and what its stream was told: `member: type` and the code of a failure. */
function operated(
  host: HeldHost,
  maxHoldMs = 3_600_000,
): { operation: CheckpointOperation; answers: string[]; listener: Listener } {
  const answers: string[] = [];
  const listener = listenerOf(answers);
  const operation = new CheckpointOperation({ ...host.context, maxHoldMs, ended: () => undefined }, listener);
  return { operation, answers, listener };
}

function listenerOf(answers: string[]): Listener {
  return {
    answer: (member, answer) =>
      answers.push(
        [`${member}: ${answer.type}`, 'failure' in answer ? (answer.failure?.code ?? '') : '']
          .join(' ')
          .trim(),
      ),
    rehearsed: () => undefined,
    progress: () => undefined,
    letGoAsked: (holder) => answers.push(`asked by ${holder}`),
  };
}

async function frozen(operation: CheckpointOperation, ...members: readonly string[]): Promise<void> {
  await frozenFor(FOR_CHECKPOINT, operation, ...members);
}

async function frozenFor(
  purpose: Purpose,
  operation: CheckpointOperation,
  ...members: readonly string[]
): Promise<void> {
  for (const command of [
    { ...PREPARE, purpose },
    { type: 'arm', token, leaseMs: 1000 },
    { type: 'freeze', token, leaseMs: 1000 },
  ] as const) {
    for (const member of members) operation.receive(member, command);
    await settled();
  }
}

describe('a checkpoint on one host', () => {
  it('has one guard for all its members, which is ended before the operation is', async () => {
    const host = new HeldHost(['a', 'b']);
    const { operation } = operated(host);
    await frozen(operation, 'a', 'b');
    expect(host.guards.map(({ told }) => told)).to.deep.equal([['watch', 'watch']]);

    let isOver = false;
    void operation.end().then(() => (isOver = true));
    await settled();

    const [guard] = host.guards;
    expect(guard?.told.filter((type) => type === 'unwatch')).to.have.length(2);
    expect([guard?.isLeft, isOver]).to.deep.equal([true, false]);
    guard?.die();
    await settled();
    expect(isOver).to.equal(true);
  });

  it('kills a guard that is told to go and stays', async () => {
    const host = new HeldHost(['a']);
    const { operation } = operated(host);
    await frozen(operation, 'a');
    let isOver = false;
    void operation.end().then(() => (isOver = true));
    await host.clock.pass(4900);
    expect(isOver).to.equal(false);
    await host.clock.pass(200);
    expect(isOver).to.equal(true);
  });

  it('ends everywhere when its guard dies, and listens to nothing more', async () => {
    const host = new HeldHost(['a', 'b']);
    const { operation, answers } = operated(host);
    await frozen(operation, 'a', 'b');
    host.guards[0]?.die();
    await settled();
    expect(host.calls).to.include.members(['a: release', 'b: release']);
    expect([...operation.frozenMembers]).to.deep.equal([]);
    const before = [...answers];
    operation.receive('a', PREPARE);
    await settled();
    expect(answers).to.deep.equal(before);
  });

  it('begins nothing while its abort waits', async () => {
    const host = new HeldHost(['a']);
    const { operation } = operated(host);
    await frozen(operation, 'a');
    const releasing = Promise.withResolvers<void>();
    host.releasing = releasing.promise;
    const ending = operation.end();
    operation.receive('a', PREPARE);
    await settled();
    expect(host.calls.filter((call) => call === 'a: prepare')).to.have.length(1);
    releasing.resolve();
    await settled();
    host.guards[0]?.die();
    await ending;
    expect(host.calls.filter((call) => call === 'a: release')).to.have.length(1);
  });

  it('says who is frozen from before the fence closes until it is open', async () => {
    const host = new HeldHost(['a']);
    const { operation } = operated(host);
    operation.receive('a', PREPARE);
    await settled();
    operation.receive('a', { type: 'arm', token, leaseMs: 1000 });
    await settled();
    expect([...operation.frozenMembers]).to.deep.equal([]);
    operation.receive('a', { type: 'freeze', token, leaseMs: 1000 });
    expect([...operation.frozenMembers]).to.deep.equal(['a']);
    await settled();
    operation.receive('a', { type: 'thaw', token });
    await settled();
    expect([...operation.frozenMembers]).to.deep.equal([]);
  });

  it('charges an attempt once, before anybody is armed for it, and ends the charge', async () => {
    const host = new HeldHost(['a', 'b']);
    const { operation } = operated(host);
    await frozen(operation, 'a', 'b');
    const charged = host.calls.filter((call) => call.startsWith('charge'));
    expect(charged).to.deep.equal(['charged 1000']);
    expect(host.calls.indexOf('charged 1000')).to.be.below(host.calls.indexOf('a: arm'));
    void operation.end();
    await settled();
    expect(host.calls).to.include('charge ended');
  });

  it('refuses a lease that is too long, a member that nobody knows, and a lead where nobody is led', async () => {
    const host = new HeldHost(['a']);
    const { operation, answers } = operated(host);
    operation.receive('a', { type: 'arm', token, leaseMs: 5001 });
    operation.receive('nobody', PREPARE);
    operation.receive('a', { ...PREPARE, assignment: { hold: 'lead', part: 'whole' } });
    await settled();
    expect(answers).to.deep.equal([
      'a: refused lease-too-long',
      'nobody: refused unknown-member',
      'a: refused assignment-unfit',
    ]);
    expect(host.calls).to.deep.equal([]);
  });

  it('is kept while nobody was armed, and answers the stream that comes back for it', async () => {
    const host = new HeldHost(['a']);
    const { operation, answers } = operated(host);
    operation.receive('a', PREPARE);
    await settled();
    expect(operation.streamClosed()).to.equal(true);
    const later: string[] = [];
    operation.resume(listenerOf(later));
    operation.receive('a', PREPARE);
    await settled();
    expect([answers, later]).to.deep.equal([['a: prepared'], ['a: prepared']]);

    operation.receive('a', { type: 'arm', token, leaseMs: 1000 });
    await settled();
    expect(operation.streamClosed()).to.equal(false);
  });

  it('leaves what it cannot undo to its guard and to the keeper, and waits for neither', async () => {
    const host = new HeldHost(['a']);
    const { operation } = operated(host);
    await frozen(operation, 'a');
    host.isRunning = false;
    host.releasing = Promise.reject(new Error('nobody listens'));
    host.releasing.catch(() => undefined);
    await operation.end();
    expect(host.calls.at(-1)).to.equal('a: undo kept');
    expect(host.calls).not.to.include('a: undo cleared');
    expect(host.guards[0]?.isLeft).to.equal(true);
  });

  /** Its coordinator says a word in every quarter of a lease. */
  async function spoken(host: HeldHost, operation: CheckpointOperation, ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 250) {
      await host.clock.pass(250);
      operation.messageReceived();
    }
  }

  it('holds for a quiesce until its own bound, which is not that of a freeze: then everybody runs', async () => {
    const host = new HeldHost(['a', 'b']);
    const { operation, answers } = operated(host, 10_000);
    await frozenFor({ type: 'quiesce', allowReads: false, timeOutMs: 1000 }, operation, 'a', 'b');
    expect(host.calls.filter((call) => call.startsWith('charge'))).to.deep.equal(['charged 0']);
    const released: number[] = [];
    host.context.happenings.membersReleased = (heldMs) => void released.push(heldMs);
    await spoken(host, operation, 9750);
    expect([...operation.frozenMembers]).to.deep.equal(['a', 'b']);
    await spoken(host, operation, 500);
    expect(answers.slice(-4)).to.have.members([
      'a: failed held-too-long',
      'b: failed held-too-long',
      'a: aborted',
      'b: aborted',
    ]);
    expect([...operation.frozenMembers]).to.deep.equal([]);
    expect(released).to.deep.equal([]);
  });

  it('bounds a quiesce up to its thaw, and not what comes after it; attempts have one bound together', async () => {
    const host = new HeldHost(['a']);
    const { operation, answers } = operated(host, 10_000);
    await frozenFor({ type: 'quiesce', allowReads: false, timeOutMs: 1000 }, operation, 'a');
    await spoken(host, operation, 9000);
    operation.receive('a', { type: 'thaw', token });
    await spoken(host, operation, 5000);
    expect(answers.at(-1)).to.equal('a: thawed');

    const again = { ...token, attempt: 2 };
    operation.receive('a', { type: 'arm', token: again, leaseMs: 1000 });
    await settled();
    operation.receive('a', { type: 'freeze', token: again, leaseMs: 1000 });
    await spoken(host, operation, 250);
    expect(answers.slice(-2)).to.deep.equal(['a: failed held-too-long', 'a: aborted']);
  });

  it('bounds how long a write daemon waits from the prepare on, and not what comes after all have collected', async () => {
    const host = new HeldHost(['a']);
    const { operation, answers } = operated(host, 10_000);
    await frozenFor({ type: 'freeze', timeOutMs: 600_000 }, operation, 'a');
    expect(host.calls).to.include('charged 1000');
    operation.receive('a', { type: 'thaw', token });
    await spoken(host, operation, 9000);
    operation.receive('a', { type: 'collect', token });
    await spoken(host, operation, 5000);
    expect(answers.at(-1)).to.equal('a: collected');

    const late = new HeldHost(['a']);
    const suspended = operated(late, 10_000);
    await frozenFor({ type: 'freeze', timeOutMs: 600_000 }, suspended.operation, 'a');
    suspended.operation.receive('a', { type: 'thaw', token });
    await spoken(late, suspended.operation, 10_250);
    expect(suspended.answers.slice(-2)).to.deep.equal(['a: failed held-too-long', 'a: aborted']);
  });
});
