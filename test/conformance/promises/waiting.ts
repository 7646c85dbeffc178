import { setTimeout as pause } from 'node:timers/promises';
import { perform } from '../contract/perform.ts';
import { connectParticipant } from '../../../shared/rpc/participant-client.ts';
import { brief, LONG_MS, type Lab } from '../lab.ts';
import { startProgram } from '../programs.ts';
import { Broken, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

/** Of a Quiesce that is to wait until it is given up. */
const WAITS_MS = 30_000;
const BUSY_TIMEOUT_MS = 200;
const TIMEOUTS_MS = [100, 400];

/** A Quiesce that cannot come to rest at once. */
export const waitingPromises: readonly ContractPromise[] = [
  {
    id: 'quiesce-in-time',
    says: 'Quiesce: what cannot come to rest within timeout_ms is named in not_quiesced: when it has passed, not before.',
    roles: RESTING_ROLES,
    needs: ['busy'],
    async check(lab) {
      return await whileBusy(lab, async () => {
        const took: string[] = [];
        for (const timeoutMs of TIMEOUTS_MS) {
          const from = performance.now();
          const attempt = lab.attempt();
          const request = { ...attempt, allowReads: true, timeoutMs, leaseMs: LONG_MS };
          const limitMs = timeoutMs + lab.pace.graceMs;
          const answer = await Promise.race([lab.participant.quiesce(request), pause(limitMs, null)]);
          const tookMs = Math.round(performance.now() - from);
          await lab.participant.release(attempt);
          if (answer === null) throw new Broken(`timeout_ms ${timeoutMs}, and no answer after ${tookMs} ms`);
          if (answer.quiesced) throw new Unjudged('it came to rest');
          if (tookMs < timeoutMs - 1)
            throw new Broken(`timeout_ms ${timeoutMs}, and it gave up after ${tookMs} ms`);
          took.push(`${timeoutMs} ms: ${tookMs}`);
        }
        return took.join(', ');
      });
    },
  },
  {
    id: 'not-quiesced-runs-on',
    says: 'Quiesce: what cannot come to rest is named in not_quiesced, and the process goes on as if not asked.',
    roles: RESTING_ROLES,
    needs: ['busy'],
    hiddenBy: ['quiesce-in-time', 'rest-clients-wait'],
    async check(lab) {
      const { participant } = lab;
      return await whileBusy(lab, async () => {
        const request = { ...lab.attempt(), allowReads: true, timeoutMs: BUSY_TIMEOUT_MS, leaseMs: LONG_MS };
        const { quiesced, notQuiesced } = await participant.quiesce(request);
        if (quiesced) throw new Broken('it says that it came to rest while it was busy');
        if (notQuiesced.length === 0) throw new Broken('not_quiesced names nothing');
        const { held } = await participant.describe();
        if (held.quiesced) throw new Broken(`not quiesced, but held is ${brief(held)}`);
        if (!(await lab.progress())) throw new Broken('no write is acknowledged afterwards');
        return notQuiesced.join(', ');
      });
    },
  },
  {
    id: 'quiesce-waits',
    says: 'The table of the contract: while a Quiesce waits, repeats of it wait with it, and Resume, Release and other operations find it.',
    roles: RESTING_ROLES,
    needs: ['busy'],
    hiddenBy: ['not-quiesced-runs-on', 'quiesce-in-time'],
    async check(lab) {
      await whileBusy(lab, async (stop) => {
        await joinsAndResumes(lab);
        await isReleased(lab);
        await outlivesItsCaller(lab, stop);
      });
      return 'repeated, resumed, released, asked for by another operation, and left by its caller';
    },
  },
];

/** The first answers in time; else `null`. */
async function settles<T>(lab: Lab, work: Promise<T>): Promise<T | null> {
  return await Promise.race([work, pause(lab.pace.graceMs, null)]);
}

async function joinsAndResumes(lab: Lab): Promise<void> {
  const { participant } = lab;
  const attempt = lab.attempt();
  const asked = { call: 'quiesce', ...attempt, timeoutMs: WAITS_MS, leaseMs: LONG_MS } as const;
  const first = perform(participant, asked);
  await waits(lab, attempt.operation, first);
  const again = perform(participant, asked);
  const early = await Promise.race([again, pause(lab.pace.holdMs / 2, null)]);
  if (early !== null)
    throw new Broken(`a repeat of a Quiesce that waits is answered: ${early.status} ${early.message}`);
  const mark = await perform(participant, { call: 'switchJournal', ...attempt });
  if (mark.status !== 'FAILED_PRECONDITION')
    throw new Broken(`SwitchJournal while Quiesce waits: ${mark.status} ${mark.message}`);
  const other = await perform(participant, {
    call: 'quiesce',
    ...lab.attempt(),
    timeoutMs: 100,
    leaseMs: LONG_MS,
  });
  if (other.status !== 'ABORTED')
    throw new Broken(`Quiesce of another operation: ${other.status} ${other.message}`);
  const resumed = await perform(participant, { call: 'resume', ...attempt });
  if (resumed.status !== 'OK' || resumed.held !== false)
    throw new Broken(
      `Resume while Quiesce waits: ${resumed.status} held ${String(resumed.held)} ${resumed.message}`,
    );
  for (const work of [first, again]) await isGivenUp(lab, work, 'Resume');
}

async function isReleased(lab: Lab): Promise<void> {
  const attempt = lab.attempt();
  const work = perform(lab.participant, {
    call: 'quiesce',
    ...attempt,
    timeoutMs: WAITS_MS,
    leaseMs: LONG_MS,
  });
  await waits(lab, attempt.operation, work);
  await lab.participant.release(attempt);
  await isGivenUp(lab, work, 'Release');
}

/** Who hung up is not told, and what it asked for is done. */
async function outlivesItsCaller(lab: Lab, stop: () => Promise<void>): Promise<void> {
  const { target, tls, pace } = lab;
  const attempt = lab.attempt();
  const request = { ...attempt, allowReads: true, timeoutMs: WAITS_MS, leaseMs: LONG_MS };
  const caller = await connectParticipant({
    target,
    timeoutMs: pace.patienceMs,
    ...(tls !== undefined && { tls }),
  });
  const work = caller.quiesce(request);
  work.catch(() => undefined);
  await waits(lab, attempt.operation, work);
  caller.close();
  await stop();
  const { quiesced } = await lab.participant.quiesce(request);
  const { held } = await lab.participant.resume(attempt);
  if (!quiesced || !held)
    throw new Broken(`its caller hung up, and a repeat: quiesced ${quiesced}, held ${held}`);
}

async function isGivenUp(lab: Lab, work: ReturnType<typeof perform>, by: string): Promise<void> {
  const outcome = await settles(lab, work);
  if (outcome === null) throw new Broken(`a Quiesce waits on after ${by}`);
  if (outcome.status !== 'ABORTED')
    throw new Broken(`a Quiesce that waited is answered after ${by}: ${outcome.status} ${outcome.message}`);
}

/** Until the process says that it is for this operation that it comes to rest. */
async function waits(lab: Lab, operation: string, work: Promise<unknown>): Promise<void> {
  let isAnswered = false;
  const note = (): void => void (isAnswered = true);
  work.then(note, note);
  const isKnown = async (): Promise<boolean> => {
    const { held } = await lab.participant.describe();
    return isAnswered || held.operation === operation;
  };
  if (!(await lab.becomes(isKnown)))
    throw new Broken('Describe does not name the operation for which Quiesce waits');
  if (isAnswered) throw new Unjudged('Quiesce did not wait');
}

/** While the implementer's program keeps the process from coming to rest. `stop` ends it before. */
async function whileBusy<T>(lab: Lab, body: (stop: () => Promise<void>) => Promise<T>): Promise<T> {
  let isBusy = false;
  const { programs, description } = lab;
  const busy = startProgram(programs.busy ?? [], { data: description.dataDirectory }, () => (isBusy = true));
  try {
    if (!(await lab.becomes(() => isBusy || busy.isGone())) || !isBusy)
      throw new Unjudged(`the busy program said nothing: ${busy.complaint()}`);
    return await body(() => busy.stop());
  } finally {
    await busy.stop();
  }
}
