import { expect } from 'chai';
import { mountsBelow, mustHoldNoMount } from '../../../agent/engines/restore/mounts.ts';

// Goal: a directory that a restore renames holds no file system of another disk.

const TABLE = [
  '22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw',
  '30 22 8:2 / /srv/data/pg_wal rw - xfs /dev/sdb1 rw',
  '31 22 8:3 / /srv/with\\040blank/data/pg_wal rw - xfs /dev/sdc1 rw',
  '32 22 8:4 / /srv/database rw - xfs /dev/sdd1 rw',
].join('\n');

describe('a file system that is mounted below a data directory', () => {
  it('is found by its place, and none beside the directory', () => {
    expect(mountsBelow(TABLE, '/srv/data/')).to.deep.equal(['/srv/data/pg_wal']);
    expect(mountsBelow(TABLE, '/srv/with blank/data')).to.deep.equal(['/srv/with blank/data/pg_wal']);
    for (const path of ['/srv/database', '/srv/dat', '/srv/data/pg_wal'])
      expect(mountsBelow(TABLE, path), path).to.deep.equal([]);
  });

  it('keeps the directory from being replaced', async () => {
    const check = (path: string): Promise<unknown> =>
      mustHoldNoMount('aa', [path], () => Promise.resolve(TABLE)).then(
        () => 'fit',
        (error: unknown) => error,
      );
    expect(await check('/srv/database')).to.equal('fit');
    expect(await check('/srv/data')).to.have.nested.property('failure.code', 'data-has-mount');
  });

  it('is looked for in the table of this host', async () => {
    // Whatever is mounted here lies below the root.
    const refused = await mustHoldNoMount('aa', ['/']).catch((error: unknown) => error);
    expect(refused).to.have.nested.property(
      'failure.code',
      process.platform === 'linux' ? 'data-has-mount' : 'none',
    );
  });
});
