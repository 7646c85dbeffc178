import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { NodeCalls, RowCalls } from './calls.ts';
import { NodeLog } from './node-log.ts';
import { readOptions } from './options.ts';
import { serveParticipant } from './participant.ts';
import { describedBase } from './process.ts';
import { GridError, Remote, serve } from './rpc.ts';

/**
 * The programs that stillpoint-conformance is given for a primary node; clients of that very node, without a proxy:
 *
 *   write ADDRESS COPYSET FROM      rows numbered from FROM on
 *   read ADDRESS COPYSET DATA OWN   the numbers that are visible there; where `serve` runs on DATA, if that is not OWN
 *   serve ADDRESS DATA SOCKET       what a node that is started on DATA comes up with, and says of it by the contract
 */
const TABLE = 'conformance';
const IN_FLIGHT = 4;
/** Many processes share the machine that tests this. */
const PAUSE_MS = 5;
const PAGE = 1000;
const JOURNAL_BYTES = 2 ** 24;
const SERVED = 'served';

async function write(address: string, copyset: string, from: number): Promise<void> {
  const node = new Remote<RowCalls>(address, () => process.exit(1));
  let next = from;
  const writeOn = async (): Promise<never> => {
    for (;;) {
      const row = String((next += 1) - 1);
      try {
        await node.call('put', { copyset, table: TABLE, key: row, value: row });
        process.stdout.write(`${row}\n`);
      } catch (error) {
        if (!(error instanceof GridError) || error.code !== 'maintenance') throw error;
        process.stdout.write('refused\n');
      }
      await pause(PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, writeOn));
}

async function read(address: string, copyset: string): Promise<void> {
  const node = new Remote<RowCalls>(address);
  for (let after: string | undefined, isMore = true; isMore;) {
    const from = after === undefined ? {} : { after };
    const { rows } = await node.call('scan', { copyset, table: TABLE, limit: PAGE, ...from });
    for (const [, key] of rows) process.stdout.write(`${key}\n`);
    after = rows.at(-1)?.[1];
    isMore = rows.length === PAGE;
  }
  node.close();
}

async function serveRows(address: string, data: string, socket: string): Promise<void> {
  const log = new NodeLog(data, JOURNAL_BYTES);
  await log.begin();
  await serve<Pick<NodeCalls, 'scan'>>(address, {
    scan: ({ table, after, limit }) => ({ rows: log.database.scan(table, after, limit) }),
  });
  const { startedWith } = log;
  const participant = `unix:${socket}`;
  const options = ['--name', 'copy', '--listen', address, '--data', data, '--participant', participant];
  const described = { ...describedBase(readOptions(options), undefined), role: 3 as const, startedWith };
  await serveParticipant(participant, { describe: () => described, unfit: () => undefined });
  writeFileSync(join(data, SERVED), address);
}

const [verb, address = '', where = '', last = '', own = ''] = process.argv.slice(2);
if (verb === 'write') await write(address, where, Number(last));
else if (verb === 'serve') await serveRows(address, where, last);
else await read(last === own ? address : readFileSync(join(last, SERVED), 'utf8'), where);
