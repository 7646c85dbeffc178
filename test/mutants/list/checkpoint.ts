import { edit, type Mutant } from '../mutant.ts';

const MAIN_JOB = {
  file: 'e2e/reference/main-job.test.ts',
  only: 'is captured while|comes back on other hosts',
} as const;
const PREFLIGHT = { file: 'coordinator/preflight.test.ts' } as const;
const SALVAGE = { file: 'e2e/reference/salvage.test.ts', only: 'is brought into a new' } as const;
const SAID = { file: 'engines/native/said.test.ts' } as const;
const LOCAL_ID = 'this.#id = mustBeId(checkpoint);';

/** What a checkpoint promises, and where it lies. */
export const CHECKPOINT_MUTANTS: readonly Mutant[] = [
  {
    id: 'S2',
    breaks: "stores no database files: what was in a node's database when it is killed is lost",
    edits: [edit('agent/engines/native/node-copy', 'await this.#store(local, files);', 'void files;')],
    ...MAIN_JOB,
  },
  {
    id: 'S2',
    breaks: 'holds a cluster whose entries are on their way between its servers',
    edits: [
      edit(
        'agent/engines/infinispan/hold/cluster-hold',
        "if (status !== 'HEALTHY') throw notAtRest(status);",
        'void notAtRest;\n      void status;',
      ),
    ],
    file: 'engines/infinispan/bad-moments.test.ts',
    only: 'arms nobody before',
  },
  {
    id: 'S125',
    breaks: 'leaves a part of a cluster that has come apart as it is held',
    edits: [
      edit(
        'agent/engines/infinispan/hold/undo',
        'if (isOpen && !undo.caches.some((cache) => ignored.includes(cache))) continue;',
        'void ignored;\n        if (isOpen) continue;',
      ),
    ],
    file: 'engines/infinispan/bad-moments.test.ts',
    only: 'a part that went on alone',
  },
  {
    id: 'S14',
    breaks: 'lets clients write again before the freeze, while the backup is under way',
    edits: [
      edit(
        'agent/engines/native/node-hold',
        'this.#operation.arm(({ held, primary }) => {',
        `this.#operation.arm(({ held, primary }) => {
        void this.#operation.participant.leaveMaintenance({ operation: this.#operation.id });`,
      ),
    ],
    file: 'e2e/reference/killed-agents.test.ts',
    only: 'until it is done',
  },
  {
    id: 'S21',
    breaks: "takes the realm's backup from wherever the process says",
    edits: [edit('shared/rpc/participant-codec', "file.startsWith('backups/')", 'true')],
    ...SAID,
  },
  {
    id: 'S32',
    breaks: 'takes what is in live/ of a running node for its checkpoint',
    edits: [
      edit(
        'agent/engines/native/local-copy',
        'yield* local.content(place, await local.lengthOf(place));',
        `const live = join(local.path, '../..', place.replace(/^data/, 'live'));
        if (place.startsWith('data/')) yield await (await import('node:fs/promises')).readFile(live);
        else yield* local.content(place, await local.lengthOf(place));`,
      ),
    ],
    ...SALVAGE,
  },
  {
    id: 'S35',
    breaks: 'takes the first copyset by name for the one that was defined first',
    edits: [
      edit('agent/engines/native/metadata', 'manifest.copysets.find(', 'manifest.copysets.toSorted().find('),
    ],
    ...SAID,
  },
  {
    id: 'S36',
    breaks: 'takes one of two copies of the metadata that differ',
    edits: [
      edit(
        'coordinator/salvage',
        'metadataDigest !== first?.metadataDigest',
        "metadataDigest === '' && first === undefined",
      ),
    ],
    ...SALVAGE,
  },
  {
    id: 'S37',
    breaks: 'stays in the epoch in spite of a failover',
    edits: [edit('coordinator/failover-plan', 'isUnfinished ? known : known + 1', 'known')],
    file: 'coordinator/failover-plan.test.ts',
  },
  {
    id: 'S53',
    breaks: 'leaves one member that stores data out',
    edits: [edit('coordinator/preflight', 'members: running.map(', 'members: running.slice(1).map(')],
    ...PREFLIGHT,
  },
  {
    id: 'S119',
    breaks: 'refuses a grid that its operator has put into maintenance',
    edits: [
      edit(
        'agent/engines/native/describe',
        "held.operation === '' || ours",
        "(held.operation === '' && !held.maintenance) || ours",
      ),
    ],
    ...SAID,
  },
  {
    id: 'S119',
    breaks: 'takes the maintenance of the grid for its own, and would end it',
    edits: [
      edit(
        'agent/engines/native/node-copy',
        `if (this.#context.maintenance) {
      const { held, cause }`,
        `if (this.#context.maintenance || (await participant.describe()).held.maintenance) {
      const { held, cause }`,
      ),
    ],
    file: 'e2e/reference/killed-agents.test.ts',
    only: 'while the operator has the grid',
  },
  {
    id: 'S120',
    breaks: 'keeps no metadata in checkpoints/',
    edits: [edit('agent/engines/native/settle', 'settings.copyset === metadataCopyset(manifest)', 'false')],
    ...SALVAGE,
  },
  {
    id: 'S121',
    breaks: 'takes a later state of the keepers for that of the mark',
    edits: [edit('agent/engines/native/state-copy', 'String(version) !== cut.journalFile', 'false')],
    ...SAID,
  },
  {
    id: 'S122',
    breaks: "saves the realm's definition without its proxies",
    edits: [
      edit(
        'agent/engines/native/state-copy',
        'return { state, definition };',
        `const whole = JSON.parse(Buffer.from(definition).toString()) as object;
    return { state, definition: Buffer.from(JSON.stringify({ ...whole, proxies: [] })) };`,
      ),
    ],
    ...SAID,
  },
  {
    id: 'S3',
    breaks: "stores no journal: rows that were in a node's memory only are not in the checkpoint",
    edits: [
      edit(
        'agent/engines/native/node-copy',
        'await this.#context.artifacts.file(entry, local.content(entry.path, await local.lengthOf(entry.path)));',
        'void entry;',
      ),
    ],
    ...MAIN_JOB,
  },
  {
    id: 'S8',
    breaks: 'stops every process when the checkpoint is committed',
    edits: [
      edit(
        'agent/engines/native/native-engine',
        'settleNative(settings, context, fate.keep(context.manifest.checkpoint)),',
        'settleNative(settings, context, fate.keep(context.manifest.checkpoint)).then(() => stopProcess(settings, AbortSignal.timeout(60_000))),',
      ),
    ],
    ...MAIN_JOB,
    only: 'is captured while',
  },
  {
    id: 'S33',
    breaks: "leaves the checkpoint's name out of the name of its directory",
    edits: [
      edit(
        'agent/engines/native/local-checkpoint',
        LOCAL_ID,
        "this.#id = mustBeId(checkpoint).split('_').slice(0, 3).join('_');",
      ),
    ],
    file: 'engines/native/local-checkpoint.test.ts',
  },
  {
    id: 'S34',
    breaks: 'gives the directory of one node another name',
    edits: [
      edit(
        'agent/engines/native/local-checkpoint',
        LOCAL_ID,
        "this.#id = mustBeId(checkpoint) + (data.endsWith('b2') ? 'x' : '');",
      ),
    ],
    file: 'engines/native/local-checkpoint.test.ts',
  },
  {
    id: 'S38',
    breaks: 'forgets the numbers that agents know',
    edits: [edit('coordinator/checkpoint-number', '{ epoch: highestEpoch, counter: highestCounter },', '')],
    file: 'coordinator/checkpoint-number.test.ts',
  },
  {
    id: 'S39',
    breaks: 'does not record who was down',
    edits: [
      edit(
        'coordinator/preflight',
        '.filter(({ description }) => !description.running)',
        '.filter(() => false)',
      ),
    ],
    ...PREFLIGHT,
  },
  {
    id: 'S41',
    breaks: 'does not warn of two nodes of a copyset on one host',
    edits: [edit('coordinator/preflight', '...sameHostWarnings(all),', '')],
    ...PREFLIGHT,
  },
  {
    id: 'S52',
    breaks: 'allows a fourth node in a copyset',
    edits: [edit('coordinator/membership', 'nodes.length > most', 'nodes.length > most + 1')],
    file: 'coordinator/realm-preflight.test.ts',
  },
];
