import { expect } from 'chai';
import type { Guardian, Undo } from '../../agent/engines/engine.ts';
import type { FromGuard } from '../../agent/guard/messages.ts';
import { Watches } from '../../agent/guard/watches.ts';
import { HandClock, settled, silentLog } from './held-host.ts';

// Goal: a guard undoes what its agent has last asked it to watch, and nothing else.
// Method: the real watches over ways to a member that the test opens, in time that it moves.

/** A guard of a member whose way opens when the test says so. */
function guarding(): { watches: Watches; clock: HandClock; said: string[]; calls: string[]; open(): void } {
  const [said, calls]: [string[], string[]] = [[], []];
  const opening = Promise.withResolvers<void>();
  const clock = new HandClock();
  const guardian: Guardian = {
    undo: (undo) => {
      calls.push(`undo ${String(undo['number'])}`);
      return Promise.resolve(null);
    },
    close: () => {
      calls.push('close');
      return Promise.resolve();
    },
  };
  const watches = new Watches({
    clock,
    log: silentLog,
    openGuardian: () => opening.promise.then(() => guardian),
    isLeft: () => Promise.resolve(true),
    say: ({ type }: FromGuard) => said.push(type),
  });
  return { watches, clock, said, calls, open: () => opening.resolve() };
}

const watch = (number: number): { type: 'watch'; member: string; undo: Undo; silenceMs: number } => ({
  type: 'watch',
  member: 'a',
  undo: { number },
  silenceMs: 1000,
});

describe('the watches of a guard', () => {
  it('undo what was last asked for when the agent says nothing for too long, and say so', async () => {
    const { watches, clock, said, calls, open } = guarding();
    open();
    watches.messageReceived(watch(1));
    await settled();
    watches.messageReceived(watch(2));
    await clock.pass(900);
    watches.messageReceived({ type: 'alive' });
    await clock.pass(900);
    expect(calls).to.deep.equal([]);
    await clock.pass(500);
    expect(calls).to.deep.equal(['undo 2']);
    expect(said).to.deep.equal(['watching', 'watching', 'undone']);
  });

  it('undo when the agent is gone, once', async () => {
    const { watches, clock, calls, open } = guarding();
    open();
    watches.messageReceived(watch(1));
    await settled();
    await watches.agentGone();
    await clock.pass(5000);
    expect(calls).to.deep.equal(['undo 1']);
  });

  it('undo nothing that was taken back while the way to the member opened', async () => {
    const { watches, clock, said, calls, open } = guarding();
    watches.messageReceived(watch(1));
    watches.messageReceived({ type: 'unwatch', member: 'a' });
    open();
    await clock.pass(5000);
    await watches.agentGone();
    expect(calls).to.deep.equal(['close']);
    expect(said).to.deep.equal([]);
  });
});
