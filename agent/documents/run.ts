import type { Condition, KeptDocument, Status } from '../../shared/documents/document.ts';
import { isFinal, mayFollow, type Phase } from '../../shared/documents/phase.ts';
import { failureOf, type Failure } from '../../shared/domain/errors.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { GrowingPause } from '../growing-pause.ts';
import type { Clients } from '../engines/infinispan/server/answers.ts';
import type { ClusterTurn } from '../engines/infinispan/server/cluster-turn.ts';
import type { InfinispanServer } from '../engines/infinispan/server/infinispan-server.ts';
import { pause } from '../pause.ts';
import { isForGood, type BackupMember } from './backup-member.ts';
import type { DocumentStore } from './document-store.ts';
import { referenceOf } from './document-store.ts';
import { clusterDegraded, jobFailed, memberFailed } from './failures.ts';
import type { Say, Work } from './work.ts';

const LOOK_EVERY_MS = 200;
const ASK_MS = 10_000;
const MOST_NAMED = 5;
const MOST_REASON = 500;

/** The agent ends, and leaves what runs to the next one. */
export const ENDING = new Error('the agent is ending');

/** What one document needs to be carried out. */
export interface RunContext {
  readonly store: DocumentStore;
  readonly log: Logger;
  readonly reach: Reach;
  readonly now: () => Date;
  /** Any server of the cluster. */
  readonly cluster: InfinispanServer;
  readonly member: BackupMember;
  readonly work: Work;
  readonly silentMs: number;
  /** The cluster is this document's alone from then on; `waitsFor` is told for whom it waits. */
  readonly takeTurn: (waitsFor: (words: string) => void, signal: AbortSignal) => Promise<ClusterTurn>;
  /** The same where it is at work there already. */
  readonly keepTurn: () => Promise<ClusterTurn>;
  readonly say: Say;
  /** The place of its room, with nothing in it. */
  readonly makeRoom: () => Promise<void>;
  /** Removes its room, when no process writes there any more. */
  readonly clear: () => Promise<void>;
  /** As it is kept now. */
  readonly document: () => KeptDocument;
  /** Durable on return, where the disk allows it; never rejects. */
  readonly update: (change: Partial<Status>) => Promise<void>;
}

/**
 * One document, from where it is to its end:
 *
 *   Initializing → Initialized   its volume, its room, the room on the disk
 *               → Running        its member is started, and in the cluster
 *               → Succeeded      the work is done, and the member gone
 *
 * Whatever fails, its member is ended first, and `Failed` is told when that is gone. An agent that comes after one that was
 * killed goes on where the member still answers, or where it is known without it how it ended.
 */
export class DocumentRun {
  readonly #context: RunContext;
  #turn: ClusterTurn | null = null;

  constructor(context: RunContext) {
    this.#context = context;
  }

  get #document(): KeptDocument {
    return this.#context.document();
  }

  /** Never rejects. Resolves when the document is at its end, or when the signal's reason is ENDING. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      const archive = await this.#perform(signal);
      await this.#end(
        { phase: 'Succeeded', reason: undefined, ...(archive !== null && { archive }) },
        signal,
      );
    } catch (error) {
      if (signal.reason === ENDING) return;
      await this.#fail(error, signal);
    } finally {
      this.#turn?.end();
    }
  }

  async #perform(signal: AbortSignal): Promise<Status['archive'] | null> {
    const { member, work, say } = this.#context;
    const { phase } = this.#document.status;
    if (phase === 'Running' || phase === 'Unknown') {
      if (!(await member.isThere()))
        return this.#outcomeWithoutMember(
          `the agent ended while the ${work.what} ran, and its member with it`,
        );
      this.#turn = await this.#context.keepTurn();
      await this.#become('Unknown', 'the agent was started again, and its member is asked how far it is');
    } else await this.#bringMember(signal);
    const ending = await this.#untilDone(signal);
    if (ending !== null)
      return this.#outcomeWithoutMember(`the member ended ${ending} while the ${work.what} ran`);
    const archive = await work.complete(member.server, this.#context.cluster, signal);
    await this.#reach('documentDone');
    await this.#lookAtClients(signal, 'had done its work');
    await say(work.lastWords);
    return archive;
  }

  /** What it had done to its end before it was gone is done. */
  async #outcomeWithoutMember(cause: string): Promise<Status['archive'] | null> {
    const { work, say } = this.#context;
    const completed = await work.wasCompleted();
    if (completed === null)
      throw memberFailed(`${cause}${work.what === 'restore' ? '; what was restored by then stays' : ''}`);
    await say(work.lastWords);
    return completed.archive;
  }

  async #bringMember(signal: AbortSignal): Promise<void> {
    const { member, work, cluster, store } = this.#context;
    // What an agent that was killed had started, and told nobody of.
    await member.end();
    await this.#takeTurn(signal);
    await this.#context.makeRoom();
    await member.furnish();
    await work.prepare(member);
    await this.#reach('documentPrepared');
    signal.throwIfAborted();
    if (this.#document.status.phase === 'Initializing') await this.#become('Initialized');
    await this.#reach('documentInitialized');
    await this.#mustBeWhole(signal);
    await this.#lookAtClients(signal, 'began');
    await work.ready(cluster, signal);
    signal.throwIfAborted();
    await member.start(store.logFile(referenceOf(this.#document)));
    await this.#reach('documentStarted');
    await member.joined(cluster, signal);
    await this.#become('Running', undefined, { startTime: this.#context.now().toISOString() });
    await this.#reach('documentRunning');
  }

  async #takeTurn(signal: AbortSignal): Promise<void> {
    const { takeTurn, update, say } = this.#context;
    this.#turn = await takeTurn((words) => {
      void update({ reason: `waits for ${words}` });
      void say(`waits for ${words}, which is at work on the cluster`).catch(() => undefined);
    }, signal);
    if (this.#document.status.reason !== undefined) await update({ reason: undefined });
  }

  /** Of a cluster that has lost entries, or refuses to tell them, an archive would not be whole, and nobody would know. */
  async #mustBeWhole(signal: AbortSignal): Promise<void> {
    const { status, caches } = await this.#context.cluster.health(soon(signal));
    const lost = caches.filter((one) => one.status.startsWith('DEGRADED') || one.status.startsWith('FAILED'));
    if (status.startsWith('DEGRADED') || lost.length > 0)
      throw clusterDegraded(
        status,
        lost.map(({ name }) => name),
      );
  }

  /** Said before the start, and looked at again at the end: what changed meanwhile may or may not be in the archive. */
  async #lookAtClients(signal: AbortSignal, when: 'began' | 'had done its work'): Promise<void> {
    const { cluster, say, work, now } = this.#context;
    const found = await cluster.clients(soon(signal)).catch((error: unknown) => {
      signal.throwIfAborted();
      // Who may not see them may not make a backup either: better known before a server is started.
      if (when === 'began' && isForGood(error)) throw error;
      return error instanceof Error ? error : new Error(String(error));
    });
    const known = this.#document.status.conditions?.find(({ type }) => type === CLIENTS);
    const isSure = known === undefined || known.status === 'False';
    const condition: Condition = {
      type: CLIENTS,
      lastTransitionTime: now().toISOString(),
      ...clientsCondition(found, when, work.what),
    };
    await say(condition.message);
    // Those who were there at the beginning are not forgotten when they have gone.
    if (isSure || condition.status === 'True')
      await this.#context.update({
        conditions: [
          ...(this.#document.status.conditions ?? []).filter(({ type }) => type !== CLIENTS),
          condition,
        ],
      });
  }

  /** Resolves to null when the work is done, and to how its member ended where that was gone before anybody saw it done. */
  async #untilDone(signal: AbortSignal): Promise<string | null> {
    const { member, work, silentMs, say } = this.#context;
    let heard = performance.now();
    let wasRejected = false;
    for (;;) {
      signal.throwIfAborted();
      try {
        const state = await work.state(member.server, soon(signal));
        heard = performance.now();
        if (this.#document.status.phase === 'Unknown') await this.#become('Running');
        if (state === 'done') return null;
        if (state === 'failed') {
          if (wasRejected || !(await this.#isRejectedForNobody(signal))) throw jobFailed(work.what);
          wasRejected = true;
          await say(`the server takes a ${work.what} for being under way that is not; it is asked again`);
          await work.forget(member.server, soon(signal));
        }
        if (state === 'none') {
          await work.begin(member.server, signal);
          await this.#reach('documentWorking');
        }
      } catch (error) {
        signal.throwIfAborted();
        const failure = failureOf(error, { code: 'agent-failed', hint: '' });
        const ending = await member.ending();
        if (ending !== null) return ending;
        // It has let us in before: a token is renewed, a password is written, and it will again.
        if (!isSilence(error, failure) && !isForGood(error)) throw error;
        const silentFor = performance.now() - heard;
        if (silentFor > silentMs)
          throw memberFailed(
            `the member has not ${isForGood(error) ? 'let us in' : 'answered'} for ${Math.round(silentFor / 1000)} s: ${failure.message}`,
          );
        await this.#become('Unknown', failure.message);
      }
      await pause(LOOK_EVERY_MS, signal);
    }
  }

  /**
   * Servers lock a job by an entry that nobody owns (16.0): where one is killed at work, the next job is rejected, and that
   * takes the lock away. This document has the turn, so what is under way can only be an operator's.
   */
  async #isRejectedForNobody(signal: AbortSignal): Promise<boolean> {
    const { store, work, cluster } = this.#context;
    const log = await store.logSince(referenceOf(this.#document), 0);
    return UNDER_WAY.test(log) && !(await work.isBusy(cluster, soon(signal)));
  }

  async #fail(error: unknown, signal: AbortSignal): Promise<void> {
    const failure = failureOf(signal.aborted ? signal.reason : error, {
      code: 'agent-failed',
      hint: 'journalctl -u stillpoint-agent says why',
    });
    const cause = failure.code === 'member-failed' ? await this.#causeInLog() : '';
    const reason = `${failure.message}${cause === '' ? '' : `: ${cause}`}`.slice(0, MOST_REASON);
    this.#context.log.warn({ event: 'documentFailed', document: referenceOf(this.#document) }, reason);
    await this.#context.say(`failed: ${reason}; hint: ${failure.hint}`).catch(() => undefined);
    // Before its place was found to be free, nothing there is of its making.
    const isMade = this.#document.status.phase !== 'Initializing';
    await this.#end({ phase: 'Failed', reason }, signal, () =>
      isMade ? this.#context.work.undo() : Promise.resolve(),
    );
  }

  /** Its member is gone before it is told how it ended; as long as that cannot be done, nobody can say. */
  async #end(
    last: Partial<Status> & { readonly phase: 'Succeeded' | 'Failed' },
    signal: AbortSignal,
    undo: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const { member, clear, log, now } = this.#context;
    const patience = new GrowingPause();
    for (;;) {
      try {
        await member.end();
        await undo();
        await clear();
        break;
      } catch (error) {
        const failure: Failure = failureOf(error, { code: 'agent-failed', hint: '' });
        if (patience.failed(failure)) {
          log.error({ event: 'documentRemains', err: error }, failure.message);
          await this.#become('Unknown', failure.message);
        }
        await patience.wait();
        if (signal.reason === ENDING) return;
      }
    }
    await this.#reach('documentEnded');
    const { phase, ...rest } = last;
    await this.#become(phase, last.reason, { ...rest, completionTime: now().toISOString() });
  }

  /** The last that the server said of an error, in its own words. */
  async #causeInLog(): Promise<string> {
    const { store } = this.#context;
    const text = await store.logSince(referenceOf(this.#document), 0);
    const lines = text.split('\n').filter((line) => !line.includes(' [stillpoint] '));
    const last =
      lines.findLast((line) => line.startsWith('Caused by: ')) ??
      lines.findLast((line) => / (ERROR|FATAL) |Exception|^Error/.test(line)) ??
      '';
    return last
      .replace(/^Caused by: /, '')
      .trim()
      .slice(0, 300);
  }

  async #become(phase: Phase, reason?: string, more: Partial<Status> = {}): Promise<void> {
    const { status } = this.#document;
    if (status.phase === phase && status.reason === reason) return;
    if (status.phase !== phase && !mayFollow(status.phase, phase))
      throw new Error(`${phase} cannot follow ${status.phase}`);
    if (status.phase !== phase)
      await this.#context
        .say(`phase ${phase}${reason === undefined ? '' : `: ${reason}`}`)
        .catch(() => undefined);
    await this.#context.update({ ...more, phase, reason });
    if (isFinal(phase))
      this.#context.log.info({ event: 'documentEnded', document: referenceOf(this.#document), phase }, phase);
  }

  #reach(moment: string): Promise<void> {
    return this.#context.reach(moment, this.#document.metadata.name);
  }
}

const CLIENTS = 'ClientsConnected';
/** In the log of a server that rejects a job. */
const UNDER_WAY = /(backup|restore) currently in progress/;

/** Nobody answered: what is not known now may be known later. */
function isSilence(error: unknown, { code }: Failure): boolean {
  return (
    code === 'infinispan-unreachable' || (error instanceof DOMException && error.name === 'TimeoutError')
  );
}

function soon(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
}

function clientsCondition(
  found: Clients | Error,
  when: string,
  what: 'backup' | 'restore',
): Pick<Condition, 'status' | 'reason' | 'message'> {
  if (found instanceof Error)
    return {
      status: 'Unknown',
      reason: 'NotSeen',
      message: `whether clients were connected when it ${when} could not be seen: ${found.message}`,
    };
  const { known, isWhole } = found;
  if (known.length === 0 && !isWhole)
    return {
      status: 'Unknown',
      reason: 'NotSeen',
      message: `no client was connected to the server that was asked when it ${when}; of the others it cannot tell`,
    };
  if (known.length === 0)
    return { status: 'False', reason: 'NoneSeen', message: `no client was connected when it ${when}` };
  const named = known
    .slice(0, MOST_NAMED)
    .map(({ remote, library, node }) => `${remote} to ${node}${library === null ? '' : ` (${library})`}`);
  const more = known.length > MOST_NAMED ? `, and ${known.length - MOST_NAMED} more` : '';
  const harm =
    what === 'backup'
      ? 'a change that is made after its cache was backed up is not in the archive, which is of no one moment'
      : 'what they write is overwritten by entries of the backup, or overwrites these';
  return {
    status: 'True',
    reason: 'Connected',
    message: `${isWhole ? '' : 'at least '}${known.length} client${known.length === 1 ? ' was' : 's were'} connected when it ${when}: ${named.join(', ')}${more}; ${harm}`,
  };
}
