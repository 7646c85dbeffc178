import { expect } from 'chai';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../lab/temporary.ts';
import { isThere } from '../../../shared/runtime/is-there.ts';

describe('whether something is there', () => {
  const folder = temporaryFolder('places');
  after(() => folder.remove());

  it('is yes for what is, and no only where the system says that it is absent', async () => {
    const directory = join(folder.path, 'directory');
    mkdirSync(directory);
    writeFileSync(join(folder.path, 'file'), '');
    expect(await isThere(directory)).to.equal(true);
    expect(await isThere(join(folder.path, 'absent'))).to.equal(false);
    expect(await isThere(join(folder.path, 'file', 'below'))).to.equal(false);
  });

  it('is no answer where it cannot be known', async () => {
    symlinkSync('round', join(folder.path, 'round'));
    const asked = isThere(join(folder.path, 'round', 'below')).then(
      () => null,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(await asked).to.equal('ELOOP');
  });
});
