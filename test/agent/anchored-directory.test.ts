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
  const open: AnchoredDirectory[] = [];
  afterEach(async () => {
    for (const opened of open.splice(0)) await opened.close();
  });

  /** Closed when the test is over. */
  async function held(opening: Promise<AnchoredDirectory>): Promise<AnchoredDirectory> {
    const opened = await opening;
    open.push(opened);
    return opened;
  }

  /** A new directory, foreign or not: what is foreign can be written by everybody. */
  async function directory(isForeign = true): Promise<AnchoredDirectory> {
    const path = join(folder.path, String((count += 1)));
    mkdirSync(path);
    chmodSync(path, isForeign ? 0o777 : 0o755);
    const opened = await held(AnchoredDirectory.open(path));
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
    expect((await held(AnchoredDirectory.open(join(trusted.path, 'link')))).path).to.equal(
      join(trusted.path, 'target'),
    );
    expect(await codeOf(AnchoredDirectory.open(join(foreign.path, 'link')))).to.equal('unsafe-path');
    symlinkSync('round', join(trusted.path, 'round'));
    expect(await codeOf(AnchoredDirectory.open(join(trusted.path, 'round')))).to.equal('unsafe-path');
  });

  it('is the same one when another is put in its place', async () => {
    const place = await directory();
    const { path } = place;
    renameSync(path, `${path}.aside`);
    mkdirSync(path);
    await place.write('file', 'text');
    expect(readFileSync(`${path}.aside/file`, 'utf8')).to.equal('text');
    expect(existsSync(join(path, 'file'))).to.equal(false);
  });

  it('takes no name that leads elsewhere', async () => {
    const place = await directory(false);
    for (const name of ['', '.', '..', '../x', 'a/b', '/etc', 'a\0b'])
      expect(() => place.at(name), name).to.throw('is not a name');
    expect(() => place.below('a/../../b')).to.throw();
  });

  it('reads plain files only, and waits for nothing', async () => {
    const place = await directory();
    writeFileSync(join(place.path, 'plain'), 'text', { mode: 0o644 });
    symlinkSync('plain', join(place.path, 'link'));
    spawnSync('mkfifo', [join(place.path, 'pipe')]);
    mkdirSync(join(place.path, 'inner'));
    expect(String(await place.read('plain'))).to.equal('text');
    expect(await place.read('absent')).to.equal(null);
    for (const name of ['link', 'pipe', 'inner'])
      expect(await codeOf(place.read(name)), name).to.equal('unsafe-path');
  });

  it('replaces what stands at a name, and writes through nothing that stands at its temporary one', async () => {
    const place = await directory();
    const precious = join(folder.path, 'precious');
    writeFileSync(precious, 'precious');
    symlinkSync(precious, join(place.path, 'file'));
    symlinkSync(precious, join(place.path, 'file.stillpoint-new'));
    await place.write('file', 'text');
    expect(readFileSync(join(place.path, 'file'), 'utf8')).to.equal('text');
    expect(lstatSync(join(place.path, 'file')).isFile()).to.equal(true);
    expect(readFileSync(precious, 'utf8')).to.equal('precious');
  });

  it('removes links and not what they lead to', async () => {
    const place = await directory(false);
    const precious = join(folder.path, 'precious-directory');
    mkdirSync(precious);
    writeFileSync(join(precious, 'file'), '');
    mkdirSync(join(place.path, 'tree/inner'), { recursive: true });
    symlinkSync(precious, join(place.path, 'tree/inner/link'));
    await place.remove('tree');
    expect(existsSync(join(place.path, 'tree'))).to.equal(false);
    expect(existsSync(join(precious, 'file'))).to.equal(true);
  });

  it('makes what is absent, and is refused where something is', async () => {
    const place = await directory();
    const made = await held(AnchoredDirectory.make(join(place.path, 'one/two'), 0o700));
    expect(lstatSync(made.path).mode & 0o777).to.equal(0o700);
    expect(await codeOf(place.makeDirectory('one'))).to.equal('EEXIST');
    writeFileSync(join(place.path, 'file'), '');
    expect(await codeOf(place.create('file'))).to.equal('EEXIST');
  });

  if (process.getuid?.() === 0) {
    it("reads a file of root's there only where the directory's user could", async () => {
      const place = await directory(false);
      lchownSync(place.path, 65534, 65534);
      const foreign = await held(AnchoredDirectory.open(place.path));
      const secret = join(folder.path, 'secret');
      writeFileSync(secret, 'secret', { mode: 0o600 });
      linkSync(secret, join(place.path, 'hard'));
      expect(await codeOf(foreign.read('hard'))).to.equal('unsafe-path');
      writeFileSync(join(place.path, 'group'), 'text', { mode: 0o640 });
      lchownSync(join(place.path, 'group'), 0, 65534);
      expect(String(await foreign.read('group'))).to.equal('text');
      writeFileSync(join(place.path, 'own'), 'text', { mode: 0o600 });
      lchownSync(join(place.path, 'own'), 65534, 65534);
      expect(String(await foreign.read('own'))).to.equal('text');
    });

    it("does not empty a directory of root's that another user may have put there", async () => {
      const place = await directory(true);
      mkdirSync(join(place.path, 'lost+found'));
      writeFileSync(join(place.path, 'lost+found/file'), '');
      expect(await codeOf(place.remove('lost+found'))).to.equal('unsafe-path');
      expect(existsSync(join(place.path, 'lost+found/file'))).to.equal(true);
    });
  }
});
