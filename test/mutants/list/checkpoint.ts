import { edit, type Mutant } from '../mutant.ts';

const MAIN_JOB = { file: 'e2e/reference/main-job.test.ts' } as const;
const PREFLIGHT = { file: 'coordinator/preflight.test.ts' } as const;
const LOCAL_ROOT = 'this.root = join(roomOf(data), mustBeId(checkpoint));';

/** What a checkpoint promises, and where it lies. */
export const CHECKPOINT_MUTANTS: readonly Mutant[] = [
  {
    id: 'S3',
    breaks: "stores no journal: rows that were in a node's memory only are not in the checkpoint",
    edits: [
      edit(
        'agent/engines/native/node-capture',
        'await this.#context.artifacts.file(entry, contentOf(path, await lengthOf(path)));',
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
        'settled = context.manifest.checkpoint;',
        'settled = context.manifest.checkpoint; await stopProcess(settings, AbortSignal.timeout(60_000));',
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
        LOCAL_ROOT,
        "this.root = join(roomOf(data), mustBeId(checkpoint).split('_').slice(0, 3).join('_'));",
      ),
    ],
    ...MAIN_JOB,
    only: 'is captured while|name of four fields',
  },
  {
    id: 'S34',
    breaks: 'gives the directory of one node another name',
    edits: [
      edit(
        'agent/engines/native/local-checkpoint',
        LOCAL_ROOT,
        "this.root = join(roomOf(data), mustBeId(checkpoint) + (data.endsWith('b2') ? 'x' : ''));",
      ),
    ],
    ...MAIN_JOB,
    only: 'is captured while|name of four fields',
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
    edits: [
      edit(
        'coordinator/preflight',
        'nodes.length > MAX_NODES_IN_COPYSET',
        'nodes.length > MAX_NODES_IN_COPYSET + 1',
      ),
    ],
    file: 'coordinator/realm-preflight.test.ts',
  },
];
