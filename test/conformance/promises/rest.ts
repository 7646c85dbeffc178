import { brief, lacking, LONG_MS } from '../lab.ts';
import { difference } from '../live-files.ts';
import { startProgram } from '../programs.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

const BUSY_TIMEOUT_MS = 200;

/** What a process that rests does and does not do. */
export const restPromises: readonly ContractPromise[] = [
  {
    id: 'quiesce-comes-to-rest',
    says: 'Quiesce comes to rest; what cannot within timeout_ms is named in not_quiesced.',
    roles: RESTING_ROLES,
    async check(lab) {
      const request = { ...lab.attempt(), allowReads: true, timeoutMs: 5000, leaseMs: LONG_MS };
      const { quiesced, notQuiesced } = await lab.participant.quiesce(request);
      if (quiesced) return 'it came to rest';
      if (notQuiesced.length === 0)
        throw new Broken('it did not come to rest, and names nothing in not_quiesced');
      return `it did not come to rest: ${notQuiesced.join(', ')}`;
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
        return 'quiesced, and quiesced again';
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
    id: 'rest-acknowledges-nothing',
    says: 'Quiesce: until Resume, or the end of the lease, nothing new is acknowledged.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      const writer = await lab.busyWriter();
      return await lab.whileQuiesced(async () => {
        // What was acknowledged before is visible now: whatever else the writer tells was acknowledged since.
        const visible = await lab.rows();
        await lab.hold();
        const since = lacking(writer.acknowledged, visible);
        if (since !== null)
          throw new Broken(`writes acknowledged that were not there when it came to rest: ${since}`);
        return `${writer.acknowledged.size} acknowledged, all of them before`;
      });
    },
  },
  {
    id: 'rest-shows-nothing-new',
    says: 'Quiesce: nothing new becomes visible; reads are answered from what was visible at the moment of rest.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      await lab.busyWriter();
      return await lab.whileQuiesced(async () => {
        const before = await lab.rows();
        await lab.hold();
        const after = await lab.rows();
        const appeared = lacking(after, before);
        const vanished = lacking(before, after);
        if (appeared !== null) throw new Broken(`rows became visible: ${appeared}`);
        if (vanished !== null) throw new Broken(`rows were visible and are not any more: ${vanished}`);
        return `${before.size} rows, and the same ${after.size} later`;
      });
    },
  },
  {
    id: 'rest-keeps-acknowledged',
    says: 'Quiesce: every write acknowledged before is durable.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      const writer = await lab.busyWriter();
      const acknowledged = new Set(writer.acknowledged);
      return await lab.whileQuiesced(async () => {
        const missing = lacking(acknowledged, await lab.rows());
        if (missing !== null) throw new Broken(`acknowledged before, and not there at rest: ${missing}`);
        return `${acknowledged.size} acknowledged before are there`;
      });
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
    id: 'rest-clients-wait',
    says: 'Quiesce: clients wait; they are not refused and not disconnected.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      const writer = await lab.busyWriter();
      const { refused } = writer;
      await lab.whileQuiesced(() => lab.hold());
      const goesOn = await lab.progress();
      const complaint = writer.program.complaint();
      if (writer.program.isGone()) throw new Broken(`the writer ended: ${complaint}`);
      if (writer.refused > refused) throw new Broken(`${writer.refused - refused} writes were refused`);
      if (!goesOn) throw new Broken(`no write is acknowledged after Resume: ${complaint}`);
      return 'the writer waited and went on';
    },
  },
  {
    id: 'rest-journal-still',
    says: 'Quiesce: the journal does not grow.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      await lab.progress();
      return await lab.whileQuiesced(async () => {
        const before = await lab.files.journal();
        await lab.hold();
        const change = difference(before, await lab.files.journal());
        if (change !== null && !change.endsWith('is gone')) throw new Broken(change);
        return `${before.size} journal files did not change`;
      });
    },
  },
  {
    id: 'not-quiesced-runs-on',
    says: 'Quiesce: what cannot come to rest is named in not_quiesced, and the process goes on as if not asked.',
    roles: RESTING_ROLES,
    needs: ['busy'],
    async check(lab) {
      const { participant, description, programs } = lab;
      let isBusy = false;
      const busy = startProgram(
        programs.busy ?? [],
        { data: description.dataDirectory },
        () => (isBusy = true),
      );
      try {
        if (!(await lab.becomes(() => isBusy || busy.isGone())) || !isBusy) {
          throw new Unjudged(`the busy program said nothing: ${busy.complaint()}`);
        }
        const request = { ...lab.attempt(), allowReads: true, timeoutMs: BUSY_TIMEOUT_MS, leaseMs: LONG_MS };
        const { quiesced, notQuiesced } = await participant.quiesce(request);
        if (quiesced) throw new Broken('it says that it came to rest while it was busy');
        if (notQuiesced.length === 0) throw new Broken('not_quiesced names nothing');
        const { held } = await participant.describe();
        if (held.quiesced) throw new Broken(`not quiesced, but held is ${brief(held)}`);
        if (!(await lab.progress())) throw new Broken('no write is acknowledged afterwards');
        return notQuiesced.join(', ');
      } finally {
        await busy.stop();
      }
    },
  },
];
