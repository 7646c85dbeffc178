import { expect } from 'chai';
import { checkRequest } from '../../../agent/request-check.ts';

// Goal: the name of a document becomes the name of a file, and leads nowhere else.

describe('a request about a document', () => {
  for (const [kind, name] of [
    ['Backup', '../token'],
    ['Backup', 'a/b'],
    ['Backup', ''],
    ['Backup', 'A'],
    ['Backup', 'a.json'],
    ['Backup', 'a\n'],
    ['..', 'a'],
    ['', 'a'],
    ['Backup/..', 'a'],
  ] as const)
    it(`is refused for ${JSON.stringify(`${kind}/${name}`)}`, () => {
      for (const request of [
        { type: 'deleteDocument', id: 1, kind, name },
        { type: 'readDocumentLog', id: 1, kind, name, offset: 0 },
        { type: 'readDocuments', id: 1, after: `${kind}/${name}` },
      ] as const)
        expect(() => checkRequest(request)).to.throw('cannot be one');
    });

  it('is refused where the document is larger than one can be', () => {
    const document = 'x'.repeat(256 * 1024 + 1);
    expect(() => checkRequest({ type: 'applyDocument', id: 1, document, backup: '' })).to.throw(
      'cannot be one',
    );
  });
});
