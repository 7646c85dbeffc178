import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a server that takes no setting any more when it is to be armed ends its checkpoint, and nothing else: nobody is
// said to be frozen, nobody waits for an undo of what was never done, and the next checkpoint needs nothing but the right.

const CREATE = ['checkpoint', 'create', 'forbidden', '--output', 'json', '--quiet'];

describe('a grid whose server stops taking settings while a checkpoint is prepared', () => {
  const folder = temporaryFolder('forbidden');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  let grid: TestGrid;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.45.51'],
      copysets: [
        { name: 'a', hosts: [0] },
        { name: 'b', hosts: [0] },
      ],
      env: hooks.env,
    });
  });

  afterEach(() => {
    hooks.reset();
    chmodSync(file(), 0o600);
  });

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  function file(): string {
    return join(grid.member('aa').server.data, 'postgresql.auto.conf');
  }

  it('ends that one with exit 4, refuses the next with exit 3, and takes one as soon as it is allowed', async () => {
    hooks.hold('prepared', 'aa');
    const command = grid.begin(CREATE);
    await hooks.reachedBy(command, 'prepared', 'aa');
    chmodSync(file(), 0o444);
    hooks.reset();
    const first = await command.finished;
    await grid.expectUntouched();
    const status = await grid.run(['grid', 'status', '--output', 'json', '--quiet']);
    const second = await grid.run(CREATE);
    chmodSync(file(), 0o600);
    const third = await grid.run(CREATE);

    expect(first.code, first.stdout).to.equal(4);
    expect(first.stdout).to.include('postgresql.auto.conf');
    expect(status.stdout).to.not.include('"leftFrozen":true');
    expect(second.code, second.stdout).to.equal(3);
    expect(second.stdout).to.include('"code":"postgres-alter-system"');
    expect(third.code, third.stdout).to.equal(0);
  });

  it('hears Ctrl-C there as ever', async () => {
    hooks.hold('prepared', 'aa');
    const command = grid.begin(CREATE);
    await hooks.reachedBy(command, 'prepared', 'aa');
    chmodSync(file(), 0o444);
    command.signal('SIGINT');
    hooks.reset();
    const { code, stdout } = await command.finished;

    expect(code, stdout).to.equal(4);
    chmodSync(file(), 0o600);
    await grid.expectUntouched();
    const next = await grid.run(CREATE);
    expect(next.code, next.stdout).to.equal(0);
  });
});
