import { expect } from 'chai';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { MemberManifest } from '../../../../shared/domain/manifest.ts';
import { baseBackup, ofServerUser } from '../../../lab/base-backup.ts';
import { failureOf } from '../../../repository/samples.ts';
import { until, untilCommitsWait, newest } from '../lab.ts';
import { copy, copyWhileTold, imagesLab, imagesOf, NO_SIGNAL, type ImagesLab } from './images-lab.ts';

// Goal: an image that was made while a quiesce held, or while its server was shut down, is restored with the journal inside
// of it and nothing else. Method: real servers that archive, and go on after the image; the archive is there to be read.

for (const version of newest) {
  describe(`images of PostgreSQL ${version}, to the end of their own journal [S60]`, function () {
    this.timeout(300_000);
    let place: ImagesLab;
    before(async () => {
      place = await imagesLab(version);
      await place.insert(1);
    });
    after(() => place?.remove());

    /** While the quiesce holds, one transaction is open and has written. */
    async function quiesced(name: string, make: (image: string) => Promise<void>): Promise<MemberManifest> {
      const client = await place.server.connect();
      await client.query('BEGIN; INSERT INTO entry VALUES (666)');
      try {
        return await place.quiesce(() => make(join(place.images, name)));
      } finally {
        await client.query('COMMIT; DELETE FROM entry WHERE id = 666');
        await client.end();
        await place.server.query('INSERT INTO entry SELECT max(id) + 1 FROM entry');
        await place.server.query('SELECT pg_switch_wal()');
      }
    }

    async function rows(): Promise<number[]> {
      const found = await place.server.query<{ id: number }>('SELECT id::int FROM entry ORDER BY id');
      return found.map(({ id }) => id);
    }

    const TOOLS: Readonly<Record<string, (image: string) => Promise<void>>> = {
      'base backups': (image) => baseBackup(place.server, image),
      'copies between pg_backup_start and pg_backup_stop': (image) =>
        copyWhileTold(place.server, image, { journal: true }),
      // Nothing writes to it but the server: so it lies there in one instant, as a snapshot does.
      snapshots: async (image) => {
        await place.server.query('SELECT 1');
        copy(place.server.data, image);
        rmSync(join(image, 'postmaster.pid'), { force: true });
        await Promise.resolve();
      },
    };
    for (const [tool, make] of Object.entries(TOOLS))
      it(`are ${tool}; what was open is rolled back, and no archived journal is read [S63]`, async () => {
        const name = tool.replaceAll(' ', '-');
        const before = await rows();
        const mark = await quiesced(name, make);
        const image = await place.read(name);

        const shown = await place.restore(image, mark, 'quiesce');

        expect(shown.rows).to.deep.equal(before);
        expect(shown.standbyRows).to.deep.equal(before);
        expect(shown.checks.join()).to.match(/mark: recovered to .*, no further/);
      });

    it('are copies of a server that was shut down, where nobody could be asked [S61]', async () => {
      const before = await rows();
      place.server.stop();
      copy(place.server.data, join(place.images, 'cold'));
      await place.server.start();
      await place.server.query('INSERT INTO entry SELECT max(id) + 1 FROM entry');
      const image = await place.read('cold');

      const shown = await place.restore(image, await atRest(), 'quiesce');

      expect(shown.rows).to.deep.equal(before);
      expect(shown.standbyRows).to.deep.equal(before);
    });

    it('have what a commit had logged that waited while they were made, or not, and what was before in any case', async () => {
      const before = await rows();
      let late: Promise<unknown> = Promise.resolve();
      const mark = await place.quiesce(async () => {
        late = place.insert(7777);
        await untilCommitsWait(place.server);
        await baseBackup(place.server, join(place.images, 'waiting'));
      });
      await late;
      await place.server.query('DELETE FROM entry WHERE id = 7777');

      const shown = await place.restore(await place.read('waiting'), mark, 'quiesce');

      expect(shown.rows.filter((id) => id !== 7777)).to.deep.equal(before);
      expect(shown.standbyRows).to.deep.equal(shown.rows);
    });

    it('are refused where they were made before the quiesce, or while the server ran that was to be shut down', async () => {
      await baseBackup(place.server, join(place.images, 'early'));
      await place.insert(9000);
      const mark = await place.quiesce(() => Promise.resolve());
      const image = await place.read('early');

      const early = await failureOf(imagesOf(place.engine).open(image, mark, 'quiesce', NO_SIGNAL));
      const ran = await failureOf(imagesOf(place.engine).open(image, await atRest(), 'quiesce', NO_SIGNAL));

      expect(early.code).to.equal('image-unfit');
      expect(early.message).to.include('made earlier');
      expect(ran.message).to.include('while its server ran');
    });

    it('are refused without the journal that they need, and with any that is not their own [S62]', async () => {
      const mark = await place.quiesce(async () => {
        await baseBackup(place.server, join(place.images, 'bare'), { journal: false });
        await baseBackup(place.server, join(place.images, 'whole'));
      });
      await place.server.query('SELECT pg_switch_wal()');
      const [bare, whole] = [await place.read('bare'), await place.read('whole')];
      await until('the archive to have more', () => readdirSync(place.archive).length > 1);
      const more = readdirSync(place.archive).find((name) => !whole.journalFiles.includes(name)) ?? '';
      cpSync(join(place.archive, more), join(place.images, 'whole', 'pg_wal', more));
      ofServerUser(place.images);

      const without = await failureOf(imagesOf(place.engine).open(bare, mark, 'quiesce', NO_SIGNAL));
      const foreign = await failureOf(imagesOf(place.engine).open(whole, mark, 'quiesce', NO_SIGNAL));

      expect(without.code).to.equal('image-unfit');
      expect(without.message).to.include('has not the journal that it needs');
      expect(foreign.code).to.equal('journal-foreign');
      expect(foreign.message).to.include(more);
    });

    /** As it is committed of members that were all shut down. */
    async function atRest(): Promise<MemberManifest> {
      return { ...(await place.mark()), mark: null, engineFacts: null };
    }
  });
}
