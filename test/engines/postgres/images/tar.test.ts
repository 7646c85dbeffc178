import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { ofServerUser } from '../../../lab/base-backup.ts';
import { recipeOf } from '../../../lab/recipes.ts';
import { newest } from '../lab.ts';
import { imagesLab, type ImagesLab } from './images-lab.ts';

// Goal: the guide's recipe for tar makes an image of a server that is shut down, with its tablespaces in it. Method: a
// real server with a tablespace; the recipe and the real tar; the image is restored as a primary and as a standby.

for (const version of newest) {
  describe(`an image of PostgreSQL ${version} that was made with tar [S61]`, function () {
    this.timeout(300_000);
    let place: ImagesLab;

    before(async () => {
      place = await imagesLab(version);
      await place.tablespace('fast');
      await place.server.query('ALTER TABLE entry SET TABLESPACE fast');
      await place.insert(1);
    });

    after(() => place?.remove());

    it('has what its links lead to, and comes back with the rows of its tablespace', async () => {
      place.server.stop();
      const places = {
        '/var/lib/postgresql/18/main': place.server.data,
        '/srv/images/orders-1a': place.images,
      };
      const { status, stderr } = spawnSync('bash', ['-c', recipeOf('tar', 1, places)], { encoding: 'utf8' });
      expect(status, stderr).to.equal(0);
      ofServerUser(place.images);
      await place.server.start();
      await place.insert(2);
      const image = await place.read('thursday');
      const [tablespace = ''] = (image.engineFacts as { tablespaces: string[] }).tablespaces;
      expect(lstatSync(join(place.images, 'thursday/pg_tblspc', tablespace)).isDirectory()).to.equal(true);
      // As it is committed of members that were all shut down.
      const atRest = { ...(await place.mark()), mark: null, engineFacts: null };

      const { rows, standbyRows } = await place.restore(image, atRest, 'quiesce');

      expect(rows).to.deep.equal([1]);
      expect(standbyRows).to.deep.equal([1]);
    });
  });
}
