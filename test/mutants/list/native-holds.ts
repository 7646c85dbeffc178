import { edit, type Mutant } from '../mutant.ts';

const HOLDS = { file: 'engines/native/holds.test.ts' } as const;
const JOURNAL = { file: 'engines/native/image-journal.test.ts' } as const;
const MESSAGES = { file: 'agent/operation-messages.test.ts' } as const;
const OPERATION = 'agent/engines/native/operation';
const ENGINE = 'agent/engines/native/native-engine';
const IMAGE_JOURNAL = 'agent/engines/native/image-journal';
const SAID = 'agent/operation-messages';

/** What nodes of the native contract, their messages and their images promise in operations for operators' own tools. */
export const NATIVE_HOLD_MUTANTS: readonly Mutant[] = [
  {
    id: 'S57',
    breaks: 'brings an image further than to the checkpoint',
    edits: [
      edit(
        IMAGE_JOURNAL,
        "'journals' : 'image',\n    length: name === journalFile ? facts.length : null,",
        "'journals' : 'image',\n    length: null,",
      ),
    ],
    ...JOURNAL,
  },
  {
    id: 'S58',
    breaks: 'brings an image to a checkpoint that is older than it',
    edits: [edit(IMAGE_JOURNAL, '  mustBeOlder(imaged, facts);\n', '')],
    ...JOURNAL,
  },
  {
    id: 'S59',
    breaks: 'begins a restore though a journal file is missing',
    edits: [edit(IMAGE_JOURNAL, 'if (gone.length > 0) {', 'if (gone.length > 99) {')],
    ...JOURNAL,
  },
  {
    id: 'S60',
    breaks: 'passes over journal of later in an image of a quiesce',
    edits: [edit(IMAGE_JOURNAL, '(name > journalFile && !isStill)', 'name > journalFile')],
    ...JOURNAL,
  },
  {
    id: 'S62',
    breaks: 'takes a journal file that was not there at the mark',
    edits: [
      edit(
        IMAGE_JOURNAL,
        "if (!atMark.has(name)) throw foreign(imaged, name, 'was not there at the mark');",
        '',
      ),
    ],
    ...JOURNAL,
  },
  {
    id: 'S64',
    breaks: 'gives an image of a freeze the journal after its checkpoint too',
    edits: [
      edit(IMAGE_JOURNAL, 'name >= firstJournalFile && name <= journalFile', 'name >= firstJournalFile'),
    ],
    ...JOURNAL,
  },
  {
    id: 'S66',
    breaks: 'does not look whether the journal that ended at the checkpoint is in the image',
    edits: [
      edit(
        IMAGE_JOURNAL,
        'name >= firstJournalFile && name <= journalFile',
        'name >= firstJournalFile && name < journalFile',
      ),
    ],
    ...JOURNAL,
  },
  {
    id: 'S67',
    breaks: 'lets readers go on in a quiesce, asked or not',
    edits: [edit(OPERATION, 'allowReads: purpose.allowReads', 'allowReads: true')],
    ...HOLDS,
  },
  {
    id: 'S68',
    breaks: 'lets readers wait in a quiesce that allows them',
    edits: [edit(OPERATION, 'allowReads: purpose.allowReads', 'allowReads: false')],
    ...HOLDS,
  },
  {
    id: 'S69',
    breaks: 'leaves database files changing in a quiesce',
    edits: [
      edit('agent/engines/native/node-hold', 'if (this.#isQuiesce) await this.#suspension?.begin();', ''),
    ],
    ...HOLDS,
  },
  {
    id: 'S70',
    breaks: 'gives a process three seconds to come to rest, whatever was asked',
    edits: [edit(OPERATION, 'timeoutMs: purpose.timeOutMs', 'timeoutMs: QUIESCE_MS')],
    ...HOLDS,
  },
  {
    id: 'S72',
    breaks: 'does not say what kept a process from rest',
    edits: [
      edit(
        'agent/engines/native/hold-failures',
        "${activities.join(', ') || 'it did not say what'}",
        'something',
      ),
    ],
    ...HOLDS,
  },
  {
    id: 'S72',
    breaks: "leaves what had not come to rest out of the member's log",
    edits: [edit(SAID, 'System not quiesced: ${failure.message}', 'System not quiesced')],
    ...MESSAGES,
  },
  {
    id: 'S73',
    breaks: "lets a quiesce end by the process's clock though its job lives",
    edits: [edit('agent/engines/native/node-hold', '    this.#operation.renew();\n', '')],
    ...HOLDS,
    only: 'has its quiesce renewed',
  },
  {
    id: 'S78',
    breaks: 'does not log the number of the checkpoint beside the file that ends there',
    edits: [edit(SAID, ' ends at checkpoint number ${token.counter}', ' ends')],
    ...MESSAGES,
  },
  {
    id: 'S79',
    breaks: 'switches journal files without coming to rest',
    edits: [
      edit(
        OPERATION,
        'await this.participant.quiesce({ ...attempt, allowReads, timeoutMs, leaseMs });',
        "{ ...attempt, allowReads, timeoutMs, leaseMs, quiesced: true, notQuiesced: [], incarnation: this.#incarnation ?? '' };",
      ),
    ],
    ...HOLDS,
  },
  {
    id: 'S80',
    breaks: 'lets readers wait in a journal checkpoint',
    edits: [
      edit(
        OPERATION,
        '{ allowReads: true, timeoutMs: QUIESCE_MS }',
        '{ allowReads: false, timeoutMs: QUIESCE_MS }',
      ),
    ],
    ...HOLDS,
  },
  {
    id: 'S81',
    breaks: 'has words of its own for what operators know',
    edits: [edit(SAID, '${QUIESCE}: System quiesced', '${QUIESCE}: The system is quiesced')],
    ...MESSAGES,
  },
  {
    id: 'S82',
    breaks: 'ends a freeze with the end of its journal checkpoint',
    edits: [
      edit(
        'agent/engines/native/node-hold',
        'if (!this.#isQuiesce || this.#suspension === null',
        'if (this.#suspension === null',
      ),
    ],
    ...HOLDS,
    only: 'for a freeze has its write daemon wait',
  },
  {
    id: 'S83',
    breaks: 'leaves the write daemon at work in a freeze',
    edits: [edit(ENGINE, "...(purpose.type === 'freeze' && { suspension }),", '')],
    ...HOLDS,
    only: 'for a freeze has its write daemon wait',
  },
  ...(['S84', 'S85'] as const).map((id): Mutant => ({
    id,
    breaks: 'does not tell a process for how long updates are to go on',
    edits: [edit(ENGINE, "purpose.type === 'freeze' ? purpose.timeOutMs : 0", '0')],
    ...HOLDS,
  })),
  {
    id: 'S86',
    breaks: 'does not warn of a database that is not journaled',
    edits: [
      edit('agent/engines/native/describe', 'if (unjournaled.length > 0)', 'if (unjournaled.length > 99)'),
    ],
    ...HOLDS,
  },
  {
    id: 'S87',
    breaks: 'gives up a start that gets on with its recovery',
    edits: [
      edit(
        'agent/engines/native/restoration',
        'if (recovering !== null && recovering !== progress)',
        'if (progress === undefined)',
      ),
    ],
    file: 'engines/native/recovering.test.ts',
  },
  {
    id: 'S90',
    breaks: 'leaves in the last journal file what came after the checkpoint',
    edits: [
      edit(
        IMAGE_JOURNAL,
        "from: 'image',\n    length: name === journalFile ? facts.length : null,",
        "from: 'image',\n    length: null,",
      ),
    ],
    ...JOURNAL,
  },
  {
    id: 'S91',
    breaks: 'confirms in the log that a freeze held which had ended',
    edits: [edit(SAID, "suspension.held ? 'System resumed'", "suspension !== null ? 'System resumed'")],
    ...MESSAGES,
  },
  {
    id: 'S92',
    breaks: 'takes a process that does not answer for one that has resumed',
    edits: [
      edit(
        'agent/engines/native/suspension',
        'if (cause === null) throw error;',
        "if (cause === null) return { held: false, cause: '' };",
      ),
    ],
    ...HOLDS,
  },
  {
    id: 'S126',
    breaks: 'writes nothing of a quiesce into the log of its members',
    edits: [
      edit(
        SAID,
        "if (purpose.type === 'checkpoint') return;",
        "if (purpose.type === 'checkpoint' || purpose.type === 'quiesce') return;",
      ),
    ],
    ...MESSAGES,
  },
  {
    id: 'S130',
    breaks: 'says nothing of how long updates would go on in the memory of a process',
    edits: [
      edit(
        'agent/engines/native/describe',
        'updatesHaveRoomMs: said.updatesHaveRoomMs,',
        'updatesHaveRoomMs: null,',
      ),
    ],
    ...HOLDS,
  },
];
