import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { ChunkPool } from '../../shared/repository/chunk-pool.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { noise, rows, sha256 } from './samples.ts';

describe('the chunk threads', () => {
  function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    return new Uint8Array(bytes);
  }

  async function condition(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise((resolve) => setImmediate(resolve));
  }

  it('are started with the first task that is worth it, no more than asked for, and end when they idle', async () => {
    let idled = 0;
    const pool = new ChunkPool({ threads: 2, idleMs: 1, onIdle: () => (idled += 1) });
    expect(pool.threadCount).to.equal(0);

    const digests = await Promise.all(
      Array.from({ length: 20 }, (_, index) => {
        const plain = own(noise(1_000_000, `${index}`));
        const asked = pool.run<'digest'>({ type: 'digest', plain });
        // One more for every two megabytes that lie before each.
        expect(pool.threadCount).to.equal(index < 2 ? 1 : 2);
        return asked;
      }),
    );

    expect(digests.map(({ digest }) => digest)).to.deep.equal(
      digests.map((_, index) => sha256(noise(1_000_000, `${index}`))),
    );
    await condition(() => pool.threadCount === 0);
    expect(idled).to.equal(1);
    const again = await pool.run<'digest'>({ type: 'digest', plain: own(noise(100_000, 'x')) });
    expect(again.digest).to.equal(sha256(noise(100_000, 'x')));
    await pool.close();
  });

  it('are not asked for what takes less than the asking', async () => {
    const pool = new ChunkPool({ threads: 2 });
    const { digest } = await pool.run<'digest'>({ type: 'digest', plain: own(rows(5, 'x')) });
    expect(digest).to.equal(sha256(rows(5, 'x')));
    expect(pool.threadCount).to.equal(0);
    await pool.close();
  });

  it('are none where none are wanted: then whoever asks does the work, with the same results', async () => {
    const [none, one] = [new ChunkPool({ threads: 0 }), new ChunkPool({ threads: 1 })];
    const text1 = rows(100_000, 'x');
    const task = { type: 'compress', digest: sha256(text1) } as const;

    const here = await none.run<'compress'>({ ...task, plain: own(text1) });

    expect(none.threadCount).to.equal(0);
    expect(here).to.deep.equal(await one.run<'compress'>({ ...task, plain: own(text1) }));
    await none.close();
    await one.close();
  });

  it('compress what gets smaller and keep the rest as it is', async () => {
    const pool = new ChunkPool({ threads: 1 });
    const [text1, raw] = [rows(100_000, 'x'), noise(100_000, 'x')];

    const smaller = await pool.run<'compress'>({
      type: 'compress',
      plain: own(text1),
      digest: sha256(text1),
    });
    const same = await pool.run<'compress'>({ type: 'compress', plain: own(raw), digest: sha256(raw) });

    expect(smaller.packed?.byteLength).to.be.lessThan(50_000);
    expect(smaller.storedDigest).to.equal(sha256(smaller.packed ?? raw));
    expect(same).to.include({ packed: null, storedDigest: sha256(raw) });
    expect(Buffer.from(same.plain)).to.deep.equal(raw);
    await pool.close();
  });

  it('find content in either codec, and no content in garbage', async () => {
    const pool = new ChunkPool({ threads: 1 });
    const plain = rows(100_000, 'x');
    const content = { digest: sha256(plain), sizeBytes: plain.byteLength };
    const { packed } = await pool.run<'compress'>({
      type: 'compress',
      plain: own(plain),
      digest: content.digest,
    });
    const examine = async (stored: Uint8Array): Promise<string> => {
      const found = await pool.run<'examine'>({ type: 'examine', stored: own(stored), ...content });
      return found.type === 'examined' ? found.codec : found.type;
    };

    expect(await examine(plain)).to.equal('none');
    expect(await examine(packed ?? plain)).to.equal('zstd');
    expect(await examine((packed ?? plain).subarray(1))).to.equal('damaged');
    expect(await examine(Buffer.alloc(0))).to.equal('damaged');
    expect(await examine(noise(100_000, 'y'))).to.equal('damaged');
    await pool.close();
  });

  it('reject what is still asked when they are closed', async () => {
    const pool = new ChunkPool({ threads: 1 });
    const asked = Array.from({ length: 50 }, (_, index) =>
      pool.run<'digest'>({ type: 'digest', plain: own(noise(100_000, `${index}`)) }),
    );

    const settled = Promise.allSettled(asked);
    await pool.close();

    const last = (await settled).at(-1);
    expect(last).to.have.property('status', 'rejected');
    expect(pool.threadCount).to.equal(0);
    const late = pool.run<'digest'>({ type: 'digest', plain: own(noise(1, 'x')) });
    expect(await late.catch((error: unknown) => error)).to.be.instanceOf(Error);
  });

  it('keep no process alive that forgot to close its repository', async () => {
    const folder = temporaryFolder('forgotten');
    const [open, samples] = ['../../shared/repository/open.ts', './samples.ts'].map((path) =>
      JSON.stringify(new URL(path, import.meta.url).href),
    );
    const script = `
      const { initRepository, openRepository } = await import(${open});
      const { checkpointId, rows, storeMember } = await import(${samples});
      await initRepository(${JSON.stringify(join(folder.path, 'r'))});
      const repository = await openRepository(${JSON.stringify(join(folder.path, 'r'))});
      await storeMember(repository, checkpointId(1), 'a', { x: rows(100, 'x') });
      process.stdout.write('stored');`;

    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');

    expect(await text(child.stdout)).to.equal('stored');
    expect(await exited).to.deep.equal([0, null]);
    folder.remove();
  });
});
