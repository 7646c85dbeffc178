import { edit, type Mutant } from '../mutant.ts';

const JUDGE = 'shared/domain/judge-set';
const JUDGED = { file: 'domain/judge-set.test.ts' } as const;

/** What operators' own backups can be restored to. */
export const SET_MUTANTS: readonly Mutant[] = [
  {
    id: 'S57',
    breaks: 'asks of backups of any time that the journal checkpoint was held while they were made',
    edits: [
      edit(
        JUDGE,
        "return purpose === 'quiesce' ? ['quiesce'] : ['journals'];",
        "return purpose === 'quiesce' ? ['quiesce'] : ['freeze'];",
      ),
    ],
    ...JUDGED,
  },
  {
    id: 'S58',
    breaks: 'accepts a journal checkpoint that was made while a backup was under way',
    edits: [edit(JUDGE, 'counter < hold.counter)', 'counter <= hold.counter)')],
    ...JUDGED,
  },
  {
    id: 'S59',
    breaks: 'restores although an agent has said that a journal file is missing',
    edits: [edit(JUDGE, '    ...seen.values(),\n', '')],
    ...JUDGED,
  },
  {
    id: 'S60',
    breaks: 'takes a backup that began before the quiesce for one that it held for',
    edits: [
      edit(
        JUDGE,
        'if (begun.heldBy === null) return outside(',
        'if (begun.heldBy === null) return [];\n  if (begun.heldBy === undefined) return outside(',
      ),
    ],
    ...JUDGED,
  },
  {
    id: 'S61',
    breaks: 'takes members that were shut down one after the other for ones that were shut down at once',
    edits: [edit(JUDGE, 'if (late.length === 0) return [];', 'if (late.length >= 0) return [];')],
    ...JUDGED,
  },
  {
    id: 'S62',
    breaks: 'takes a journal file for one of the image that was not there at the mark',
    edits: [
      edit(
        'agent/engines/native/image-journal',
        'if (!atMark.has(name)) throw foreign(',
        "if (name === '') throw foreign(",
      ),
    ],
    file: 'engines/native/image-journal.test.ts',
  },
  {
    id: 'S64',
    breaks: 'restores what the repository has of a member that was only frozen, and not its image',
    edits: [edit('agent/restore-operation', 'plan.image === undefined', "plan.source.member !== ''")],
    file: 'agent/restore-operation.test.ts',
  },
  {
    id: 'S65',
    breaks: 'takes a backup that ended after the thaw for one that the freeze held for',
    edits: [
      edit(
        JUDGE,
        'if (ended === null || isThis(ended.stamp)) return [];',
        'if (begun !== undefined) return [];',
      ),
    ],
    ...JUDGED,
  },
  {
    id: 'S66',
    breaks: 'takes any journal file in an image for the one that ended at the freeze',
    edits: [edit(JUDGE, 'image.journalFiles.includes(journalFile)', 'image.journalFiles.length > 0')],
    ...JUDGED,
  },
  {
    id: 'S60',
    breaks:
      'takes who came to copy a server that a quiesce holds, and has gone, for a standby that shows its journal',
    edits: [
      edit(
        'agent/engines/postgres/look/viewing',
        'return writers.has(pid) ? null : vanishedViewer(pid);',
        'return vanishedViewer(pid);',
      ),
    ],
    file: 'engines/postgres/look/viewing.test.ts',
    only: 'came to copy',
  },
  {
    id: 'S61',
    breaks:
      'holds a copy of a server against the list of the base backup that the server was brought up from',
    edits: [
      edit(
        'agent/engines/postgres/images/backup-list',
        'if (list.stop !== null && redo > list.stop)',
        'if (list.stop !== null && redo < 0n)',
      ),
    ],
    file: 'engines/postgres/images/image-refusals.test.ts',
    only: 'brought up from one',
  },
];
