import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JournalCut } from '../../../shared/domain/participant.ts';
import { brief, lacking, LONG_MS, type Lab } from '../lab.ts';
import { startProgram } from '../programs.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

const START_MS = 60_000;
const STATE_ROLES = RESTING_ROLES.filter((role) => role !== 'node');

/** The mark, and what comes back from it. */
export const journalPromises: readonly ContractPromise[] = [
  {
    id: 'mark-only-at-rest',
    says: 'SwitchJournal: only while quiesced with the same token.',
    roles: RESTING_ROLES,
    async check(lab) {
      const { participant } = lab;
      await lab.refusal(
        'SwitchJournal, not quiesced',
        participant.switchJournal(lab.attempt()),
        'participant-wrong-state',
      );
      const { operation, ...quiesced } = lab.attempt();
      await lab.quiesce({ operation, ...quiesced });
      const call = participant.switchJournal(lab.attempt(operation));
      await lab.refusal('SwitchJournal with a newer token', call, 'participant-wrong-state');
      return 'FAILED_PRECONDITION otherwise';
    },
  },
  {
    id: 'mark-repeats',
    says: 'Repeats: SwitchJournal repeated with the same operation and token has the same answer as once.',
    roles: RESTING_ROLES,
    async check(lab) {
      return await lab.whileQuiesced(async (attempt) => {
        const once = await lab.participant.switchJournal(attempt);
        const twice = await lab.participant.switchJournal(attempt);
        const same = once.journalFile === twice.journalFile && once.length === twice.length;
        if (!same) throw new Broken(`${place(once)}, then ${place(twice)}`);
        return `${place(once)} twice`;
      });
    },
  },
  {
    id: 'mark-names-state',
    says: 'SwitchJournal: a state keeper or realm service answers with its version, and length 0.',
    roles: STATE_ROLES,
    async check(lab) {
      return await lab.whileQuiesced(async (attempt) => {
        const cut = await lab.participant.switchJournal(attempt);
        if (cut.length !== 0) throw new Broken(place(cut));
        return cut.journalFile;
      });
    },
  },
  {
    id: 'mark-file',
    says: 'SwitchJournal closes the current journal file and begins the next: the mark.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      return await lab.whileRetained((operation) =>
        lab.whileQuiesced(
          async (attempt) => {
            const before = await lab.files.journalNames();
            const cut = await lab.participant.switchJournal(attempt);
            const file = (await lab.files.journal()).get(cut.journalFile);
            if (file === undefined) throw new Broken(`${cut.journalFile} is not in the journal directory`);
            if (file.sizeBytes < cut.length)
              throw new Broken(`${place(cut)}, but the file has ${file.sizeBytes}`);
            const later = before.find((name) => name > cut.journalFile);
            if (later === undefined) return place(cut);
            throw new Broken(`the mark is ${cut.journalFile}, but ${later} was there before`);
          },
          { operation },
        ),
      );
    },
  },
  {
    id: 'mark-unchanged',
    says: 'SwitchJournal: the closed file never changes again.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      const look = async (cut: JournalCut) => (await lab.files.journal()).get(cut.journalFile);
      return await lab.whileRetained(async (operation) => {
        const { cut, before } = await lab.whileQuiesced(
          async (attempt) => {
            const closed = await lab.participant.switchJournal(attempt);
            const file = await look(closed);
            await lab.hold();
            return { cut: closed, before: file };
          },
          { operation },
        );
        await lab.progress();
        const after = await look(cut);
        if (before === undefined || after === undefined)
          throw new Unjudged(`${cut.journalFile} is not there`);
        if (before.digest === after.digest) return `${cut.journalFile} is what it was`;
        throw new Broken(
          `${cut.journalFile} had ${before.sizeBytes} bytes and has ${after.sizeBytes}, or others`,
        );
      });
    },
  },
  {
    id: 'journal-names-sort',
    says: 'Files: journal files are named so that names sort in the order of writing.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      const marks: string[] = [];
      for (let round = 0; round < 3; round += 1) {
        await lab.progress(5);
        const cut = await lab.whileQuiesced((attempt) => lab.participant.switchJournal(attempt));
        marks.push(cut.journalFile);
      }
      const sorted = [...new Set(marks)].sort();
      if (sorted.join('\n') !== marks.join('\n'))
        throw new Broken(`three marks in this order: ${marks.join(', ')}`);
      return marks.join(', ');
    },
  },
  {
    id: 'mark-restores',
    says: 'Files: a process started on database files and journal up to a mark has exactly what was logged there.',
    roles: NODE,
    needs: ['writer', 'files', 'start'],
    async check(lab) {
      const folder = await mkdtemp(join(tmpdir(), 'stillpoint-conformance-'));
      try {
        const data = join(folder, 'data');
        const rows = await captureInto(lab, data);
        const restored = await restoredRows(lab, data);
        const missing = lacking(rows, restored);
        const surplus = lacking(restored, rows);
        if (missing !== null)
          throw new Broken(`rows that were there at the mark and did not come up: ${missing}`);
        if (surplus !== null)
          throw new Broken(`rows that came up and were not there at the mark: ${surplus}`);
        return `${rows.size} rows at the mark, and the same came up`;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  },
];

/** Copies as the agent does, while clients write. Resolves to the rows at the mark. */
async function captureInto(lab: Lab, data: string): Promise<ReadonlySet<number>> {
  const { participant, files } = lab;
  await lab.busyWriter();
  const { operation } = lab.attempt();
  const { firstJournalFile } = await participant.suspendWriting({ operation, leaseMs: LONG_MS });
  await mkdir(join(data, 'live'), { recursive: true });
  await files.copyDatabase(data);
  const retention = { operation, retainJournal: true, leaseMs: LONG_MS };
  if (!(await participant.resumeWriting(retention)).held) throw new Unjudged('writing was not suspended');
  await lab.progress();
  const { cut, rows } = await lab.whileSilent(() =>
    lab.whileQuiesced(
      async (attempt) => ({ cut: await participant.switchJournal(attempt), rows: await lab.rows() }),
      { operation },
    ),
  );
  await lab.progress();
  const names = await files.copyJournal(data, firstJournalFile, cut);
  await participant.releaseJournal({ operation });
  for (const name of [firstJournalFile, cut.journalFile]) {
    if (!names.includes(name)) throw new Unjudged(`${name} was gone before it was copied: ${brief(names)}`);
  }
  return rows;
}

async function restoredRows(lab: Lab, data: string): Promise<ReadonlySet<number>> {
  const started = startProgram(lab.programs.start ?? [], { data }, () => undefined);
  let rows: ReadonlySet<number> | undefined;
  try {
    await lab.becomes(async () => {
      rows = await lab.rows(data).catch(() => undefined);
      return rows !== undefined || started.isGone();
    }, START_MS);
  } finally {
    await started.stop();
  }
  if (rows !== undefined) return rows;
  throw new Broken(`a process started on the files cannot be read: ${started.complaint()}`);
}

function place({ journalFile, length }: JournalCut): string {
  return `${journalFile} with ${length} bytes`;
}
