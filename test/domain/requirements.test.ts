import { expect } from 'chai';
import { MUTANTS } from '../mutants/mutants.ts';
import { idsOf, pages, taggedTests, withProofs, wrongClaims, type TaggedTest } from '../mutants/pages.ts';

// Goal: what docs/requirements says of a promise is what is there: tests by their real titles, and a mutant.

const ROWS = 130;

describe('the pages of requirements', () => {
  const all = pages();
  let tests: readonly TaggedTest[];

  before(async function () {
    this.timeout(240_000);
    tests = await taggedTests();
  });

  it(`have a row for each of S1 to S${ROWS}`, () => {
    const ids = new Set(all.flatMap(({ text }) => idsOf(text)));
    const wanted = Array.from({ length: ROWS }, (_, index) => `S${index + 1}`);
    expect(wanted.filter((id) => !ids.has(id))).to.deep.equal([]);
  });

  it('call nothing covered that has no mutant, and no id is claimed that has no row', () => {
    const texts = all.map(({ text }) => text);
    expect(wrongClaims(texts, tests, MUTANTS)).to.deep.equal([]);
  });

  it('name every test with an id by its file and title, and no other: else run ./scripts/requirements', () => {
    for (const { file, text } of all) expect(withProofs(text, tests, MUTANTS), file).to.equal(text);
  });

  it('would notice a row that says nothing, a mutant without a test, and an id that nobody knows', () => {
    const page = '### S1 · a\n\nThis.\n\n### S2 · b\n\nThat.\n\n- not yet: later\n';
    const mutant = { id: 'S2', breaks: 'all', edits: [], file: 'x.test.ts' };
    const test = { file: 'test/y.test.ts', title: 'is so', ids: ['S9'] };
    expect(wrongClaims([page], [test], [mutant])).to.deep.equal([
      'S9 has no row',
      'S1 has no mutant: it is not covered; give it one, or say in its row why not',
      'S2 has a mutant, and a note that it is not covered',
      'S2 has a mutant for test/x.test.ts, where no test bears [S2]',
    ]);
  });
});
