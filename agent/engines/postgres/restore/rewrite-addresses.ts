import type { Client, QueryConfig } from 'pg';
import type { NamedAddress } from '../../../../shared/domain/wire.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { leadsOf, type Lead, type Outbound } from '../look/leads.ts';
import { placesInWords, type Place } from '../look/places.ts';
import type { AddressBook, Fate } from './address-book.ts';
import { textOf, type Looked } from './verify.ts';

const LOCK_MS = 10_000;
const STATEMENT_MS = 60_000;
const BY_HAND = 'only its owner can change it';

/** What a restore would change, as far as the checkpoint knows what stands in the data. */
export async function planRewriting(
  { outbound, subscriptions }: Pick<PostgresFacts, 'outbound' | 'subscriptions'>,
  book: AddressBook,
): Promise<NamedAddress[]> {
  const named: NamedAddress[] = [];
  for (const one of outbound) {
    const { fate, row } = await judge(one, book);
    if (fate.type !== 'moves') named.push(row);
    else if (one.editable) named.push({ ...row, state: 'planned', to: placesInWords(fate.places) });
    else named.push({ ...row, state: 'left', why: BY_HAND });
  }
  for (const { database, name } of subscriptions) {
    if (outbound.some((one) => one.kind === 'subscription' && one.database === database && one.name === name))
      continue;
    const why = 'the role of the agent could not read its connection; the restore looks';
    named.push({ database, kind: 'subscription', name, from: '', to: '', state: 'unseen', why });
  }
  return named;
}

/**
 * Changes, in these databases of a server that nobody else reaches, what leads to the old grid, and reads it back. What
 * could not be changed says why. As a superuser: no restriction of an owner's stands against it; triggers of the owner
 * are not fired.
 */
export async function rewriteAddresses(
  server: Looked,
  databases: readonly string[],
  book: AddressBook,
): Promise<NamedAddress[]> {
  const named: NamedAddress[] = [];
  for (const database of databases) {
    const client = await server.connect(database);
    try {
      await client.query('SET search_path = pg_catalog');
      named.push(...(await rewriteIn(client, database, book)));
    } finally {
      client.end().catch(() => undefined);
    }
  }
  return named;
}

async function rewriteIn(client: Client, database: string, book: AddressBook): Promise<NamedAddress[]> {
  const named = new Map<string, NamedAddress>();
  for (const lead of await leadsOf(client, database)) {
    const { fate, row } = await judge(lead, book);
    if (fate.type !== 'moves') named.set(keyOf(lead), row);
    else named.set(keyOf(lead), await edited(client, lead, row, fate.places));
  }
  if (![...named.values()].some(({ state }) => state === 'changed')) return [...named.values()];
  // What the server says afterwards counts.
  for (const lead of await leadsOf(client, database)) {
    const row = named.get(keyOf(lead));
    if (row?.state !== 'changed' || (await book.fateOf(lead.places)).type !== 'moves') continue;
    named.set(keyOf(lead), {
      ...row,
      state: 'left',
      why: 'it was changed, and is as it was: something put it back',
    });
  }
  return [...named.values()];
}

async function edited(
  client: Client,
  lead: Lead,
  row: NamedAddress,
  places: readonly Place[],
): Promise<NamedAddress> {
  if (lead.edit === null) return { ...row, state: 'left', why: BY_HAND };
  try {
    await change(client, lead.edit(places));
    return { ...row, state: 'changed', to: placesInWords(places) };
  } catch (error) {
    return { ...row, state: 'left', why: textOf(error) };
  }
}

async function change(client: Client, statement: QueryConfig): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query('SET LOCAL session_replication_role = replica');
    // A transaction that stands prepared may hold what is to be changed, and nobody ends it here.
    await client.query(`SET LOCAL lock_timeout = ${LOCK_MS}; SET LOCAL statement_timeout = ${STATEMENT_MS}`);
    const { rowCount } = await client.query(statement);
    if (rowCount === 0) throw new Error('the server changed nothing');
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

async function judge(
  { database, kind, name, address, places }: Outbound,
  book: AddressBook,
): Promise<{ fate: Fate; row: NamedAddress }> {
  const row = { database, kind, name, from: address, to: '' };
  const fate = await book.fateOf(places);
  if (fate.type === 'moves') return { fate, row: { ...row, state: 'changed', why: '' } };
  if (fate.type === 'unclear') return { fate, row: { ...row, state: 'left', why: fate.why } };
  if (fate.type === 'stays')
    return { fate, row: { ...row, state: 'kept', why: 'it leads to where the grid is restored' } };
  const why =
    places.length === 0
      ? 'what it leads to is not known'
      : 'it leads to no host of the checkpoint, and no --map names it';
  return { fate, row: { ...row, state: 'outside', why } };
}

function keyOf({ kind, name }: Outbound): string {
  return JSON.stringify([kind, name]);
}
