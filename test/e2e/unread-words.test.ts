import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: what becomes of a command's words never decides what becomes of its work.
// Method: the real command behind pipes that are closed early, or full and kept open.

const PROGRAM = programFile('coordinator/main.ts');

describe('a command whose words nobody reads', () => {
  const folder = temporaryFolder('unread');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  let grid: TestGrid;
  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.141.1'],
      copysets: [{ name: 'a', hosts: [0] }],
      env: hooks.env,
    });
  });
  after(async () => {
    await grid?.close();
    folder.remove();
  });

  async function names(): Promise<string[]> {
    const listed = await grid.run(['checkpoint', 'list', '--output', 'json']);
    const { checkpoints } = listed.json as { checkpoints: { name: string; state: string }[] };
    return checkpoints.map(({ name, state }) => `${name} ${state}`);
  }

  it('goes on when its progress is read to the first line and closed, and tells its end by the exit code', async () => {
    const words = `"${process.execPath}" "${PROGRAM}" checkpoint create closed --grid "${grid.gridFile}"`;
    const ended = spawnSync('bash', ['-c', `${words} 2>&1 | head -1; exit $\{PIPESTATUS[0]}`], {
      encoding: 'utf8',
      timeout: 60_000,
    });

    expect(ended.stdout).to.match(/^\w+\n$/);
    expect(ended.status).to.equal(0);
    expect(await names()).to.include('closed valid');
  });

  it('ends when its progress fills a pipe that is kept open, and hears Ctrl-C meanwhile', async () => {
    const pipe = join(folder.path, 'pipe');
    spawnSync('mkfifo', [pipe]);
    const reader = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    const writer = openSync(pipe, constants.O_WRONLY);
    const children: ChildProcess[] = [];
    const create = (name: string): Promise<number | null> => {
      const child = spawn(
        process.execPath,
        [PROGRAM, 'checkpoint', 'create', name, '--grid', grid.gridFile],
        { stdio: ['ignore', 'ignore', writer], env: { ...process.env, ...hooks.env } },
      );
      children.push(child);
      return new Promise((resolve) => child.once('exit', resolve));
    };
    try {
      fill(reader);
      expect(await create('full')).to.equal(0);

      hooks.reset();
      hooks.hold('marked', 'aa');
      const interrupted = create('interrupted');
      await hooks.reached('marked', 'aa');
      children.at(-1)?.kill('SIGINT');
      hooks.reset();
      expect(await interrupted).to.equal(4);
    } finally {
      hooks.reset();
      for (const child of children) child.kill('SIGKILL');
      closeSync(writer);
      closeSync(reader);
    }

    await until('the servers to be as they were', async () => (await grid.expectUntouched(), true));
    expect(await names()).to.include('full valid');
  });

  it('gives all of a result to who reads late', () => {
    const ended = spawnSync(
      'bash',
      ['-c', `"${process.execPath}" "${PROGRAM}" checkpoint create --help | (read -r first; sleep 0.2; cat)`],
      { encoding: 'utf8', timeout: 60_000 },
    );

    expect(ended.stdout).to.include('--timeout').and.to.include('--help');
  });
});

/** Fills a pipe to its last byte. */
function fill(pipe: number): void {
  try {
    for (;;) writeSync(pipe, Buffer.alloc(1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
}
