import { expect } from 'chai';
import { describe as described, inOrder, kindNamed, listOf, tablesOf } from '../../shared/documents/show.ts';
import { keptBackup, keptRestore } from './documents.ts';

const CREATED = Date.parse('2026-11-20T12:00:00.000Z');

describe('the tables of get', () => {
  it('are one for each kind, with names that say their kind where there are both', () => {
    const tables = tablesOf(inOrder([keptRestore(), keptBackup()]), { wide: false, now: CREATED + 65_000 });
    expect(tables).to.deep.equal([
      [
        ['NAME', 'CLUSTER', 'PHASE', 'AGE'],
        ['backup.infinispan.org/my-backup', 'source-cluster', 'Succeeded', '65s'],
      ],
      [
        ['NAME', 'BACKUP', 'CLUSTER', 'PHASE', 'AGE'],
        ['restore.infinispan.org/my-restore', 'my-backup', 'target-cluster', 'Running', '65s'],
      ],
    ]);
  });

  it('have names alone where there is one kind, and everything where they are wide', () => {
    const failed = keptBackup({ phase: 'Failed', reason: 'no room' });
    const [[, row] = []] = tablesOf([failed], { wide: true, now: CREATED });
    expect(row).to.deep.equal([
      'my-backup',
      'source-cluster',
      'Failed',
      '0s',
      '1Gi',
      'my-storage-class',
      '<none>',
      'all',
      'no room',
    ]);
  });

  const AGES: readonly (readonly [number, string])[] = [
    [119, '119s'],
    [125, '2m5s'],
    [3600, '60m'],
    [5 * 3600 + 60, '5h1m'],
    [30 * 3600, '30h'],
    [3 * 86_400, '3d'],
    [40 * 86_400, '40d'],
  ];
  for (const [seconds, age] of AGES)
    it(`say ${age} of what is ${seconds} s old`, () => {
      const [[, row] = []] = tablesOf([keptBackup()], { wide: false, now: CREATED + seconds * 1000 });
      expect(row?.at(-1)).to.equal(age);
    });
});

describe('what get prints for programs', () => {
  it('is the document where one was named, else a List', () => {
    expect(listOf([keptBackup()], true)).to.deep.equal(keptBackup());
    expect(listOf([keptBackup()], false)).to.deep.include({ kind: 'List', items: [keptBackup()] });
  });
});

describe('the description of a document', () => {
  it('has its status, and why it failed [S117]', () => {
    const text = described(keptBackup({ phase: 'Failed', reason: 'the disk is full' }));
    expect(text).to.match(/^Name: {9}my-backup$/m);
    expect(text).to.match(/^ {2}Phase: {3}Failed$/m);
    expect(text).to.match(/^ {2}Reason: {2}the disk is full$/m);
    expect(text).to.include('    Storage Class Name:  my-storage-class');
    expect(text).to.include('stillpoint logs backup my-backup');
  });

  it('has every condition, field by field', () => {
    const lastTransitionTime = '2026-11-20T12:00:01.000Z';
    const text = described(
      keptBackup({
        conditions: [
          {
            type: 'ClientsConnected',
            status: 'True',
            reason: 'Connected',
            message: 'two',
            lastTransitionTime,
          },
        ],
      }),
    );
    expect(text).to.match(/Conditions:\n {4}Type: +ClientsConnected\n {4}Status: +True\n/);
  });
});

describe('the name of a kind', () => {
  it('is taken as kubectl takes it', () => {
    for (const word of [
      'backup',
      'Backup',
      'backups',
      'BACKUPS',
      'backup.infinispan.org',
      'backups.infinispan.org',
    ])
      expect(kindNamed(word), word).to.equal('Backup');
    expect(kindNamed('restores')).to.equal('Restore');
    expect(kindNamed('pods')).to.equal(null);
  });
});
