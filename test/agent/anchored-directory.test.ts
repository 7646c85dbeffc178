import { expect } from 'chai';
import {
  chmodSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { AnchoredDirectory } from '../../agent/anchored-directory.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { temporaryFolder } from '../lab/temporary.ts';

describe('a directory that is held open', () => {
  const folder = temporaryFolder('anchored');
  after(() => folder.remove());
  let count = 0;

  /** A new directory, foreign or not: what is foreign can be written by everybody. */
  async function directory(isForeign = true): Promise<AnchoredDirectory> {
    const path = join(folder.path, String((count += 1)));
    mkdirSync(path);
    chmodSync(path, isForeign ? 0o777 : 0o755);
    const opened = await AnchoredDirectory.open(path);
    expect(opened.isForeign).to.equal(isForeign);
    return opened;
  }

  async function codeOf(work: Promise<unknown>): Promise<string> {
    try {
      await work;
      return 'done';
    } catch (error) {
      if (error instanceof StillpointError) return error.failure.code;
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  }

  it("is reached through an administrator's link, and through no other", async () => {
    const trusted = await directory(false);
    const foreign = await directory(true);
    mkdirSync(join(trusted.path, 'target'));
    for (const { path } of [trusted, foreign]) symlinkSync(join(trusted.path, 'target'), join(path, 'link'));
    expect((await AnchoredDirectory.open(join(trusted.path, 'link'))).path).to.equal(
      join(trusted.path, 'target'),
    );
    expect(await codeOf(AnchoredDirectory.open(join(foreign.path, 'link')))).to.equal('unsafe-path');
    symlinkSync('round', join(trusted.path, 'round'));
    expect(await codeOf(AnchoredDirectory.open(join(trusted.path, 'round')))).to.equal('unsafe-path');
  });

  it('is the same one when another is put in its place', async () => {
    const held = await directory();
    const { path } = held;
    renameSync(path, `${path}.aside`);
    mkdirSync(path);
    await held.write('file', 'text');
    expect(readFileSync(`${path}.aside/file`, 'utf8')).to.equal('text');
    expect(existsSync(join(path, 'file'))).to.equal(false);
  });

  it('takes no name that leads elsewhere', async () => {
    const held = await directory(false);
    for (const name of ['', '.', '..', '../x', 'a/b', '/etc', 'a\0b'])
      expect(() => held.at(name), name).to.throw('is not a name');
    expect(() => held.below('a/../../b')).to.throw();
  });

  it('reads plain files only, and waits for nothing', async () => {
    const held = await directory();
    writeFileSync(join(held.path, 'plain'), 'text', { mode: 0o644 });
    symlinkSync('plain', join(held.path, 'link'));
    spawnSync('mkfifo', [join(held.path, 'pipe')]);
    mkdirSync(join(held.path, 'inner'));
    expect(String(await held.read('plain'))).to.equal('text');
    expect(await held.read('absent')).to.equal(null);
    for (const name of ['link', 'pipe', 'inner'])
      expect(await codeOf(held.read(name)), name).to.equal('unsafe-path');
  });

  it('replaces what stands at a name, and writes through nothing that stands at its temporary one', async () => {
    const held = await directory();
    const precious = join(folder.path, 'precious');
    writeFileSync(precious, 'precious');
    symlinkSync(precious, join(held.path, 'file'));
    symlinkSync(precious, join(held.path, 'file.stillpoint-new'));
    await held.write('file', 'text');
    expect(readFileSync(join(held.path, 'file'), 'utf8')).to.equal('text');
    expect(lstatSync(join(held.path, 'file')).isFile()).to.equal(true);
    expect(readFileSync(precious, 'utf8')).to.equal('precious');
  });

  it('removes links and not what they lead to', async () => {
    const held = await directory(false);
    const precious = join(folder.path, 'precious-directory');
    mkdirSync(precious);
    writeFileSync(join(precious, 'file'), '');
    mkdirSync(join(held.path, 'tree/inner'), { recursive: true });
    symlinkSync(precious, join(held.path, 'tree/inner/link'));
    await held.remove('tree');
    expect(existsSync(join(held.path, 'tree'))).to.equal(false);
    expect(existsSync(join(precious, 'file'))).to.equal(true);
  });

  it('makes what is absent, and is refused where something is', async () => {
    const held = await directory();
    const made = await AnchoredDirectory.make(join(held.path, 'one/two'), 0o700);
    expect(lstatSync(made.path).mode & 0o777).to.equal(0o700);
    expect(await codeOf(held.makeDirectory('one'))).to.equal('EEXIST');
    writeFileSync(join(held.path, 'file'), '');
    expect(await codeOf(held.create('file'))).to.equal('EEXIST');
  });

  if (process.getuid?.() === 0) {
    it("reads a file of root's there only where the directory's user could", async () => {
      const held = await directory(false);
      lchownSync(held.path, 65534, 65534);
      const foreign = await AnchoredDirectory.open(held.path);
      const secret = join(folder.path, 'secret');
      writeFileSync(secret, 'secret', { mode: 0o600 });
      linkSync(secret, join(held.path, 'hard'));
      expect(await codeOf(foreign.read('hard'))).to.equal('unsafe-path');
      writeFileSync(join(held.path, 'group'), 'text', { mode: 0o640 });
      lchownSync(join(held.path, 'group'), 0, 65534);
      expect(String(await foreign.read('group'))).to.equal('text');
      writeFileSync(join(held.path, 'own'), 'text', { mode: 0o600 });
      lchownSync(join(held.path, 'own'), 65534, 65534);
      expect(String(await foreign.read('own'))).to.equal('text');
    });

    it("does not empty a directory of root's that another user may have put there", async () => {
      const held = await directory(true);
      mkdirSync(join(held.path, 'lost+found'));
      writeFileSync(join(held.path, 'lost+found/file'), '');
      expect(await codeOf(held.remove('lost+found'))).to.equal('unsafe-path');
      expect(existsSync(join(held.path, 'lost+found/file'))).to.equal(true);
    });
  }
});
