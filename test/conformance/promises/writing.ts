import { LONG_MS, type Lab } from '../lab.ts';
import { difference } from '../live-files.ts';
import { Broken, NODE, Unjudged, type ContractPromise } from '../promise.ts';

const SWITCHES = 3;

/** The database files at rest, and the journal kept. */
export const writingPromises: readonly ContractPromise[] = [
  {
    id: 'suspended-files-still',
    says: 'Files: a database file does not change while writing is suspended.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      await lab.progress();
      return await lab.whileSuspended(async () => {
        const before = await lab.files.database();
        await lab.progress();
        await lab.hold();
        const change = difference(before, await lab.files.database());
        if (change !== null) throw new Broken(change);
        return `${before.size} database files did not change`;
      });
    },
  },
  {
    id: 'suspended-clients-go-on',
    says: 'SuspendWriting: clients go on, in memory and journal.',
    roles: NODE,
    needs: ['writer'],
    async check(lab) {
      await lab.busyWriter();
      return await lab.whileSuspended(async () => {
        if (!(await lab.progress(50))) throw new Broken('writes are not acknowledged any more');
        return 'writes are acknowledged';
      });
    },
  },
  {
    id: 'suspended-updates-go-on',
    says: 'SuspendWriting: clients may go on with updates for updates_wait_after_ms.',
    roles: NODE,
    needs: ['writer'],
    hiddenBy: ['suspended-clients-go-on'],
    async check(lab) {
      await lab.busyWriter();
      const goOn = async (): Promise<string> => {
        if (!(await lab.progress(50))) throw new Broken('updates wait long before that time');
        return 'updates are acknowledged';
      };
      return await lab.whileSuspended(goOn, { updatesWaitAfterMs: LONG_MS });
    },
  },
  {
    id: 'suspended-past-the-time',
    says: 'SuspendWriting: updates that wait do not end the suspension, and who waits goes on with ResumeWriting.',
    roles: NODE,
    needs: ['writer', 'files'],
    hiddenBy: ['suspended-files-still'],
    async check(lab) {
      await lab.busyWriter();
      // Longer than a look at the files takes on a busy machine.
      const limit = { updatesWaitAfterMs: lab.pace.graceMs };
      const passed = async (operation: string): Promise<void> => {
        const before = await lab.files.database();
        const { updatesWaitAfterMs } = limit;
        const end = performance.now() + updatesWaitAfterMs;
        await lab.becomes(() => performance.now() > end, 2 * updatesWaitAfterMs);
        await lab.hold();
        await lab.hold();
        const change = difference(before, await lab.files.database());
        if (change !== null) throw new Broken(`when the time was over: ${change}`, { certain: true });
        const { writingSuspended } = await lab.participant.renew({ operation });
        if (!writingSuspended) throw new Broken('the suspension ended with the time', { certain: true });
      };
      await lab.whileSuspended(passed, limit);
      if (!(await lab.progress())) throw new Broken('updates are not acknowledged when writing goes on');
      return 'it was suspended until ResumeWriting, and updates went on then';
    },
  },
  {
    id: 'suspended-journal-named',
    says: 'SuspendWriting: answers with the first journal file that the database files need.',
    roles: NODE,
    needs: ['files'],
    hiddenBy: ['suspend-repeats'],
    async check(lab) {
      return await lab.whileSuspended(async (_operation, first) => {
        const names = await lab.files.journalNames();
        if (!names.includes(first)) throw new Broken(`${first} is not one of ${names.join(', ')}`);
        return first;
      });
    },
  },
  {
    id: 'suspend-repeats',
    says: 'Repeats: SuspendWriting repeated with the same operation has the same answer as once.',
    roles: NODE,
    async check(lab) {
      return await lab.whileSuspended(async (operation, first) => {
        const again = await lab.participant.suspendWriting({ operation, leaseMs: LONG_MS });
        if (again.firstJournalFile !== first) throw new Broken(`${first}, then ${again.firstJournalFile}`);
        return `${first} twice`;
      });
    },
  },
  {
    id: 'suspended-journal-kept',
    says: 'SuspendWriting: journal files from first_journal_file on are not removed as long as it is suspended.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      await lab.progress();
      return await lab.whileSuspended((operation, first) => keepsJournal(lab, operation, first));
    },
  },
  {
    id: 'retained-journal-kept',
    says: 'ResumeWriting: with retain_journal no journal file from first_journal_file on is removed until ReleaseJournal.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      await lab.progress();
      return await lab.whileRetained((operation, first) => keepsJournal(lab, operation, first));
    },
  },
];

/** Closes one journal file after the other, which a process would like to remove, and sees that they stay. */
async function keepsJournal(lab: Lab, operation: string, first: string): Promise<string> {
  const known = new Set<string>();
  for (let round = 0; round <= SWITCHES; round += 1) {
    const names = await lab.files.journalNames();
    const removed = [...known].find((name) => !names.includes(name));
    if (removed !== undefined) throw new Broken(`${removed} is gone; the first to keep is ${first}`);
    for (const name of names) if (name >= first) known.add(name);
    if (round === SWITCHES) break;
    await lab.whileQuiesced((attempt) => lab.participant.switchJournal(attempt), { operation });
    await lab.progress();
    await lab.hold();
  }
  if (known.size === 0) throw new Unjudged(`there is no journal file from ${first} on`);
  return `${known.size} files from ${first} on stay`;
}
