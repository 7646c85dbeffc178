import { expect } from 'chai';
import type { EndedBackup, ImageManifest, ImageSummary, Stamp } from '../../shared/domain/backup-set.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { checkpointId, failureOf, GRID, noise, sha256, storeCheckpoint } from './samples.ts';

export const BEGUN: Stamp = {
  epoch: 0,
  counter: 6,
  heldBy: { operation: 'job-1', purpose: 'freeze', checkpoint: checkpointId(7) },
  incarnation: 'life 1',
  stoppedAs: null,
};
export const ENDED: EndedBackup = {
  type: 'ended',
  image: 'orders-1a.image',
  stamp: { ...BEGUN, heldBy: null, incarnation: '', stoppedAs: 'as it lay' },
  begunBefore: ['orders-1a', 'orders-2a'],
};
export const IMAGE: ImageManifest = {
  member: 'orders-1a',
  image: 'orders-1a.image',
  engine: 'native',
  dataIdentity: '7391',
  entries: [
    { kind: 'directory', path: 'base', mode: 0o700 },
    {
      kind: 'file',
      path: 'base/1',
      mode: 0o600,
      mtimeMs: 5.5,
      sizeBytes: 3,
      digest: sha256(Buffer.from('abc')),
    },
    { kind: 'symlink', path: 'space', target: '/srv/space one' },
  ],
  firstJournalFile: 'journal-1',
  journalFiles: ['journal-1', 'journal-2'],
  engineFacts: { any: ['thing'] },
};
export const summaryOf = (digest: string): ImageSummary => ({
  digest,
  engine: 'native',
  dataIdentity: '7391',
  files: 1,
  sizeBytes: 3,
  firstJournalFile: 'journal-1',
  journalFiles: ['journal-1', 'journal-2'],
});

/** What the contract says of backup sets. */
export function itKeepsBackupSets(given: {
  readonly repository: Repository;
  open(): Promise<Repository>;
}): void {
  it('has a backup set as it was told, step by step, from whoever tells it', async () => {
    const { repository } = given;
    const other = await given.open();
    expect(await repository.sets(GRID)).to.deep.equal([]);

    await Promise.all([
      repository.beginBackup(GRID, 'nightly', 'orders-1a', BEGUN),
      other.beginBackup(GRID, 'nightly', 'orders-2a', BEGUN),
    ]);
    await other.endBackup(GRID, 'nightly', 'orders-1a', ENDED);
    const { digest } = await repository.saveImage(GRID, 'nightly', IMAGE);
    await other.recordImage(GRID, 'nightly', 'orders-1a', summaryOf(digest));
    await other.endBackup(GRID, 'nightly', 'orders-3a', { ...ENDED, type: 'added' });

    const backups = [
      { member: 'orders-1a', begun: BEGUN, ended: ENDED, image: summaryOf(digest) },
      { member: 'orders-2a', begun: BEGUN, ended: null, image: null },
      { member: 'orders-3a', begun: null, ended: { ...ENDED, type: 'added' }, image: null },
    ];
    const set = { grid: GRID, name: 'nightly', backups };
    expect(await repository.readSet(GRID, 'nightly')).to.deep.equal(set);
    expect(await other.sets(GRID)).to.deep.equal([
      { grid: GRID, name: 'nightly', state: 'readable', set, cause: null },
    ]);
    expect(await other.readImage(GRID, 'nightly', digest)).to.deep.equal(IMAGE);
    expect(await repository.sets('another')).to.deep.equal([]);
    await repository.beginBackup('another', 'nightly', 'orders-9a', BEGUN);
    expect((await repository.sets()).map(({ grid, name }) => `${grid} ${name}`)).to.deep.equal([
      'another nightly',
      `${GRID} nightly`,
    ]);
  });

  it('lets the first word on a backup stand, whoever says it', async () => {
    const { repository } = given;
    const other = await given.open();
    const said = await Promise.allSettled(
      [repository, other, repository].map((one, index) =>
        one.beginBackup(GRID, 'nightly', 'orders-1a', { ...BEGUN, counter: index }),
      ),
    );
    expect(said.filter(({ status }) => status === 'fulfilled')).to.have.length(1);
    const first = said.findIndex(({ status }) => status === 'fulfilled');
    const { backups } = await other.readSet(GRID, 'nightly');
    expect(backups.map(({ begun }) => begun?.counter)).to.deep.equal([first]);
    const again = await failureOf(other.beginBackup(GRID, 'nightly', 'orders-1a', BEGUN));
    expect(again).to.include({ code: 'backup-recorded', member: 'orders-1a' });
  });

  it('keeps the manifest of an image by its digest, once', async () => {
    const digests = await Promise.all(
      Array.from({ length: 3 }, () => given.repository.saveImage(GRID, 'nightly', IMAGE)),
    );
    expect(new Set(digests.map(({ digest }) => digest)).size).to.equal(1);
    const missing = given.repository.readImage(GRID, 'nightly', sha256(noise(3, 'another')));
    expect(await failureOf(missing)).to.include({ code: 'set-missing' });
    for (const path of ['../out', '/out', 'base/1/below'])
      expect(
        await failureOf(
          given.repository.saveImage(GRID, 'nightly', {
            ...IMAGE,
            entries: [...IMAGE.entries, { kind: 'directory', path, mode: 0o700 }],
          }),
        ),
        path,
      ).to.include({ code: 'bad-manifest' });
  });

  it('forgets a set when it is told to, and no other, and its name is free again', async () => {
    const { repository } = given;
    for (const set of ['nightly', 'weekly']) {
      await repository.beginBackup(GRID, set, 'orders-1a', BEGUN);
      await repository.saveImage(GRID, set, IMAGE);
    }
    await repository.deleteSet(GRID, 'nightly');
    expect((await repository.sets(GRID)).map(({ name }) => name)).to.deep.equal(['weekly']);
    expect(await failureOf(repository.readSet(GRID, 'nightly'))).to.include({ code: 'set-missing' });
    expect(await failureOf(repository.deleteSet(GRID, 'nightly'))).to.include({ code: 'set-missing' });
    await repository.beginBackup(GRID, 'nightly', 'orders-2a', BEGUN);
    expect((await repository.readSet(GRID, 'nightly')).backups.map(({ member }) => member)).to.deep.equal([
      'orders-2a',
    ]);
  });

  it('keeps sets through deletions and collections of what has nothing to do with them', async () => {
    const { repository } = given;
    await storeCheckpoint(repository, checkpointId(1), { a: { 'base/1': noise(9, 'a') } });
    await repository.beginBackup(GRID, 'nightly', 'orders-1a', BEGUN);
    const { digest } = await repository.saveImage(GRID, 'nightly', IMAGE);
    await repository.deleteCheckpoint(GRID, checkpointId(1));
    await repository.collectGarbage(GRID);
    expect((await repository.readSet(GRID, 'nightly')).backups).to.have.length(1);
    expect(await repository.readImage(GRID, 'nightly', digest)).to.deep.equal(IMAGE);
  });

  it('takes no name of a set or a member that leads elsewhere', async () => {
    const { repository } = given;
    for (const name of ['../out', '.', 'a/b', '', 'x'.repeat(201)])
      for (const refused of [
        () => repository.beginBackup(GRID, name, 'orders-1a', BEGUN),
        () => repository.beginBackup(GRID, 'nightly', name, BEGUN),
        () => repository.readSet(GRID, name),
        () => repository.deleteSet(GRID, name),
        () => repository.readImage(GRID, 'nightly', name),
      ])
        expect(await failureOf(refused()), name).to.include({ code: 'bad-name' });
  });
}
