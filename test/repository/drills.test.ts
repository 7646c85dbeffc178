import { expect } from 'chai';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from './made.ts';

// Goal: reports of drills are history: they stay, nothing depends on them, and no damage to one is in anybody's way.

describe('reports of drills in a repository', () => {
  const folder = temporaryFolder('drills');
  after(() => folder.remove());

  it('stay through a garbage collection, are written once, and damage to one is left out', async () => {
    const repository = await madeRepository(join(folder.path, 'repository'));
    try {
      expect(await repository.drills('orders')).to.deep.equal([]);
      await repository.saveDrill('orders', 'one', '{"first":1}');
      await repository.saveDrill('orders', 'two', '{}');
      await repository.saveDrill('orders', 'one', '{"second":2}');
      const place = join(repository.location, 'grids/orders/drills');
      symlinkSync('/etc/passwd', join(place, 'three.json'));
      writeFileSync(join(place, '.writing-four'), 'half');
      await repository.collectGarbage('orders');
      const found = await repository.drills('orders');
      expect(found.map(({ drillId, report }) => `${drillId} ${report.trim()}`)).to.deep.equal([
        'one {"first":1}',
        'two {}',
      ]);
      expect(await repository.list('orders')).to.deep.equal([]);
    } finally {
      await repository.close();
    }
  });

  it('cannot be named out of their place', async () => {
    const repository = await madeRepository(join(folder.path, 'other'));
    try {
      const refused = await repository
        .saveDrill('orders', '../../out', '{}')
        .catch((error: unknown) => error);
      expect(refused).to.have.nested.property('failure.code', 'bad-name');
    } finally {
      await repository.close();
    }
  });
});
