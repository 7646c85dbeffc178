import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { firstRows, inFolder, runningOn } from '../brought-up.ts';
import { lacking, LONG_MS, type Lab } from '../lab.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

/** So many times more or less is no estimate any more; and what is too little to be estimated. */
const TIMES = 10;
const LITTLE_BYTES = 1024 * 1024;

/** What lies in `live/`. */
export const filePromises: readonly ContractPromise[] = [
  {
    id: 'live-plain-files',
    says: 'Files: below live/ are plain files and directories; no sockets, no links, no pipes.',
    roles: RESTING_ROLES,
    needs: ['files'],
    async check(lab) {
      const strangers = await lab.files.strangers();
      if (strangers.length > 0)
        throw new Broken(`neither files nor directories: ${strangers.slice(0, 3).join(', ')}`);
      return 'files and directories';
    },
  },
  {
    id: 'size-estimated',
    says: 'Describe: size_bytes is an estimate of the bytes below live/.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      await lab.progress();
      const { sizeBytes } = await lab.participant.describe();
      const found = await lab.files.sizeBytes();
      const isTooLittle = found > 0 && sizeBytes * TIMES < found;
      const isTooMuch = sizeBytes > found * TIMES + LITTLE_BYTES;
      if (isTooLittle || isTooMuch) throw new Broken(`size_bytes is ${sizeBytes}, and there are ${found}`);
      return `${sizeBytes} of ${found}`;
    },
  },
  {
    id: 'rest-durable',
    says: 'Quiesce: when it answers, every write acknowledged before is in the files, before any mark.',
    roles: NODE,
    needs: ['writer', 'files', 'start'],
    hiddenBy: [
      'mark-restores',
      'rest-shows-nothing-new',
      'rest-keeps-acknowledged',
      'rest-acknowledges-nothing',
    ],
    check: comesUpAtRest,
  },
];

/** Copies the files at rest, before the mark, as a power cut would leave them, and starts a process on them. */
async function comesUpAtRest(lab: Lab): Promise<string> {
  return await inFolder(async (folder) => {
    const { participant, files } = lab;
    const data = join(folder, 'data');
    const writer = await lab.busyWriter();
    const { operation } = lab.attempt();
    const { firstJournalFile } = await participant.suspendWriting({ operation, leaseMs: LONG_MS });
    await mkdir(join(data, 'live'), { recursive: true });
    await files.copyDatabase(data);
    await participant.resumeWriting({ operation, retainJournal: true, leaseMs: LONG_MS });
    await lab.progress();
    const acknowledged = await lab.whileQuiesced(
      async () => {
        await files.copyJournal(data, firstJournalFile, null);
        await lab.hold();
        // What is told at rest was acknowledged before.
        return new Set(writer.acknowledged);
      },
      { operation },
    );
    await participant.releaseJournal({ operation });
    const rows = await runningOn(lab, folder, async (started) => {
      const read = await firstRows(lab, data, started);
      if (read !== undefined) return read;
      throw new Unjudged(`a process started on the files cannot be read: ${started.complaint()}`);
    });
    const missing = lacking(acknowledged, rows);
    if (missing !== null) throw new Broken(`acknowledged, and not in the files at rest: ${missing}`);
    return `${acknowledged.size} acknowledged before are in the files`;
  });
}
