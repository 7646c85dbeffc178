import type { JournalCut } from '../../../shared/domain/participant.ts';
import { broughtUp } from '../brought-up.ts';
import { brief, lacking } from '../lab.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

/** For a keeper's state to be the same at a mark and right after it. */
const FEW_CHANGES_MS = 3000;
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
      const ended = lab.attempt();
      await participant.release({ operation });
      await lab.quiesce(ended);
      await participant.resume(ended);
      await lab.refusal(
        'SwitchJournal after Resume',
        participant.switchJournal(ended),
        'participant-wrong-state',
      );
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
        const [before, after] = [brief(once.content), brief(twice.content)];
        if (before !== after) throw new Broken(`content ${before}, then ${after}`);
        return `${place(once)} twice`;
      });
    },
  },
  {
    id: 'mark-names-state',
    says: 'SwitchJournal: a state keeper or realm service answers with the version of its state, and length 0.',
    roles: STATE_ROLES,
    async check(lab) {
      const { participant, description } = lab;
      const named: string[] = [];
      const isItsVersion = async (): Promise<boolean> => {
        const { operation, cut } = await lab.whileQuiesced(async (attempt) => ({
          ...attempt,
          cut: await participant.switchJournal(attempt),
        }));
        if (cut.length !== 0) throw new Broken(place(cut));
        if (description.role !== 'state-keeper') return true;
        const { version } = await participant.saveKeeperState({ operation });
        named.push(`${cut.journalFile} at the mark, version ${version} right after it`);
        return cut.journalFile === String(version);
      };
      // It may have changed in between; a checkpoint is then created again too.
      if (await lab.becomes(isItsVersion, FEW_CHANGES_MS)) return 'its version';
      throw new Broken(named.at(-1) ?? '');
    },
  },
  {
    id: 'mark-file',
    says: 'SwitchJournal closes the current journal file and begins the next: the mark.',
    roles: NODE,
    needs: ['files'],
    async check(lab) {
      return await lab.whileRetained((operation) =>
        lab
          .whileQuiesced(
            async (attempt) => {
              const before = await lab.files.journalNames();
              const cut = await lab.participant.switchJournal(attempt);
              const file = (await lab.files.journal()).get(cut.journalFile);
              if (file === undefined) throw new Broken(`${cut.journalFile} is not in the journal directory`);
              if (file.sizeBytes < cut.length)
                throw new Broken(`${place(cut)}, but the file has ${file.sizeBytes}`);
              if (!before.includes(cut.journalFile))
                throw new Broken(`${cut.journalFile} was not there before the mark`);
              return cut;
            },
            { operation },
          )
          .then(async (cut) => {
            await lab.progress();
            const next = await lab.whileQuiesced((attempt) => lab.participant.switchJournal(attempt), {
              operation,
            });
            if (next.journalFile === cut.journalFile)
              throw new Broken(`the next mark is in ${cut.journalFile} too: it was not closed`);
            return place(cut);
          }),
      );
    },
  },
  {
    id: 'mark-unchanged',
    says: 'SwitchJournal: the closed file, up to length, never changes again, and stays where it is while it is retained.',
    roles: NODE,
    needs: ['files'],
    hiddenBy: ['mark-file'],
    async check(lab) {
      const look = async (cut: JournalCut) => await lab.files.digestUpTo(cut.journalFile, cut.length);
      await lab.progress();
      return await lab.whileRetained(async (operation) => {
        const { cut, before } = await lab.whileQuiesced(
          async (attempt) => {
            const closed = await lab.participant.switchJournal(attempt);
            const file = await look(closed);
            return { cut: closed, before: file };
          },
          { operation },
        );
        await lab.progress();
        await lab.hold();
        const after = await look(cut);
        if (before === null) throw new Unjudged(`${cut.journalFile} is not there`);
        if (after === null)
          throw new Broken(`${cut.journalFile} is gone, or shorter than ${cut.length} bytes`);
        if (before === after) return `${cut.length} bytes of ${cut.journalFile} are what they were`;
        throw new Broken(`the ${cut.length} bytes of ${cut.journalFile} at the mark are others now`);
      });
    },
  },
  {
    id: 'journal-names-sort',
    says: 'Files: journal files are named so that names sort in the order of writing.',
    roles: NODE,
    needs: ['files'],
    hiddenBy: ['mark-file'],
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
      const { rows, restored } = await broughtUp(lab);
      const missing = lacking(rows, restored.rows);
      const surplus = lacking(restored.rows, rows);
      if (missing !== null)
        throw new Broken(`rows that were there at the mark and did not come up: ${missing}`);
      if (surplus !== null) throw new Broken(`rows that came up and were not there at the mark: ${surplus}`);
      return `${rows.size} rows at the mark, and the same came up`;
    },
  },
];

function place({ journalFile, length }: JournalCut): string {
  return `${journalFile} with ${length} bytes`;
}
