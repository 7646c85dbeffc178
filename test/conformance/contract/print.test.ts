import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../lab/processes.ts';
import { tableAsMarkdown } from './print.ts';

// Goal: what the page says is what the suite walks and the model does. Method: they come of one table; the page is
// compared with it, whatever prettier did to its columns.

const PAGE = 'docs/participant-table.md';
const BETWEEN = /<!-- table -->([^]*)<!-- end of table -->/;

function withoutPadding(text: string): string {
  return text
    .replaceAll(/-{3,}/g, '---')
    .replaceAll(/[ \t]+/g, ' ')
    .trim();
}

describe('the table of the contract', () => {
  it('stands in docs/participant-table.md as it is walked', () => {
    const page = BETWEEN.exec(readFileSync(join(ROOT, PAGE), 'utf8'))?.[1] ?? '';
    expect(withoutPadding(page)).to.equal(withoutPadding(tableAsMarkdown()));
  });
});
