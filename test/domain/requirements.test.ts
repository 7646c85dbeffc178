import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

describe('the page of requirements', () => {
  const page = readFileSync(join(ROOT, 'docs/requirements.md'), 'utf8');
  const tests = readdirSync(join(ROOT, 'test'), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /(\.test|-suite)\.ts$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');
  const lines = page.split('\n');
  const row = (id: string): string => lines.find((line) => line.split('|')[1]?.trim() === id) ?? '';

  it('has a row for each of S1 to S117', () => {
    const rows = Array.from({ length: 117 }, (_, index) => row(`S${index + 1}`));
    expect(rows.filter((line) => line === '')).to.deep.equal([]);
  });

  it('names a test for every requirement that a test claims to prove, and for no other', () => {
    const claimed = new Set([...tests.matchAll(/\[(S\d+)\]/g)].map(([, id]) => id ?? ''));
    for (let number = 1; number <= 117; number += 1) {
      const id = `S${number}`;
      expect(`${id} ${row(id).includes('not yet') ? 'not yet' : 'proven'}`).to.equal(
        `${id} ${claimed.has(id) ? 'proven' : 'not yet'}`,
      );
    }
  });
});
