import type { Client } from 'pg';
import type { Subscription, Viewer, Viewing } from '../../../../shared/domain/viewing.ts';
import { OUR_STANDBYS } from '../fence/acknowledger.ts';
import { JOURNAL_NAME } from '../journal/journal-receiver.ts';
import type { PostgresSettings } from '../settings.ts';

/**
 * Who has this server's journal, as the server itself knows it.
 *
 * Every walsender that streams is somebody's. A receiver that writes files and replays nothing (pg_receivewal)
 * never says that it has replayed, and shows nothing. A standby says it with every word. One that has not said
 * a word yet may be either, and is taken for a standby. Whether a standby serves reads the server cannot know:
 * `withoutReads` is the operator's word for it. On a standby this finds what streams from the standby: it
 * passes on what it has received, also while its own replay is paused.
 *
 * A logical slot that somebody reads is a viewer on a primary only: a standby decodes what it has replayed.
 */
interface SenderRow {
  readonly pid: number;
  readonly name: string;
  readonly address: string | null;
  readonly slot: string | null;
  readonly replays: boolean;
}

const STREAMS = "state NOT IN ('startup', 'backup')";

const SENDERS = `
  SELECT sender.pid, application_name AS name, host(client_addr) AS address, slot_name::text AS slot,
         slot_type IS DISTINCT FROM 'logical' AND (replay_lsn IS NOT NULL OR reply_time IS NULL) AS replays
    FROM pg_stat_replication AS sender LEFT JOIN pg_replication_slots ON active_pid = sender.pid
   WHERE ${STREAMS}`;

interface SlotRow {
  readonly slot: string;
  readonly active: boolean;
  readonly consumer: string | null;
}

const LOGICAL_SLOTS = `
  SELECT slot_name::text AS slot, active_pid IS NOT NULL AS active,
         (SELECT nullif(application_name, '') FROM pg_stat_activity WHERE pid = active_pid) AS consumer
    FROM pg_replication_slots WHERE slot_type = 'logical'`;

/** Disabled ones too: where its slot was read in a freeze, it may have been disabled only since. */
const SUBSCRIPTIONS = `
  SELECT subname::text AS name, coalesce(subslotname::text, '') AS key, subpublications AS publications
    FROM pg_subscription WHERE NOT pg_is_in_recovery()`;

interface ReceiverRow {
  readonly pid: number;
  readonly conninfo: string;
  readonly slot: string | null;
}

const OWN_RECEIVER = `
  SELECT pid, conninfo, slot_name AS slot FROM pg_stat_wal_receiver WHERE status = 'streaming'`;

/**
 * For a statement in the window: the processes that stream, those of them that have said that they write files and replay
 * nothing, and the logical slots that are read, as numbers and names.
 */
export const LOOK_AT_SENDERS = `
  ARRAY(SELECT pid FROM pg_stat_get_wal_senders() WHERE ${STREAMS}) AS senders,
  ARRAY(SELECT pid FROM pg_stat_get_wal_senders()
         WHERE ${STREAMS} AND replay_lsn IS NULL AND reply_time IS NOT NULL
           AND pid NOT IN (SELECT active_pid FROM pg_get_replication_slots()
                            WHERE slot_type = 'logical' AND active_pid IS NOT NULL)) AS writers`;
export function lookAtSlots(since: string): string {
  return `ARRAY(SELECT slot_name::text FROM pg_get_replication_slots()
                 WHERE slot_type = 'logical' AND (active_pid IS NOT NULL OR confirmed_flush_lsn > ${since})) AS slots,
          ARRAY(SELECT slot.slot_name || '/' || total_txns
                  FROM pg_get_replication_slots() AS slot, pg_stat_get_replication_slot(slot.slot_name::text)
                 WHERE slot_type = 'logical') AS decoded`;
}

const LOOK_EVERY_MS = 25;

/** What such a statement saw. */
export interface SeenSenders {
  readonly senders: readonly number[];
  /** Those of them that write files alone. */
  readonly writers: readonly number[];
  readonly slots: readonly string[];
  /** How many transactions were ever decoded for a logical slot, behind its name: also for one who only peeks. */
  readonly decoded: readonly string[];
}

export interface KnownViewers {
  /** By the process that streams; null: it streams, and shows nothing. */
  readonly senders: ReadonlyMap<number, Viewer | null>;
  readonly slots: ReadonlyMap<string, Viewer>;
  /** The process that receives on a standby; null: none does. */
  readonly receiver: number | null;
  readonly viewing: Viewing;
}

/** Asks for everything that there is to know; for any time but the window. */
export async function readViewing(
  client: Client,
  settings: Pick<PostgresSettings, 'withoutReads'>,
  server: { readonly systemIdentifier: string; readonly inRecovery: boolean },
): Promise<KnownViewers> {
  const { systemIdentifier, inRecovery } = server;
  const { rows } = await client.query<SenderRow>(SENDERS);
  const ours = new Set([...OUR_STANDBYS, JOURNAL_NAME]);
  const senders = new Map(
    rows.map((row) => {
      const shows = row.replays && !ours.has(row.name);
      return [row.pid, shows ? standbyViewer(row, systemIdentifier, settings.withoutReads) : null];
    }),
  );
  const slots = new Map<string, Viewer>();
  const active: Viewer[] = [];
  const logical = inRecovery ? { rows: [] } : await client.query<SlotRow>(LOGICAL_SLOTS);
  for (const row of logical.rows) {
    const viewer = logicalViewer(row);
    slots.set(row.slot, viewer);
    if (row.active) active.push(viewer);
  }
  const streaming = [...senders.values()].filter((viewer) => viewer !== null);
  const own = inRecovery ? (await client.query<ReceiverRow>(OWN_RECEIVER)).rows[0] : undefined;
  const viewing: Viewing = {
    streamsAs: own === undefined ? null : ownKey(own, systemIdentifier),
    subscriptions: (await client.query<Subscription>(SUBSCRIPTIONS)).rows,
    viewers: [...streaming, ...active],
  };
  return { senders, slots, receiver: own?.pid ?? null, viewing };
}

/**
 * Looks again and again while a freeze lasts. Most are over before the first look; in a long one somebody may
 * come after the mark and be gone before the thaw. A look stands in the way of the thaw for a fraction of a
 * millisecond at most.
 */
export class SenderWatch {
  readonly #senders: Set<number>;
  readonly #writers: Set<number>;
  readonly #atMark: SeenSenders;
  readonly #timer: NodeJS.Timeout;

  constructor(client: Client, atMark: SeenSenders) {
    this.#senders = new Set(atMark.senders);
    this.#writers = new Set(atMark.writers);
    this.#atMark = atMark;
    let isLooking = false;
    this.#timer = setInterval(() => {
      if (isLooking) return;
      isLooking = true;
      // A server that cannot be asked now will not prove anything with the thaw either.
      const looked = client.query<Pick<SeenSenders, 'senders' | 'writers'>>(`SELECT ${LOOK_AT_SENDERS}`);
      void looked
        .then(({ rows: [row] }) => {
          row?.senders.forEach((pid) => this.#senders.add(pid));
          row?.writers.forEach((pid) => this.#writers.add(pid));
        })
        .catch(() => undefined)
        .finally(() => (isLooking = false));
    }, LOOK_EVERY_MS);
  }

  /** Whoever was seen with the mark and since. */
  stop(): SeenSenders {
    clearInterval(this.#timer);
    return { ...this.#atMark, senders: [...this.#senders], writers: [...this.#writers] };
  }
}

/**
 * Who had the journal at any moment of a freeze: whoever was seen from the mark until the thaw came counts, also
 * one that is gone by now and one that has connected anew. A standby says the name by which it is known only
 * where one stream has lasted from the arm to the end: else somebody of its name could have stood in its place.
 */
export function viewingWhileHeld(input: {
  atArm: KnownViewers;
  sinceMark: SeenSenders;
  atThaw: SeenSenders;
  afterwards: KnownViewers;
}): Viewing {
  const { atArm, sinceMark, atThaw, afterwards } = input;
  const writers = new Set([...sinceMark.writers, ...atThaw.writers]);
  const senders = [...new Set([...sinceMark.senders, ...atThaw.senders])].map((pid) => {
    const known = [afterwards, atArm].find(({ senders: all }) => all.has(pid));
    if (known !== undefined) return known.senders.get(pid) ?? null;
    // Who came to copy the server is gone with its copy.
    return writers.has(pid) ? null : vanishedViewer(pid);
  });
  const read = [...sinceMark.slots, ...atThaw.slots, ...decodedFor(sinceMark, atThaw)];
  const slots = [...new Set(read)].map(
    (slot) => afterwards.slots.get(slot) ?? logicalViewer({ slot, consumer: null }),
  );
  const { streamsAs } = afterwards.viewing;
  const subscriptions = [...atArm.viewing.subscriptions, ...afterwards.viewing.subscriptions];
  return {
    streamsAs: afterwards.receiver === atArm.receiver ? streamsAs : null,
    subscriptions,
    viewers: [...senders.filter((viewer) => viewer !== null), ...slots],
  };
}

/** The slots for which the server has decoded something in between. */
function decodedFor(before: SeenSenders, after: SeenSenders): string[] {
  return after.decoded
    .filter((count) => !before.decoded.includes(count) && !count.endsWith('/0'))
    .map((count) => count.split('/')[0] ?? '');
}

function standbyViewer(
  { name, address, slot }: SenderRow,
  systemIdentifier: string,
  withoutReads: readonly string[],
): Viewer {
  return {
    kind: 'standby',
    key: keyOf(systemIdentifier, name, slot),
    isBlind: withoutReads.includes(name),
    words: `standby ${name}${address === null ? '' : ` at ${address}`}${slot === null ? '' : ` (slot ${slot})`}`,
  };
}

/** Its name went with it, so it is nobody's that we know. */
function vanishedViewer(pid: number): Viewer {
  const words = `a standby that came and went while it was frozen (process ${pid})`;
  return { kind: 'standby', key: '', isBlind: false, words };
}

function logicalViewer({ slot, consumer }: Pick<SlotRow, 'slot' | 'consumer'>): Viewer {
  const words = `the logical slot ${slot}${consumer === null ? '' : ` (${consumer})`}`;
  return { kind: 'logical', key: slot, isBlind: false, words };
}

/** What both ends of a stream know of it: the data, the name that the standby gives itself, and the slot. */
function keyOf(systemIdentifier: string, name: string, slot: string | null): string {
  return `${systemIdentifier}/${name}/${slot ?? ''}`;
}

function ownKey({ conninfo, slot }: ReceiverRow, systemIdentifier: string): string {
  return keyOf(systemIdentifier, applicationNameIn(conninfo), slot === '' ? null : slot);
}

/**
 * Values mostly stand there without quotes: one ends where the next keyword begins. A receiver that has gone on to
 * another timeline shows its setting as it was written, with quotes. A server keeps 63 bytes of a name.
 */
export function applicationNameIn(conninfo: string): string {
  const valueOf = (keyword: string): string | undefined => {
    const found = new RegExp(
      `(?:^| )${keyword}=(?:'((?:[^'\\\\]|\\\\.)*)'(?= |$)|(.*?)(?= [a-z_]+=|$))`,
    ).exec(conninfo);
    return found?.[1]?.replace(/\\(.)/g, '$1') ?? found?.[2];
  };
  const name = valueOf('application_name') ?? valueOf('fallback_application_name') ?? 'walreceiver';
  return Buffer.from(name).subarray(0, 63).toString();
}
