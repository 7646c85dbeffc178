import { edit, type Mutant } from '../mutant.ts';
import { planted } from '../planted.ts';

const SIMULATED = { file: 'protocol/checkpoint-properties.test.ts' } as const;
const MACHINE = { file: 'protocol/coordinator-machine.test.ts' } as const;

/** Promises of the protocol that holds a grid still. */
export const PROTOCOL_MUTANTS: readonly Mutant[] = [
  {
    id: 'S1',
    breaks: 'thaws when all members but one have marked',
    edits: planted('thaw-when-all-but-one-have-marked'),
    ...SIMULATED,
  },
  {
    id: 'S56',
    breaks: 'holds observers after what they could show is marked',
    edits: planted('observers-last'),
    ...SIMULATED,
  },
  {
    id: 'S71',
    breaks: 'says that it is aborted when all members but one have said so',
    edits: planted('an-abort-is-confirmed-by-all-but-one'),
    ...SIMULATED,
  },
  {
    id: 'S75',
    breaks: 'takes a hold that was broken for one that lasted',
    edits: [edit('shared/protocol/validity', "proof.type === 'broken'", 'false')],
    ...MACHINE,
  },
  {
    id: 'S89',
    breaks: 'does not say of an abort how each member is',
    edits: planted('an-abort-says-nothing-of-the-members'),
    ...MACHINE,
  },
  {
    id: 'S92',
    breaks: 'calls a checkpoint aborted though a thaw is not confirmed',
    edits: [
      edit(
        'shared/protocol/coordinator-abort',
        "{ kind: 'maybeFrozen', failure }",
        '{ kind: phase.kind, failure }',
      ),
    ],
    ...MACHINE,
  },
  {
    id: 'S93',
    breaks: 'does not say whose failure it was',
    edits: planted('a-failure-names-nobody'),
    ...MACHINE,
  },
];
