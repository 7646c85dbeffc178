import { expect } from 'chai';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { baseBackup } from '../../../lab/base-backup.ts';
import { until, newest } from '../lab.ts';
import { copy, copyWhileTold, imagesLab, type ImagesLab } from './images-lab.ts';

// Goal: whatever tool an operator's backup was made with, and whenever, its server comes to the mark and no further.
// Method: real servers that archive; each image is restored as a primary and as a standby of it.

for (const version of newest) {
  describe(`images of PostgreSQL ${version}, with archived journals up to a mark [S57]`, function () {
    this.timeout(300_000);
    let place: ImagesLab;
    before(async () => {
      place = await imagesLab(version);
      await place.insert(1);
    });
    after(() => place?.remove());

    /** Makes an image, writes behind it, marks, writes behind that, restores. */
    async function shownOf(
      name: string,
      make: (image: string) => Promise<void>,
    ): Promise<readonly number[][]> {
      const [row] = await place.server.query<{ top: number }>('SELECT max(id)::int AS top FROM entry');
      const top = row?.top ?? 0;
      await make(join(place.images, name));
      const image = await place.read(name);
      await place.insert(top + 1);
      await place.server.query('SELECT pg_switch_wal()');
      await place.insert(top + 2);
      const open = await place.server.connect();
      await open.query(`BEGIN; INSERT INTO entry VALUES (${top + 100_000})`);
      const mark = await place.mark();
      await open.query('ROLLBACK');
      await open.end();
      await place.insert(top + 3);
      await place.server.query('SELECT pg_switch_wal()');

      const { rows, standbyRows, checks } = await place.restore(image, mark, 'journals');
      expect(checks.join()).to.match(/mark: recovered to .*, no further/);
      const up = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
      expect(rows).to.deep.equal(up(top + 2));
      return [[...rows], [...standbyRows]];
    }

    it('are base backups, with tablespaces beside them', async () => {
      await place.tablespace('fast');
      await place.server.query('CREATE TABLE placed TABLESPACE fast AS SELECT 1 AS x');

      try {
        const [rows, standbyRows] = await shownOf('monday', (image) => baseBackup(place.server, image));
        expect(standbyRows).to.deep.equal(rows);
      } finally {
        await place.server.query('DROP TABLE placed');
        await place.server.query('DROP TABLESPACE fast');
      }
    });

    it('are base backups without any journal in them', async () => {
      const [rows, standbyRows] = await shownOf('bare', (image) =>
        baseBackup(place.server, image, { journal: false }),
      );
      expect(standbyRows).to.deep.equal(rows);
    });

    it('are copies between pg_backup_start and pg_backup_stop, with a label alone', async () => {
      const [rows, standbyRows] = await shownOf('told', (image) =>
        copyWhileTold(place.server, image, { journal: false }),
      );
      expect(standbyRows).to.deep.equal(rows);
    });

    it('are snapshots of one instant, with the journal of that instant', async () => {
      const [rows, standbyRows] = await shownOf('snapshot', async (image) => {
        // What is on its disk when it dies is what a snapshot has.
        place.server.kill();
        await until('it to be dead', () => place.server.postmasterPid() === null);
        copy(place.server.data, image);
        rmSync(join(image, 'postmaster.pid'), { force: true });
        await place.server.start();
      });
      expect(standbyRows).to.deep.equal(rows);
    });

    it('are copies of a server that was shut down', async () => {
      const [rows, standbyRows] = await shownOf('stopped', async (image) => {
        place.server.stop();
        copy(place.server.data, image);
        await place.server.start();
      });
      expect(standbyRows).to.deep.equal(rows);
    });
  });
}
