import { expect } from 'chai';
import { allCells, GRIDS, sampleOf, whyNot } from './cells.ts';
import { runMatrix, tellBroken, type CellResult } from './matrix.ts';
import { reasonsOf, tableOf } from './table.ts';

// Goal: some of the crash matrix with every run of the tests, another part each day; all of it is
// `./scripts/crash-matrix`.

const SEED = Number(process.env['STILLPOINT_SEED'] ?? Math.floor(Date.now() / 86_400_000));
const CELLS = 3;
/** Generous: the machine may be at work with something else. */
const LIMIT_MS = 300_000;

describe('the crash matrix', () => {
  const kind = GRIDS[SEED % GRIDS.length] ?? 'postgres';

  it(`keeps every promise in ${CELLS} cells of the ${kind} grid (STILLPOINT_SEED=${SEED})`, async function () {
    this.timeout(LIMIT_MS);
    const results: CellResult[] = [];
    const cells = sampleOf(allCells({ grid: [kind] }), CELLS, SEED);
    await runMatrix(kind, cells, (result) => void results.push(result), { restore: false });
    const broken = results.flatMap((result) => (result.type === 'broken' ? [tellBroken(result)] : []));
    expect(broken.join('\n\n')).to.equal('');
    expect(results).to.have.length(CELLS);
  });

  it('draws the same cells from the same seed, and none that makes no sense', () => {
    const all = allCells();
    expect(all).to.have.length(2 * 11 * 4 * 2);
    for (let seed = 1; seed < 50; seed += 1) {
      const drawn = sampleOf(all, 10, seed);
      expect(drawn).to.have.length(10);
      expect(drawn).to.deep.equal(sampleOf(all, 10, seed));
      for (const cell of drawn) expect(whyNot(cell)).to.equal(null);
    }
    expect(sampleOf(all, 10, 1)).not.to.deep.equal(sampleOf(all, 10, 2));
  });

  it('shows what was not tried, and why', () => {
    const cells = allCells({ grid: ['postgres'], event: ['accepted'] });
    const results = cells.map((cell): CellResult => {
      const cause = whyNot(cell);
      if (cause !== null) return { type: 'senseless', cell, cause };
      if (cell.process === 'agent') return { type: 'broken', cell, cause: 'it hangs', tookMs: 1 };
      return { type: 'kept', cell, ending: 'aborted', tookMs: 1 };
    });
    const [head = '', line = ''] = tableOf(results).split('\n');
    expect(head).to.match(/^event +coordinator kill +coordinator stop +agent kill/);
    expect(line).to.match(/^accepted( +aborted){2}( +BROKEN){2}( +-){2}( +aborted){2}$/);
    expect(reasonsOf(results)).to.have.length(1);
    const first = results.find((result) => result.type === 'broken');
    expect(first && tellBroken(first)).to.match(
      /it hangs\nagain: \.\/scripts\/crash-matrix --grid postgres --event accepted --process agent --fault kill$/,
    );
  });
});
