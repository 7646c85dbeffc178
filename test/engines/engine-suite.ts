import { expect } from 'chai';
import type { Capture } from '../../agent/capture.ts';
import type { Engine, Guardian, Undo } from '../../agent/engines/engine.ts';
import type { Token } from '../../shared/domain/token.ts';

/** One member and what the suite needs to see it from outside. */
export interface EngineSubject {
  readonly engine: Engine;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** A new capture, with a spool and a sink of its own. */
  begin(): Promise<{ capture: Capture; undo(): Undo | null }>;
  /** A client's write; resolves when it is acknowledged. */
  write(): Promise<void>;
  /** How many writes a client can see. */
  visible(): Promise<number>;
  /** Everything that a checkpoint must leave as it found it. */
  footprint(): Promise<unknown>;
  /** As the guard process does. */
  openGuardian(): Promise<Guardian>;
  /** Runs an agent in a process of its own up to this state, kills it, and gives the undo it had saved. */
  killedAgent(state: 'armed' | 'frozen', attempt: Token): Promise<Undo>;
  remove(): Promise<void>;
}

/** Tokens only grow, whoever asks: an engine may refuse older ones. */
let counter = 0;

function nextToken(): Token {
  counter += 1;
  return { epoch: 0, counter, attempt: 1 };
}

const states = ['begun', 'prepared', 'armed', 'frozen', 'thawed', 'collected'] as const;
type State = (typeof states)[number];

async function bringTo(state: State, capture: Capture): Promise<Token> {
  const first = nextToken();
  const steps: readonly (() => Promise<unknown>)[] = [
    () => capture.prepare(),
    () => capture.arm(first),
    () => capture.freeze(first),
    () => capture.thaw(first, () => undefined),
    () => capture.collect(),
  ];
  for (const step of steps.slice(0, states.indexOf(state))) await step();
  return first;
}

/** What every engine with a fence promises (agent/engines/engine.ts), on a real member. */
export function engineSuite(name: string, make: () => Promise<EngineSubject>): void {
  describe(`the engine of ${name}`, () => {
    let subject: EngineSubject;
    before(async () => {
      subject = await make();
    });
    after(() => subject.remove());

    it('describes a member that runs', async () => {
      const description = await subject.engine.describe(AbortSignal.timeout(10_000));

      expect(description).to.include({ running: true, primary: true, freezeKind: 'fenced' });
      expect(description.problems).to.deep.equal([]);
      expect(description.dataIdentity).to.not.equal('');
      expect(description.sizeBytes).to.be.greaterThan(0);
      expect(await subject.engine.diagnose(AbortSignal.timeout(10_000))).to.deep.equal([]);
      expect(await subject.engine.isRunning()).to.equal(true);
    });

    it('describes a member that is down as what it is, and its next start as another incarnation', async () => {
      const up = await subject.engine.describe(AbortSignal.timeout(10_000));

      await subject.stop();
      const down = await subject.engine.describe(AbortSignal.timeout(10_000));
      const wasRunning = await subject.engine.isRunning();
      await subject.start();
      const again = await subject.engine.describe(AbortSignal.timeout(10_000));

      expect(down).to.include({ running: false, incarnation: '' });
      expect(wasRunning).to.equal(false);
      expect(again.incarnation).to.not.equal(up.incarnation);
      expect(again.dataIdentity).to.equal(up.dataIdentity);
    });

    it('holds a write while it is frozen, neither acknowledged nor visible, and lets it go with the thaw', async () => {
      const { capture } = await subject.begin();
      try {
        const first = await bringTo('armed', capture);
        await subject.write();
        const before = await subject.visible();

        const frozen = await capture.freeze(first);
        let acknowledged = false;
        const write = subject.write().then(() => {
          acknowledged = true;
        });
        // Long against a write, which takes about a millisecond.
        for (let looks = 0; looks < 50; looks += 1) {
          expect(await subject.visible()).to.equal(before);
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        const acknowledgedWhileFrozen = acknowledged;
        let released = false;
        const proof = await capture.thaw(first, () => {
          released = true;
        });
        await write;

        expect(acknowledgedWhileFrozen).to.equal(false);
        expect(frozen.mark).to.not.equal(null);
        expect(frozen.markedAt).to.be.at.least(frozen.fencedAt);
        expect(released).to.equal(true);
        expect(proof).to.include({ type: 'held', incarnation: frozen.incarnation });
        expect(await subject.visible()).to.equal(before + 1);
      } finally {
        await capture.abort();
      }
    });

    it('can be frozen anew after a thaw, with a mark of its own, and collects the last', async () => {
      const { capture } = await subject.begin();
      const found = await subject.footprint();
      try {
        const second = { ...(await bringTo('thawed', capture)), attempt: 2 };

        await capture.arm(second);
        const frozen = await capture.freeze(second);
        const proof = await capture.thaw(second, () => undefined);
        const { mark } = await capture.collect();
        await capture.close();

        expect(proof.type).to.equal('held');
        expect(mark).to.deep.equal(frozen.mark);
        expect(await subject.footprint()).to.deep.equal(found);
      } finally {
        await capture.abort();
      }
    });

    for (const state of states) {
      it(`leaves the member as it was when it is aborted once ${state}, twice as well`, async () => {
        const found = await subject.footprint();
        const { capture, undo } = await subject.begin();
        await bringTo(state, capture);

        await capture.abort();
        await subject.write();

        expect(undo()).to.equal(null);
        expect(await subject.footprint()).to.deep.equal(found);
        await capture.abort();
        expect(await subject.footprint()).to.deep.equal(found);
      });
    }

    for (const during of ['prepare', 'arm', 'freeze', 'thaw'] as const) {
      it(`leaves the member as it was when an abort comes in the middle of ${during}`, async () => {
        const found = await subject.footprint();
        const order = { prepare: 'begun', arm: 'prepared', freeze: 'armed', thaw: 'frozen' } as const;
        // At different moments of it: an abort must not be overtaken by what it interrupts.
        for (const delayMs of [0, 2, 12, 50]) {
          const { capture, undo } = await subject.begin();
          const first = await bringTo(order[during], capture);

          const interrupted = (
            during === 'prepare'
              ? capture.prepare()
              : during === 'thaw'
                ? capture.thaw(first, () => undefined)
                : capture[during](first)
          ).catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, delayMs));
          await capture.abort();
          await interrupted;
          await subject.write();

          expect(undo()).to.equal(null);
          expect(await subject.footprint()).to.deep.equal(found);
        }
      });
    }

    for (const state of ['armed', 'frozen'] as const) {
      it(`undoes what an agent left that was killed while ${state}, again and again`, async () => {
        const found = await subject.footprint();
        const undo = await subject.killedAgent(state, nextToken());
        const waiting = subject.write();

        await subject.engine.undo(undo);
        await waiting;
        await subject.engine.undo(undo);

        expect(await subject.footprint()).to.deep.equal(found);
      });
    }

    it('lets a guard undo over a connection that it opened before', async () => {
      const found = await subject.footprint();
      const guardian = await subject.openGuardian();
      const undo = await subject.killedAgent('frozen', nextToken());
      const waiting = subject.write();

      await guardian.undo(undo);
      await waiting;
      await guardian.undo(undo);
      await guardian.close();

      expect(await subject.footprint()).to.deep.equal(found);
    });
  });
}
