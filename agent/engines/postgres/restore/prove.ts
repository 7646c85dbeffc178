import { escapeLiteral } from 'pg';
import type { FoundPrepared, NamedAddress } from '../../../../shared/domain/wire.ts';
import type { ProveInput, VerifiedMember } from '../../engine.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { outboundWarnings } from '../look/outbound.ts';
import type { AddressBook } from './address-book.ts';
import { finishControlFile, readControlFile, withholdControlFile } from './control-file.ts';
import { lookAtDatabases } from './databases.ts';
import { PrivateServer, type PrivateServerInput, type RecoveryTarget } from './private-server.ts';
import { askQuestions } from './questions.ts';
import { rewriteAddresses } from './rewrite-addresses.ts';
import { checkMark, checkServer, notAsCaptured, textOf } from './verify.ts';

export interface ProofInput extends Omit<PrivateServerInput, 'target' | 'preload'> {
  readonly facts: PostgresFacts;
  /** A standby: it is recovered to the mark, and not promoted. */
  readonly follows: boolean;
  /** The owner's `shared_preload_libraries`: taken where the journal cannot be replayed without. */
  readonly preload: string;
  /** Where addresses of the old grid are now, where what names them in the data is to be changed. */
  readonly book: AddressBook | null;
}

/** A journal with records of an extension's own kind needs that extension. */
const NEEDS_LIBRARY = /resource manager with ID \d+ not registered/;

/**
 * Recovers a staged directory to the mark in a private server, looks at it, and shuts it down. While this lasts the
 * directory can be started; before and after it cannot.
 */
export async function proveStaged(input: ProofInput, wanted: ProveInput): Promise<VerifiedMember> {
  await finishControlFile(input.data);
  try {
    try {
      return await recoverAndLook({ ...input, preload: '' }, wanted);
    } catch (error) {
      if (input.preload === '' || !(error instanceof Error) || !NEEDS_LIBRARY.test(error.message))
        throw error;
      return await recoverAndLook(input, wanted);
    }
  } finally {
    await withholdControlFile(input.data);
  }
}

async function recoverAndLook(input: ProofInput, wanted: ProveInput): Promise<VerifiedMember> {
  const { facts, follows } = input;
  // A standby of a server that was shut down is at its end already.
  if (follows && isStopped(facts)) return provedAtEnd(input, 'shut down');
  const target = targetOf(input);
  const verified = await PrivateServer.run({ ...input, target }, async (server) => {
    if (!follows) {
      await server.untilPromoted();
      const looked = await look(input, server, wanted);
      await server.shutDown();
      return looked;
    }
    await server.untilEnded();
    if (!server.log.includes(lastWordsAt(target)))
      throw notAsCaptured(input.member, 'its recovery did not end at the mark');
    return recoveredTo(facts);
  });
  return provedAtEnd(input, follows ? 'shut down in recovery' : 'shut down', verified);
}

async function provedAtEnd(
  { member, data, facts }: ProofInput,
  expected: 'shut down' | 'shut down in recovery',
  verified: VerifiedMember = recoveredTo(facts),
): Promise<VerifiedMember> {
  const { ended } = await readControlFile(data);
  if (ended === expected) return verified;
  throw notAsCaptured(member, 'its server did not shut down cleanly');
}

function recoveredTo({ markPosition }: PostgresFacts): VerifiedMember {
  return { checks: [`mark: recovered to ${markPosition ?? ''}, no further`], warnings: [], prepared: [] };
}

/** An image of a server that was shut down has no record to be recovered. */
function isStopped({ restorePoint, lastRecord }: PostgresFacts): boolean {
  return restorePoint === null && lastRecord === undefined;
}

function targetOf({ facts, follows }: ProofInput): RecoveryTarget {
  const { restorePoint, lastRecord, copyTimeline, timeline } = facts;
  const afterwards = follows ? 'shutdown' : 'promote';
  const through = copyTimeline === undefined ? null : timeline;
  if (restorePoint !== null) return { to: { name: restorePoint }, afterwards, timeline: through };
  // A standby must not go on by itself; a primary finds the end, and is held against it.
  const to = follows && lastRecord !== undefined ? { record: lastRecord } : 'end';
  return { to, afterwards, timeline: through };
}

/** What the server says when it stops there. */
function lastWordsAt({ to }: RecoveryTarget): string {
  if (to === 'end') return '';
  return 'name' in to
    ? `recovery stopping at restore point "${to.name}"`
    : `recovery stopping after WAL location (LSN) "${to.record}"`;
}

async function look(
  { member, data, facts, book }: ProofInput,
  server: PrivateServer,
  { committed, questions }: ProveInput,
): Promise<VerifiedMember> {
  const looked = { name: member, data, connect: (database: string) => server.connect(database) };
  const client = await server.connect(null);
  try {
    const checks = await checkServer(looked, facts, client);
    checks.push(await checkMark(looked, facts));
    const databases = await lookAtDatabases(looked, client, facts);
    const { rows } = await client.query<{ gid: string; database: string }>(
      'SELECT gid, database FROM pg_prepared_xacts ORDER BY gid',
    );
    const prepared = [];
    for (const one of rows) {
      const cause = committed.includes(one.gid) ? await commitPrepared(server, one) : null;
      prepared.push({ ...one, committed: cause === '', cause: cause ?? '', byHand: byHand(one.gid) });
    }
    // What was committed just now may lead somewhere, too.
    const addresses = book === null ? [] : await rewriteAddresses(looked, databases.databases, book);
    if (book !== null) addresses.push(...databases.unseen.map(unseenAddress));
    const answers = await askQuestions(server, questions);
    return {
      checks: [...checks, ...databases.checks],
      warnings: [
        ...databases.warnings,
        ...(book === null ? outboundWarnings(member, databases.outbound) : []),
      ],
      prepared,
      answers,
      addresses,
    };
  } finally {
    client.end().catch(() => undefined);
  }
}

function unseenAddress({ database, why }: { database: string; why: string }): NamedAddress {
  return { database, kind: 'database', name: database, from: '', to: '', state: 'unseen', why };
}

/** For a person at psql. */
function byHand(gid: string): FoundPrepared['byHand'] {
  const quoted = `'${gid.replaceAll("'", "''")}'`;
  return { commit: `COMMIT PREPARED ${quoted}`, rollback: `ROLLBACK PREPARED ${quoted}` };
}

/** Empty, or why it could not be. */
async function commitPrepared(
  server: PrivateServer,
  { gid, database }: { gid: string; database: string },
): Promise<string> {
  try {
    const client = await server.connect(database);
    try {
      await client.query(`COMMIT PREPARED ${escapeLiteral(gid)}`);
      return '';
    } finally {
      client.end().catch(() => undefined);
    }
  } catch (error) {
    return textOf(error) || 'it could not be committed';
  }
}
