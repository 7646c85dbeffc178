import { expect } from 'chai';
import { parse } from 'yaml';
import { documentsSchema } from '../../agent/documents/settings.ts';
import { readDocuments } from '../../shared/documents/read-documents.ts';
import { BACKUP, RESTORE } from '../documents/documents.ts';
import { documentedBlocks } from '../lab/documented-commands.ts';

// Goal: what the handbook shows is what is taken. Its commands are run by test/e2e/documents.

const PAGE = 'docs/documents.md';

describe('the page about documents', () => {
  it('shows the documents of the source, as they are', () => {
    for (const [section, text] of [
      ['A backup', BACKUP],
      ['A restore', RESTORE],
    ] as const) {
      const [block = ''] = documentedBlocks(PAGE, section, 'yaml');
      expect(block.trim()).to.equal(text.trim());
      expect(readDocuments(block, PAGE)).to.have.length(1);
    }
  });

  it("shows an agent's file that is right", () => {
    const [block = ''] = documentedBlocks(PAGE, "The agent's file", 'yaml');
    const { documents } = parse(block) as { documents: unknown };
    const read = documentsSchema.parse(documents);
    expect(Object.keys(read.clusters)).to.deep.equal(['source-cluster']);
    expect(read.clusters['source-cluster']?.member).to.include({
      readyWithinSeconds: 120,
      stopWithinSeconds: 30,
      silentSeconds: 60,
    });
  });
});
