import { expect } from 'chai';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mustBeProgram } from '../../../agent/engines/restore/host-check.ts';
import { mustBeReplaceable } from '../../../agent/engines/restore/directory-switch.ts';
import { runCommand } from '../../../agent/engines/restore/processes.ts';
import { canCommit } from '../../../agent/engines/postgres/restore/configuration.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { isThere } from '../../../shared/runtime/is-there.ts';

// Goal: what would make a restore fail on a host is met before anything is touched, and nothing there is waited for without an end.

async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof StillpointError) return error.failure;
  throw new Error(`it did not fail as it should: ${String(error)}`);
}

const never = { user: null, signal: new AbortController().signal };

describe('a host of a restore', () => {
  const folder = temporaryFolder('restore-host');
  after(() => folder.remove());

  for (const [what, place] of Object.entries({
    'an old directory of the configuration': '.stillpoint-etc/old',
    'a stage of the configuration': '.stillpoint-etc/stage',
    'an old directory of the data': '.stillpoint-data/old',
    'a record that cannot be read': '.stillpoint-data/restore.json',
  })) {
    it(`is refused, by name, for ${what} that an earlier restore left`, async () => {
      const room = join(folder.path, what.replaceAll(' ', '-'));
      const [data, etc] = [join(room, 'data'), join(room, 'etc')];
      for (const path of [data, etc]) mkdirSync(path, { recursive: true });
      await mustBeReplaceable('aa', [data, etc]);
      mkdirSync(dirname(join(room, place)), { mode: 0o711 });
      if (place.endsWith('.json')) writeFileSync(join(room, place), '');
      else mkdirSync(join(room, place));
      const { code, message } = await failureOf(mustBeReplaceable('aa', [data, etc]));
      expect(code).to.equal('restore-unfinished');
      expect(message).to.include(join(room, place));
    });
  }

  it('has a place that cannot be looked at, which is not one that is absent', async () => {
    expect(await isThere(join(folder.path, 'absent'))).to.equal(false);
    const error = await isThere(join(folder.path, 'x'.repeat(300))).catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'ENAMETOOLONG');
  });

  it('has the programs of its commands', async () => {
    await mustBeProgram('aa', 'run.start', ['sh', '-c', 'true']);
    const { code } = await failureOf(mustBeProgram('aa', 'run.start', ['/no/such/program']));
    expect(code).to.equal('command-missing');
  });

  it('is not waited for when a command runs in the foreground', async () => {
    const hangs = runCommand('aa', ['sleep', '1000'], { ...never, limitMs: 200 });
    const { code, message } = await failureOf(hangs);
    expect(code).to.equal('command-hangs');
    expect(message).to.include('did not return in 0.2 s');
  });

  it('has nothing left of such a command, whatever that has begun', async () => {
    const begun = join(folder.path, 'begun');
    const script = `sleep 1000 & echo $! > ${begun}; wait`;
    const { code } = await failureOf(runCommand('aa', ['sh', '-c', script], { ...never, limitMs: 500 }));
    expect(code).to.equal('command-hangs');
    const pid = Number(readFileSync(begun, 'utf8'));
    await until('its child to be gone', () => !existsSync(`/proc/${pid}`));
  });
});

describe('a command of an operator that does not end', () => {
  const folder = temporaryFolder('endless-command');
  after(() => folder.remove());

  /** What the commands here are for: a file that they make, or take away. */
  const place = join(folder.path, 'running');
  const isThereNow = async (): Promise<boolean> => existsSync(place);

  it('has started its process when that answers, and goes on with it', async () => {
    const script = `echo $$ > ${place}; exec sleep 1000`;
    await runCommand('aa', ['sh', '-c', script], {
      ...never,
      goal: { isReached: isThereNow, afterwards: 'leave' },
    });
    const pid = Number(readFileSync(place, 'utf8'));
    try {
      expect(existsSync(`/proc/${pid}`)).to.equal(true);
    } finally {
      process.kill(pid, 'SIGKILL');
    }
  });

  it('has stopped its process when that is gone, and is ended at its limit', async () => {
    const command = join(folder.path, 'command');
    writeFileSync(place, '');
    await runCommand('aa', ['sh', '-c', `rm ${place}; echo $$ > ${command}; exec sleep 1000`], {
      ...never,
      limitMs: 1500,
      goal: { isReached: async () => !(await isThereNow()) && existsSync(command), afterwards: 'endAtLimit' },
    });
    const pid = Number(readFileSync(command, 'utf8'));
    expect(existsSync(`/proc/${pid}`)).to.equal(true);
    await until('the command to be ended', () => !existsSync(`/proc/${pid}`));
  });

  it('is not waited for when the restore is given up', async () => {
    const givenUp = new AbortController();
    const started = performance.now();
    const stops = runCommand('aa', ['sleep', '1000'], { ...never, signal: givenUp.signal, limitMs: 300 });
    givenUp.abort(new Error('given up'));
    const reason: unknown = await stops.then(
      () => null,
      (error: unknown) => error,
    );
    expect(reason).to.have.property('message', 'given up');
    expect(performance.now() - started).to.be.lessThan(5000);
  });
});

describe('the synchronous standbys of a restored primary', () => {
  const cases: [names: string, standbys: string[], commits: boolean][] = [
    ['', [], true],
    ['dr1', [], false],
    ['dr1', ['DR1'], true],
    ['FIRST 1 (a, b)', ['b'], true],
    ['FIRST 2 (a, b)', ['b'], false],
    ['ANY 1 (a, "b c")', ['b c'], true],
    ['*', ['any'], true],
    ['*', [], false],
  ];
  for (const [names, standbys, commits] of cases) {
    it(`${commits ? 'let it commit' : 'would hold every commit'}: '${names}' with ${standbys.join(', ') || 'none'} restored`, () => {
      expect(canCommit(names, standbys)).to.equal(commits);
    });
  }
});
