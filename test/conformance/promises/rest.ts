import { setTimeout as pause } from 'node:timers/promises';
import { lacking, LONG_MS, type Lab } from '../lab.ts';
import { Writers } from '../writers.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

/** The agent gives it as long. */
const REST_MS = 3000;

const ROUNDS = 3;

/** Again and again: what one look misses another sees. */
async function inRounds(lab: Lab, look: (writer: Writers) => Promise<string>): Promise<string> {
  let seen = '';
  for (let round = 0; round < ROUNDS; round += 1) {
    const writer = lab.writer === undefined ? NO_WRITERS : await lab.busyWriter();
    seen = await look(writer);
  }
  return seen;
}

const NO_WRITERS = new Writers([], '', { from: 1, count: 0 });

/** What a process that rests does and does not do. */
export const restPromises: readonly ContractPromise[] = [
  {
    id: 'quiesce-comes-to-rest',
    says: 'Quiesce comes to rest: of a process that is idle, and of one that has only the clients of the suite.',
    roles: RESTING_ROLES,
    async check(lab) {
      for (let round = 0; round < ROUNDS; round += 1) {
        await lab.progress(3, lab.pace.graceMs);
        const attempt = lab.attempt();
        const request = { ...attempt, allowReads: true, timeoutMs: REST_MS, leaseMs: LONG_MS };
        const { quiesced, notQuiesced } = await lab.participant.quiesce(request);
        await lab.participant.release(attempt);
        if (quiesced) continue;
        const what =
          notQuiesced.length === 0 ? 'names nothing in not_quiesced' : `names: ${notQuiesced.join(', ')}`;
        throw new Broken(`it did not come to rest in ${REST_MS} ms, and ${what}`);
      }
      return 'it came to rest';
    },
  },
  {
    id: 'rest-clients-wait',
    says: 'Quiesce: clients wait; they are not refused and not disconnected.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    hiddenBy: ['quiesce-comes-to-rest'],
    async check(lab) {
      const { writer } = lab;
      if (writer === undefined) throw new Unjudged('there is no writer');
      const wrote = writer.acknowledged.size;
      writer.restart();
      if (!(await lab.progress())) {
        // A rest that was looked at before this one may have been its last.
        if (wrote > 0)
          throw new Broken(`a writer has no write acknowledged any more after a rest: ${writer.complaint()}`);
        throw new Unjudged(`the writer does not get on: ${writer.complaint()}`);
      }
      const { refused } = writer;
      await lab.whileQuiesced(() => lab.hold());
      const goesOn = await lab.progress();
      const complaint = writer.complaint();
      if (writer.isGone()) throw new Broken(`a writer ended: ${complaint}`);
      if (writer.refused > refused) throw new Broken(`${writer.refused - refused} writes were refused`);
      if (!goesOn) throw new Broken(`a writer has no write acknowledged after Resume: ${complaint}`);
      return 'the writers waited and went on';
    },
  },
  {
    id: 'quiesce-repeats',
    says: 'Repeats: Quiesce repeated with the same operation and token has the same answer as once.',
    roles: RESTING_ROLES,
    async check(lab) {
      return await lab.whileQuiesced(async (attempt) => {
        const request = { ...attempt, allowReads: true, timeoutMs: 5000, leaseMs: LONG_MS };
        const { quiesced, notQuiesced } = await lab.participant.quiesce(request);
        if (!quiesced) throw new Broken(`quiesced, then not: ${notQuiesced.join(', ')}`);
        await lab.participant.switchJournal(attempt);
        const third = await lab.participant.quiesce(request);
        if (!third.quiesced) throw new Broken(`after the mark: ${third.notQuiesced.join(', ')}`);
        return 'quiesced, and quiesced again, also after the mark';
      });
    },
  },
  {
    id: 'quiesce-not-again',
    says: 'Quiesce: a token that was resumed is not quiesced again: FAILED_PRECONDITION.',
    roles: RESTING_ROLES,
    async check(lab) {
      const attempt = await lab.whileQuiesced((one) => Promise.resolve(one));
      const request = { ...attempt, allowReads: true, timeoutMs: 1000, leaseMs: LONG_MS };
      await lab.refusal('Quiesce after Resume', lab.participant.quiesce(request), 'participant-wrong-state');
      return 'FAILED_PRECONDITION';
    },
  },
  {
    id: 'rest-shows-nothing-new',
    says: 'Quiesce: nothing new becomes visible; reads are answered from what was visible at the moment of rest.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      return await inRounds(lab, () =>
        lab.whileQuiesced(async () => {
          const before = await lab.rows();
          await lab.hold();
          const after = await lab.rows();
          const appeared = lacking(after, before);
          const vanished = lacking(before, after);
          if (appeared !== null) throw new Broken(`rows became visible: ${appeared}`);
          if (vanished !== null) throw new Broken(`rows were visible and are not any more: ${vanished}`);
          return `${before.size} rows, and the same ${after.size} later`;
        }),
      );
    },
  },
  {
    id: 'rest-keeps-acknowledged',
    says: 'Quiesce: every write acknowledged before is there.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    hiddenBy: ['rest-shows-nothing-new'],
    async check(lab) {
      return await inRounds(lab, async (writer) => {
        const acknowledged = new Set(writer.acknowledged);
        return await lab.whileQuiesced(async () => {
          const missing = lacking(acknowledged, await lab.rows());
          if (missing !== null) throw new Broken(`acknowledged before, and not there at rest: ${missing}`);
          return `${acknowledged.size} acknowledged before are there`;
        });
      });
    },
  },
  {
    id: 'rest-acknowledges-nothing',
    says: 'Quiesce: until Resume, or the end of the lease, nothing new is acknowledged.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    hiddenBy: ['rest-shows-nothing-new', 'rest-keeps-acknowledged'],
    async check(lab) {
      return await inRounds(lab, (writer) =>
        lab.whileQuiesced(async () => {
          // What was acknowledged before is visible now: whatever else the writer tells was acknowledged since.
          const visible = await lab.rows();
          await pause(lab.pace.holdMs / 4);
          // And what a writer tells so late was not on its way to us all the time.
          const told = writer.acknowledged.size;
          await pause((lab.pace.holdMs * 3) / 4);
          const since = lacking(writer.acknowledged, visible);
          if (since !== null)
            throw new Broken(`writes acknowledged that were not there when it came to rest: ${since}`);
          const late = writer.acknowledged.size - told;
          if (late > 0) throw new Broken(`${late} writes were acknowledged long after it came to rest`);
          return `${told} acknowledged, all of them before`;
        }),
      );
    },
  },
  {
    id: 'rest-reads-answered',
    says: 'Quiesce: with allow_reads reads are answered.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      await lab.busyWriter();
      return await lab.whileQuiesced(async () => {
        const rows = await lab.rows().catch((error: unknown) => {
          throw new Broken(error instanceof Error ? error.message : String(error));
        });
        return `${rows.size} rows were read`;
      });
    },
  },
  {
    id: 'rest-reads-wait',
    says: 'Quiesce: without allow_reads reads wait too; they are not refused.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      await lab.busyWriter();
      const from = performance.now();
      await lab.rows();
      // No reader can prove that it waits: one that ends in several times its usual time did not.
      const longMs = lab.pace.holdMs + 4 * (performance.now() - from);
      const reading = await lab.whileQuiesced(
        async () => {
          const begun = lab.startReading();
          if (await lab.becomes(() => begun.program.isGone(), longMs))
            throw new Broken('a read was answered, or refused, before Resume');
          return begun;
        },
        { allowReads: false },
      );
      const goesOn = await lab.becomes(() => reading.program.isGone());
      if (!goesOn) await reading.program.stop();
      const rows = await reading.rows.catch((error: unknown) => {
        throw new Broken(`the read that waited did not go on: ${String(error)}`);
      });
      return `the read waited, and found ${rows.size} rows`;
    },
  },
  {
    id: 'rest-journal-still',
    says: 'Quiesce: the journal does not grow.',
    roles: NODE,
    needs: ['files'],
    hiddenBy: ['rest-shows-nothing-new', 'rest-acknowledges-nothing'],
    async check(lab) {
      return await inRounds(lab, () =>
        lab.whileQuiesced(async () => {
          // At the very answer: what came in before it is written by now, or never.
          const before = lab.files.journalStands();
          await lab.hold();
          const after = lab.files.journalStands();
          for (const [name, stands] of after)
            if (before.get(name) !== stands)
              throw new Broken(`${name} was written: ${before.get(name) ?? 'not there'}, then ${stands}`);
          return `${before.size} journal files did not change`;
        }),
      );
    },
  },
];
