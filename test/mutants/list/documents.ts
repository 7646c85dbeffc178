import { edit, type Mutant } from '../mutant.ts';

const DOCUMENT = 'shared/documents/document';
const READ = { file: 'documents/read-documents.test.ts' } as const;
const RULES = { file: 'documents/rules.test.ts' } as const;
const RUN = 'agent/documents/run';
const WORK = 'agent/documents/work';
const AGENT = { file: 'agent/documents/controller.test.ts' } as const;

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
        'if (JSON.stringify(kept.spec) !== JSON.stringify(applied.spec))',
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
  {
    id: 'S94',
    breaks: 'refuses clients while a backup is made',
    edits: [
      edit(
        RUN,
        '    await member.start(',
        '    for (const one of await cluster.caches(signal)) await cluster.ignore(one.name, signal);\n    await member.start(',
      ),
    ],
    ...AGENT,
    only: '\\[S94\\]',
  },
  {
    id: 'S95',
    breaks: 'starts a member that takes data of the cluster',
    edits: [edit('agent/documents/backup-member', '  throw notZeroCapacity(template);\n', '')],
    ...AGENT,
    only: '\\[S95\\]',
  },
  {
    id: 'S95',
    breaks: 'takes a capacity of none that is commented out of the configuration',
    edits: [
      edit(
        'agent/documents/backup-member',
        "withoutComments(await readFile(join(conf, name), 'utf8'))",
        "await readFile(join(conf, name), 'utf8')",
      ),
    ],
    only: 'take data \\[S95\\]',
    ...AGENT,
  },
  {
    id: 'S96',
    breaks: 'has a server that clients use make the backup',
    edits: [
      edit(RUN, 'await work.begin(member.server, signal)', 'await work.begin(this.#context.cluster, signal)'),
    ],
    ...AGENT,
    only: '\\[S96\\]',
  },
  {
    id: 'S97',
    breaks: 'leaves a member that does not listen',
    edits: [
      edit(
        'agent/documents/backup-member',
        "for (const signal of ['SIGTERM', 'SIGKILL'] as const) {",
        "for (const signal of ['SIGTERM', 'SIGTERM'] as const) {",
      ),
    ],
    ...AGENT,
    only: 'that is deaf',
  },
  {
    id: 'S112',
    breaks: 'begins a document while a checkpoint is at work on its cluster',
    edits: [
      edit(
        'agent/engines/infinispan/server/cluster-turn',
        'if (worker.id === this.#own.id) return false;',
        'if (worker.id === this.#own.id || worker.id !== this.#own.id) return false;',
      ),
    ],
    ...AGENT,
    only: 'waits for a checkpoint',
  },
  {
    id: 'S113',
    breaks: 'waits for a checkpoint without an end',
    edits: [
      edit(
        'agent/engines/infinispan/server/cluster-turn',
        '      if (performance.now() > until) throw busy(before, withinSeconds);\n',
        '',
      ),
    ],
    ...AGENT,
    only: 'lasts longer than the file allows',
  },
  {
    id: 'S98',
    breaks: 'gives no quota back when a document has failed',
    edits: [edit('agent/documents/admission', " && one.status.phase !== 'Failed'", '')],
    ...AGENT,
    only: 'beyond the quota',
  },
  {
    id: 'S113',
    breaks: 'fails for a lock that a killed server has left',
    edits: [edit(RUN, 'UNDER_WAY.test(log) && !(await', '!UNDER_WAY.test(log) && !(await')],
    ...AGENT,
    only: 'has left its lock',
  },
  {
    id: 'S113',
    breaks: 'asks a member that refuses us until its time is over',
    edits: [edit('agent/documents/backup-member', '        if (isForGood(error)) throw error;\n', '')],
    ...AGENT,
    only: 'does not let us in \\[',
  },
  {
    id: 'S114',
    breaks: 'gives a member up whose token has expired while it works',
    edits: [edit(RUN, ' && !isForGood(error)) throw error;', ') throw error;')],
    ...AGENT,
    only: 'does not let us in any more',
  },
  {
    id: 'S98',
    breaks: 'puts all archives into one directory',
    edits: [
      edit(
        'agent/documents/volume',
        "join(this.#directory, 'backups', this.#name, `${this.#name}.zip`)",
        "join(this.#directory, 'backups', `${this.#name}.zip`)",
      ),
    ],
    ...AGENT,
    only: '\\[S98\\]',
  },
  {
    id: 'S100',
    breaks: 'takes documents of clusters of every service type',
    edits: [
      edit('agent/documents/places', 'if (cluster.service !== DATA_GRID)', "if (cluster.service === '')"),
    ],
    ...AGENT,
    only: '\\[S100\\]',
  },
  {
    id: 'S107',
    breaks: 'forgets clients of the beginning when they have gone by the end',
    edits: [
      edit(
        RUN,
        "if (isSure || condition.status === 'True')",
        "if (isSure || condition.status !== 'Unknown')",
      ),
    ],
    ...AGENT,
    only: '\\[S107\\]',
  },
  {
    id: 'S108',
    breaks: 'looks for clients only when all is done',
    edits: [edit(RUN, "    await this.#lookAtClients(signal, 'began');\n", '')],
    ...AGENT,
    only: '\\[S108\\]',
  },
  {
    id: 'S110',
    breaks: 'makes way for the caches of a backup',
    edits: [
      edit(
        WORK,
        '    await server.startRestore(this.#name',
        "    await server.removeCache('orders', signal);\n    await server.startRestore(this.#name",
      ),
    ],
    ...AGENT,
    only: '\\[S110\\]',
  },
  {
    id: 'S111',
    breaks: 'restores no entries of a cache that is there',
    edits: [
      edit(
        WORK,
        '    await server.startRestore(this.#name, { location: this.#copy }, resources, signal);',
        "    const some = resources ?? { caches: ['cache-two'], counters: ['*'], protoSchemas: ['*'] };\n    await server.startRestore(this.#name, { location: this.#copy }, some, signal);",
      ),
    ],
    ...AGENT,
    only: '\\[S111\\]',
  },
  {
    id: 'S113',
    breaks: 'tells how a document ended while its member is there still',
    edits: [edit(RUN, '        await member.end();\n        await undo();', '        await undo();')],
    ...AGENT,
    only: '\\[S113\\]',
  },
  {
    id: 'S114',
    breaks: 'takes a document for failed whose member works on for the next agent',
    edits: [
      edit(
        RUN,
        'if (!(await member.isThere()))',
        'if ((await member.isThere()) || !(await member.isThere()))',
      ),
    ],
    ...AGENT,
    only: '\\[S114\\]',
  },
  {
    id: 'S115',
    breaks: 'has no line for a backup in its log',
    edits: [edit(WORK, "return `ISPN005044: Backup file created '${this.#name}.zip'`;", 'return `done`;')],
    ...AGENT,
    only: '\\[S115\\]',
  },
  {
    id: 'S116',
    breaks: "takes the server's word for the beginning of a restore for its end",
    edits: [
      edit(
        WORK,
        "`ISPN005046: Restore '${this.#name}' complete`",
        "`ISPN005045: Starting restore '${this.#name}'`",
      ),
    ],
    ...AGENT,
    only: '\\[S116\\]',
  },
  {
    id: 'S116',
    breaks: 'has no line for a restore in its log',
    edits: [
      edit(WORK, "return `ISPN005045: Restore '${this.#document.spec.backup}' complete`;", 'return `done`;'),
    ],
    ...AGENT,
    only: '\\[S116\\]',
  },
];
