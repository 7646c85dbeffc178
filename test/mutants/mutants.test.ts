import { expect } from 'chai';
import { edit } from './mutant.ts';
import { MUTANTS } from './mutants.ts';
import { failuresWithout, runMutant } from './run-mutant.ts';
import { mutated, Workspace } from './workspace.ts';

// Goal: a mutant that breaks nothing is known at once, without a run of it; that a test bears its id is seen to by
// test/domain/requirements.test.ts.

const THAW = { id: 'S75', breaks: 'nothing', file: 'protocol/coordinator-machine.test.ts' } as const;

describe('the list of mutants', () => {
  it('fits the sources as they are', () => {
    const wrong = MUTANTS.flatMap(({ id, breaks, edits }) =>
      [...new Set(edits.map(({ file }) => file))].flatMap((file) => {
        try {
          mutated(
            file,
            edits.filter((one) => one.file === file),
          );
          return [];
        } catch (error) {
          return [`${id} (${breaks}): ${(error as Error).message}`];
        }
      }),
    );
    expect(wrong).to.deep.equal([]);
  });

  it('breaks stillpoint itself, and never a test or its fixtures', () => {
    expect(() => mutated('test/reference-grid/node.ts', [])).to.throw(/no source of stillpoint/);
  });
});

describe('a run of a mutant', () => {
  let workspace: Workspace;
  before(() => (workspace = new Workspace()));
  after(() => workspace.remove());

  it('is survived where the sources are as before, and the test passes', async () => {
    const edits = [
      edit('shared/protocol/validity', "'its process was restarted in between'", "'in between'"),
    ];
    expect(await runMutant(workspace, { ...THAW, edits })).to.include({ outcome: 'survived' });
    expect(await failuresWithout(workspace, THAW_AS_IT_IS)).to.deep.equal([]);
  });

  it('is no kill where the text is not there, or no program comes out, or no test with the id ran', async () => {
    const text = edit('shared/protocol/validity', 'a text that is not there', '');
    const broken = edit('shared/protocol/validity', 'export function findInvalid', 'export funktion');
    const none = edit('shared/protocol/validity', "proof.type === 'broken'", 'false');
    for (const mutant of [
      { ...THAW, edits: [text] },
      { ...THAW, edits: [broken] },
      { ...THAW, edits: [none], only: 'no such title' },
    ])
      expect((await runMutant(workspace, mutant)).outcome).to.equal('misfit');
  });
});

const THAW_AS_IT_IS = { ...THAW, edits: [] };
