import { edit, type Mutant } from '../mutant.ts';

const DOCUMENT = 'shared/documents/document';
const READ = { file: 'documents/read-documents.test.ts' } as const;
const RULES = { file: 'documents/rules.test.ts' } as const;

/** Backup and Restore documents. */
export const DOCUMENT_MUTANTS: readonly Mutant[] = [
  {
    id: 'S99',
    breaks:
      'looks for the storage class where the prose of the source has it, and not where its document has it',
    edits: [
      edit(
        DOCUMENT,
        'storageClassName: z.string().min(1).optional() })',
        'storageClass: z.string().min(1).optional() })',
      ),
    ],
    ...READ,
  },
  {
    id: 'S101',
    breaks: 'knows no counters among the resources of a document',
    edits: [edit(DOCUMENT, '  counters: names,\n', '')],
    ...READ,
  },
  {
    id: 'S101',
    breaks: 'drops the older word for tasks',
    edits: [edit(DOCUMENT, "['cacheConfigs', 'scripts'] as const", "['cacheConfigs'] as const")],
    ...READ,
  },
  {
    id: 'S102',
    breaks: 'takes a document that names no resources for one that asks for nothing',
    edits: [
      edit(
        'shared/documents/resources',
        'selected.length === 0 ? null : Object',
        'selected.length < 0 ? null : Object',
      ),
    ],
    ...RULES,
  },
  {
    id: 'S103',
    breaks: 'takes all of each kind that a document does not name',
    edits: [
      edit(
        'shared/documents/resources',
        'if (names === undefined) return [];',
        'if (names === undefined) return [[kind, [ALL]]];',
      ),
    ],
    ...RULES,
  },
  {
    id: 'S104',
    breaks: 'looks for a cache that is called *',
    edits: [edit('shared/documents/resources', 'names.includes(ALL) ? [ALL] : ', '')],
    ...RULES,
  },
  {
    id: 'S105',
    breaks: 'takes a document for another one where it has other labels',
    edits: [
      edit(
        'shared/documents/one-time',
        'JSON.stringify(kept.spec) !==',
        'JSON.stringify(kept.metadata.labels) !== JSON.stringify(applied.metadata.labels) || JSON.stringify(kept.spec) !==',
      ),
    ],
    ...RULES,
  },
  {
    id: 'S106',
    breaks: 'takes a changed document for the one that is kept',
    edits: [
      edit(
        'shared/documents/one-time',
        'if (!isEqual(kept.spec, applied.spec))',
        'if (kept.kind !== applied.kind)',
      ),
    ],
    ...RULES,
  },
  {
    id: 'S109',
    breaks: 'has no word for the backup that a Restore is of',
    edits: [edit(DOCUMENT, '  backup: z.string().min(1, "\'spec.backup\' must be configured"),\n', '')],
    ...READ,
  },
  {
    id: 'S112',
    breaks: 'lets a document succeed that never ran',
    edits: [
      edit(
        'shared/documents/phase',
        "Initialized: ['Running', 'Failed'",
        "Initialized: ['Running', 'Succeeded', 'Failed'",
      ),
    ],
    ...RULES,
  },
  {
    id: 'S114',
    breaks: 'takes Unknown for an end',
    edits: [
      edit(
        'shared/documents/phase',
        "Unknown: ['Initialized', 'Running', 'Succeeded', 'Failed'],",
        'Unknown: [],',
      ),
    ],
    ...RULES,
  },
  {
    id: 'S117',
    breaks: 'describes a document without its status',
    edits: [edit('shared/documents/show', '...fieldsOf(status).map(indented),', '')],
    file: 'documents/show.test.ts',
  },
];
