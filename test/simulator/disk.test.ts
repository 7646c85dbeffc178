import { expect } from 'chai';
import { Disk, type FileNode } from './disk.ts';
import { Random } from './random.ts';

// Goal: the simulated disk takes away all that POSIX lets a power cut take, and nothing else.

describe('the simulated disk', () => {
  const seeds = Array.from({ length: 200 }, (_, seed) => seed);

  /** What is left of a file after the power was cut, for many seeds; null where its name is gone. */
  function left(prepare: (disk: Disk) => void, path: string): Set<string | null> {
    return new Set(
      seeds.map((seed) => {
        const disk = new Disk();
        prepare(disk);
        disk.cutPower(new Random(seed));
        return disk.exists(path) ? Buffer.from((disk.find(path) as FileNode).content).toString() : null;
      }),
    );
  }

  function write(disk: Disk, path: string, text: string): FileNode {
    const file = disk.create(path, 0);
    disk.write(file, Buffer.from(text), 0, 0);
    return file;
  }

  it('keeps what was synced, with its name, for good', () => {
    const kept = left((disk) => {
      disk.sync(write(disk, '/a', 'text'));
      disk.sync(disk.root);
    }, '/a');

    expect([...kept]).to.deep.equal(['text']);
  });

  it('keeps, loses or tears what was not synced', () => {
    const found = left((disk) => {
      write(disk, '/a', 'text');
      disk.sync(disk.root);
    }, '/a');

    expect([...found]).to.have.members(['', 't', 'te', 'tex', 'text']);
  });

  it('may lose a name whose directory was not synced, though its content was', () => {
    const found = left((disk) => disk.sync(write(disk, '/a', 'text')), '/a');

    expect([...found]).to.have.members(['text', null]);
  });

  it('may bring back a name whose removal was not synced', () => {
    const found = left((disk) => {
      disk.sync(write(disk, '/a', 'text'));
      disk.sync(disk.root);
      disk.unlink('/a', 0);
    }, '/a');

    expect([...found]).to.have.members(['text', null]);
  });

  it('never leaves both names of a rename, or none', () => {
    for (const seed of seeds) {
      const disk = new Disk();
      disk.sync(write(disk, '/a', 'text'));
      disk.sync(disk.root);
      disk.rename('/a', '/b', 0);
      disk.cutPower(new Random(seed));
      expect(disk.names('/'), `seed ${seed}`).to.have.length(1);
    }
  });

  it('counts the names of a file, and refuses to give one twice', () => {
    const disk = new Disk();
    const file = write(disk, '/a', 'text');
    disk.link('/a', '/b', 0);

    expect(file.links).to.equal(2);
    expect(() => disk.link('/a', '/b', 0)).to.throw('EEXIST');
    disk.unlink('/a', 0);
    expect(file.links).to.equal(1);
  });
});
