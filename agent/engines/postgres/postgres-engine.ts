import type { CheckpointContext, Engine, Parts } from '../engine.ts';
import { restorePlaceAt } from '../restore/directory-switch.ts';
import { NOWHERE } from './copy/collect.ts';
import { describePostgres, freeJournalBytes } from './look/describe.ts';
import { diagnosePostgres } from './look/diagnose.ts';
import { PostgresGuardian } from './hold/guardian.ts';
import { PostgresImages } from './images/images.ts';
import { JournalRate } from './journal/journal-rate.ts';
import type { PostgresFacts } from './copy/facts.ts';
import { linkAt } from './copy/left-out.ts';
import { MarkFacts } from './copy/mark-facts.ts';
import { ObserverCopy, observerFacts } from './copy/observer-copy.ts';
import { ObserverHold } from './hold/observer-hold.ts';
import { PrimaryCopy } from './copy/primary-copy.ts';
import { PrimaryHold } from './hold/primary-hold.ts';
import { PrimaryJournal } from './journal/primary-journal.ts';
import { PrimarySession } from './primary-session.ts';
import {
  isPostgresRunning,
  postgresRestoration,
  recoverPostgresRestore,
  stopPostgres,
} from './restore/restore.ts';
import type { ServerFacts } from './server/server-facts.ts';
import type { PostgresSettings } from './settings.ts';

/** PostgreSQL 14 to 18: a primary is fenced, a hot standby is an observer. */
export function createPostgresEngine(settings: PostgresSettings): Engine {
  const journalRate = new JournalRate();
  /** Checkpoints that may have connections and settings of ours on the server. */
  const underWay = new Set<CheckpointContext>();
  let undoing: PostgresGuardian | null = null;
  return {
    describe: (signal) => describePostgres(settings, { signal, busy: underWay.size > 0, journalRate }),
    freeBytes: () => freeJournalBytes(settings),
    diagnose: () => diagnosePostgres(settings, underWay.size > 0),
    begin(context) {
      underWay.add(context);
      const closed = (): void => void underWay.delete(context);
      return context.freezeKind === 'observer'
        ? observerParts(settings, context, closed)
        : primaryParts(settings, context, closed);
    },
    async undo(undo) {
      // Where it fails, what it has done to let commits go on stays until it is tried again.
      undoing ??= new PostgresGuardian(settings);
      const words = await undoing.undo(undo);
      await undoing.close();
      undoing = null;
      return words;
    },
    restoration: (context) => postgresRestoration(settings, context),
    restorePlace: () => restorePlaceAt([settings.data, ...settings.also]),
    recoverRestore: (outcome) => recoverPostgresRestore(settings, outcome),
    localCopies: null,
    images:
      settings.images === undefined ? null : new PostgresImages({ ...settings, images: settings.images }),
    archives: null,
    messages: null,
    realm: null,
    stop: (signal) => stopPostgres(settings, signal),
    isRunning: () => isPostgresRunning(settings),
  };
}

function primaryParts(settings: PostgresSettings, context: CheckpointContext, closed: () => void): Parts {
  const session = new PrimarySession(settings);
  const { part } = context.assignment;
  // The proof of the hold is read from the journal: it is followed also where nothing is stored.
  const artifacts = part === 'none' ? NOWHERE : context.artifacts;
  const hold = new PrimaryHold(session, context, closed);
  if (context.purpose.type !== 'checkpoint') {
    const facts = new MarkFacts(session);
    return {
      hold,
      copy: null,
      journal: new PrimaryJournal(session, { ...context, artifacts }, () => facts.begin()),
      facts: (mark) => facts.read(mark),
      warnings: () => facts.warnings(),
    };
  }
  return {
    hold,
    copy: part === 'whole' ? new PrimaryCopy(session, context) : null,
    journal: new PrimaryJournal(session, { ...context, artifacts }),
  };
}

function observerParts(settings: PostgresSettings, context: CheckpointContext, closed: () => void): Parts {
  const hold = new ObserverHold(settings, context, closed);
  if (context.purpose.type !== 'checkpoint')
    return { hold, copy: null, journal: null, facts: () => heldObserverFacts(hold.known(), settings) };
  const isCopied = context.assignment.part === 'whole';
  return { hold, copy: isCopied ? new ObserverCopy(settings, context, hold) : null, journal: null };
}

/** Nothing of its configuration is stored: what lies outside of its data directory stays as it is. */
async function heldObserverFacts(known: ServerFacts, settings: PostgresSettings): Promise<PostgresFacts> {
  return { ...observerFacts(known, settings), also: [], walLink: await linkAt(settings.data, 'pg_wal') };
}
