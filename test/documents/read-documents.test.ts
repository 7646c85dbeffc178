import { expect } from 'chai';
import { readKept } from '../../shared/documents/document.ts';
import { readDocuments } from '../../shared/documents/read-documents.ts';
import { listOf, yamlOf } from '../../shared/documents/show.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { BACKUP, keptBackup, keptRestore, RESTORE } from './documents.ts';

// Goal: what the operator takes is taken, field by field, and what it refuses is refused in the words of kubectl.

function read(text: string): ReturnType<typeof readDocuments> {
  return readDocuments(text, 'my-backup.yaml');
}

function failureOf(text: string): Failure {
  try {
    read(text);
  } catch (error) {
    if (error instanceof StillpointError) return error.failure;
    throw error;
  }
  throw new Error('it was taken');
}

describe('a file of documents', () => {
  it('may be the Backup of the source, which is read field by field [S99]', () => {
    const [{ document, warnings } = expect.fail('nothing')] = read(BACKUP);
    expect(document).to.deep.equal({
      apiVersion: 'infinispan.org/v2alpha1',
      kind: 'Backup',
      metadata: { name: 'my-backup' },
      spec: {
        cluster: 'source-cluster',
        volume: { storage: '1Gi', storageClassName: 'my-storage-class' },
      },
    });
    expect(warnings).to.deep.equal([]);
  });

  it('may be the Restore of the source, into another cluster than that of its Backup [S109]', () => {
    const [{ document } = expect.fail('nothing')] = read(RESTORE);
    expect(document.kind).to.equal('Restore');
    expect(document.spec).to.deep.equal({ backup: 'my-backup', cluster: 'target-cluster' });
  });

  it('may have many, some of them nothing but comments', () => {
    const documents = read(`# first\n---${BACKUP}---\n# nothing\n---${RESTORE}`);
    expect(documents.map(({ document }) => document.kind)).to.deep.equal(['Backup', 'Restore']);
  });

  it('may be JSON, or what get has printed: with status, uid and a List around it', () => {
    const printed = listOf([keptBackup(), keptRestore()], false);
    for (const text of [JSON.stringify(printed), yamlOf(printed)])
      expect(read(text).map(({ document }) => document.metadata)).to.deep.equal([
        { name: 'my-backup' },
        { name: 'my-restore' },
      ]);
  });

  it('takes all kinds of resources in both kinds of documents, and the older words for two of them [S101]', () => {
    const named = ['templates', 'caches', 'counters', 'protoSchemas', 'tasks']
      .map((kind) => `    ${kind}: [one, "two words", "*"]\n`)
      .join('');
    for (const text of [BACKUP, RESTORE]) {
      const [{ document } = expect.fail('nothing')] = read(`${text}  resources:\n${named}`);
      expect(Object.keys(document.spec.resources ?? {})).to.have.members([
        'templates',
        'caches',
        'counters',
        'protoSchemas',
        'tasks',
      ]);
      const [older = expect.fail('nothing')] = read(
        `${text}  resources: { cacheConfigs: [t], scripts: [s] }\n`,
      );
      expect(older.document.spec.resources).to.deep.equal({ templates: ['t'], tasks: ['s'] });
      expect(older.warnings.join()).to.include('cacheConfigs is deprecated').and.include('scripts');
    }
  });

  it('is told that the limits of a pod have no effect', () => {
    const [{ document, warnings } = expect.fail('nothing')] = read(`${BACKUP}  container: { memory: 1Gi }\n`);
    expect(document.spec.container).to.deep.equal({ memory: '1Gi' });
    expect(warnings.join()).to.include('spec.container has no effect');
  });
});

describe('a document with a mistake', () => {
  const WRONG: readonly (readonly [string, string, string])[] = [
    ['storage: 1Gi', 'storage: 1Gx', 'spec.volume.storage: Invalid value: "1Gx": must be a quantity'],
    ['storage: 1Gi', 'storage: 0', 'spec.volume.storage: Invalid value: "integer"'],
    ['storage: 1Gi', 'storage: "-1Gi"', 'spec.volume.storage: Invalid value: "-1Gi": must be greater'],
    ['storage: 1Gi', 'size: 1Gi', 'unknown field "spec.volume.size"'],
    ['  cluster: source-cluster\n', '', 'spec.cluster: Required value'],
    [
      'cluster: source-cluster',
      "cluster: ''",
      "spec.cluster: Required value: 'spec.cluster' must be configured",
    ],
    ['name: my-backup', 'name: My_Backup', 'metadata.name: Invalid value: "My_Backup": a lowercase RFC 1123'],
    ['name: my-backup', 'name: ../../etc', 'metadata.name: Invalid value: "../../etc"'],
    ['name: my-backup', `name: ${'a'.repeat(64)}`, 'must be no more than 63 characters'],
    ['  volume:', '  resources: { caches: [] }\n  volume:', 'spec.resources.caches: Invalid value: []'],
    ['  volume:', '  resources: { caches: [a, 1] }\n  volume:', 'spec.resources.caches[1]: Invalid value'],
    ['  volume:', '  resources: { cache: [a] }\n  volume:', 'unknown field "spec.resources.cache"'],
  ];
  for (const [from, to, said] of WRONG)
    it(`is refused with its path: ${said}`, () => {
      const failure = failureOf(BACKUP.replace(from, to));
      expect(failure.code).to.equal('document-invalid');
      expect(failure.message).to.include('the Backup "').and.include(said);
    });

  it('is told all of them at once', () => {
    const { message } = failureOf(BACKUP.replace('1Gi', '1Gx').replace('source-cluster', "''"));
    expect(message).to.include('spec.cluster').and.include('spec.volume.storage');
  });

  it('of another kind is refused with what is taken', () => {
    const failure = failureOf(BACKUP.replace('kind: Backup', 'kind: Infinispan'));
    expect(failure.message).to.include(
      'no matches for kind "Infinispan" in version "infinispan.org/v2alpha1"',
    );
    expect(failure.hint).to.include('Backup or Restore');
  });

  for (const [what, text] of [
    ['no YAML', 'a: [b\n'],
    ['empty', '# nothing\n'],
    ['brackets in brackets', '['.repeat(10_000)],
    ['too large', `# ${'x'.repeat(1024 * 1024)}`],
    [
      'aliases of aliases',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'
        .split('')
        .map((name, at) => `${name}: &${name} [${`*${'abcdefgh'[at]},`.repeat(9)}]\n`)
        .join('')}`,
    ],
  ] as const)
    it(`is refused where the file is ${what}`, () => {
      expect(failureOf(text).code).to.be.oneOf(['document-unreadable', 'document-kind']);
    });
});

describe('a document that an agent has kept', () => {
  it('is read as it was written', () => {
    const kept = keptBackup({ archive: { sizeBytes: 7, sha256: 'a'.repeat(64) }, pvc: 'my-backup' });
    expect(readKept(JSON.parse(JSON.stringify(kept)))).to.deep.equal(kept);
  });

  it('is none without its phase, or with another one than there are', () => {
    expect(readKept({ ...keptBackup(), status: {} })).to.equal(null);
    expect(readKept({ ...keptBackup(), status: { phase: 'Done' } })).to.equal(null);
  });
});
