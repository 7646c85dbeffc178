import { expect } from 'chai';
import { mustBeTheSame } from '../../shared/documents/one-time.ts';
import { isFinal, mayFollow, PHASES, type Phase } from '../../shared/documents/phase.ts';
import { quantityOf, readQuantity } from '../../shared/documents/quantity.ts';
import { readDocuments } from '../../shared/documents/read-documents.ts';
import { resourcesInWords, selectedResources } from '../../shared/documents/resources.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { BACKUP, keptBackup } from './documents.ts';

describe('what a document selects', () => {
  it('is everything where it names no resources [S102]', () => {
    expect(selectedResources(undefined)).to.equal(null);
    expect(selectedResources({})).to.equal(null);
    expect(resourcesInWords({})).to.equal('all');
  });

  it('is what it names alone, and nothing of other kinds [S103]', () => {
    expect(selectedResources({ caches: ['one', 'two', 'one'], tasks: ['t.js'] })).to.deep.equal({
      caches: ['one', 'two'],
      tasks: ['t.js'],
    });
  });

  it('is all of a kind where that has a star, whatever stands beside it [S104]', () => {
    expect(selectedResources({ caches: ['one', '*'], protoSchemas: ['*'] })).to.deep.equal({
      caches: ['*'],
      protoSchemas: ['*'],
    });
  });
});

describe('the phases of a document', () => {
  it('are six, and go one way to one of two ends [S112]', () => {
    expect(PHASES).to.have.members([
      'Initializing',
      'Initialized',
      'Running',
      'Succeeded',
      'Failed',
      'Unknown',
    ]);
    const way: readonly Phase[] = ['Initializing', 'Initialized', 'Running', 'Succeeded'];
    for (const [at, phase] of way.entries()) {
      const known = way.filter((other) => mayFollow(phase, other));
      expect(known, phase).to.deep.equal(way.slice(at + 1, at + 2));
    }
    expect(PHASES.filter(isFinal)).to.deep.equal(['Succeeded', 'Failed']);
    for (const end of ['Succeeded', 'Failed'] as const)
      for (const phase of PHASES) expect(mayFollow(end, phase)).to.equal(false);
    for (const phase of ['Initializing', 'Initialized', 'Running'] as const)
      expect(mayFollow(phase, 'Failed')).to.equal(true);
  });

  it('can be unknown at any time before the end, and from there come to any end [S114]', () => {
    for (const phase of ['Initializing', 'Initialized', 'Running'] as const)
      expect(mayFollow(phase, 'Unknown')).to.equal(true);
    for (const phase of ['Running', 'Succeeded', 'Failed'] as const)
      expect(mayFollow('Unknown', phase)).to.equal(true);
    expect(isFinal('Unknown')).to.equal(false);
  });
});

describe('a document that is applied again', () => {
  const again = (change: (text: string) => string): (() => void) => {
    const [{ document } = expect.fail('nothing')] = readDocuments(change(BACKUP), 'my-backup.yaml');
    return () => mustBeTheSame(keptBackup(), document);
  };

  it('is taken where it says the same, in whatever order, with other labels [S105]', () => {
    again((text) => text)();
    again((text) => text.replace('spec:', '  labels: { team: ops }\nspec:'))();
    again((text) => text.replace(/ {4}storage: 1Gi\n {4}(.*)/, '    $1\n    storage: 1Gi'))();
  });

  it('is refused where its spec is another, with the remedy: a new name [S106]', () => {
    for (const [from, to] of [
      ['1Gi', '2Gi'],
      ['source-cluster', 'other-cluster'],
      ['  volume:', '  resources: { caches: [a] }\n  volume:'],
      ['  volume:', '  container: { cpu: "1" }\n  volume:'],
    ] as const)
      try {
        again((text) => text.replace(from, to))();
        expect.fail(`${to} was taken`);
      } catch (error) {
        if (!(error instanceof StillpointError)) throw error;
        expect(error.failure.code).to.equal('document-immutable');
        expect(error.failure.message).to.include('spec is immutable');
        expect(error.failure.hint).to.include('a new name in metadata.name');
        expect(error.exitCode).to.equal(3);
      }
  });

  it('is refused in another namespace: names are unique in a grid', () => {
    expect(
      again((text) => text.replace('  name: my-backup', '  name: my-backup\n  namespace: other')),
    ).to.throw('metadata.namespace: Forbidden');
  });
});

describe('a quantity', () => {
  const READ: readonly (readonly [string, number | null])[] = [
    ['1Gi', 1024 ** 3],
    ['512Mi', 512 * 1024 ** 2],
    ['1.5G', 1_500_000_000],
    ['1e3', 1000],
    ['1E', 1e18],
    ['100m', 1],
    ['7', 7],
    ['.5Ki', 512],
    ['-1Gi', -(1024 ** 3)],
    ['1 Gi', null],
    ['1GiB', null],
    ['Gi', null],
    ['', null],
    ['1e999', null],
  ];
  for (const [text, bytes] of READ)
    it(`"${text}" is ${bytes ?? 'none'}`, () => expect(readQuantity(text)).to.equal(bytes));

  it('is told in the largest unit that it has one of', () => {
    expect([0, 1023, 1024, 1536, 1024 ** 3, 2.5 * 1024 ** 4].map(quantityOf)).to.deep.equal([
      '0',
      '1023',
      '1Ki',
      '1.5Ki',
      '1Gi',
      '2.5Ti',
    ]);
  });
});
