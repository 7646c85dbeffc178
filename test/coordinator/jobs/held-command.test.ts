import { expect } from 'chai';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkRunnable, HeldCommand } from '../../../coordinator/jobs/held-command.ts';
import type { HeldGrid } from '../../../coordinator/jobs/hold-report.ts';
import { clearInfo, writeInfo } from '../../../coordinator/jobs/info-file.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { until } from '../../lab/processes.ts';

// Goal: an operator's program runs while all is held, knows of which job, gets the signals, and keeps nobody held whom
// somebody wants to be let go. Method: real programs of a shell.

const HELD: HeldGrid = {
  job: 'token',
  purpose: 'quiesce',
  checkpoint: '20261120T120000.123Z_00000000_00000007_quiesce',
  grid: 'orders',
  epoch: 0,
  number: 7,
  heldSince: '2026-11-20T12:00:00.123Z',
  journalMap: { 'aa.example:5432': 'a3' },
  members: [],
};

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof StillpointError ? `${error.failure.code} ${error.exitCode}` : String(error);
}

describe('a program that runs while a grid is held', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let abort: AbortController;
  const place = (name: string): string => join(folder.path, name);
  const read = (name: string): string => readFileSync(place(name), 'utf8');

  beforeEach(() => {
    folder = temporaryFolder('held-command');
    abort = new AbortController();
  });

  afterEach(() => folder.remove());

  function shell(script: string): HeldCommand {
    return new HeldCommand(['sh', '-c', script], () => Promise.resolve(), abort.signal);
  }

  it('knows job, checkpoint and number, and its end lets go, with its exit code', async () => {
    for (const code of [0, 3]) {
      const program = shell(
        `echo "$STILLPOINT_JOB $STILLPOINT_CHECKPOINT $STILLPOINT_NUMBER" > ${place('said')}; exit ${code}`,
      );
      await program.begin(HELD);
      await program.end('proven');
      expect(read('said')).to.equal(`token ${HELD.checkpoint} 7\n`);
      expect(program.exitCode).to.equal(code);
      program.checkWhole();
    }
  });

  it('is sent what ends us, with all that it started; what stays is killed', async () => {
    const program = shell(`trap '' INT TERM; sh -c "trap '' INT TERM; echo > ${place('up')}; sleep 600"`);
    const begun = program.begin(HELD);
    await until('the program', () => existsSync(place('up')));
    const from = performance.now();
    abort.abort(new Error('interrupted'));
    await begun;
    await program.end('failed');
    expect(program.exitCode).to.equal(128 + 9);
    expect(performance.now() - from).to.be.within(4900, 15_000);
  });

  it('gets SIGTERM, and lets go when it has ended, not before', async () => {
    const program = shell(
      `trap 'echo cleaned > ${place('end')}; exit 5' TERM; echo > ${place('up')}; while :; do sleep 0.05; done`,
    );
    const begun = program.begin(HELD);
    await until('the program', () => existsSync(place('up')));
    program.letGoAsked({ type: 'signal', who: 'SIGTERM' });
    await begun;
    expect(read('end')).to.equal('cleaned\n');
    expect(program.exitCode).to.equal(5);
    program.checkWhole();
    await program.end('proven');
  });

  it('keeps nobody held when somebody else has them let go: what it copied is not to be trusted', async () => {
    const program = shell(`trap '' TERM; echo > ${place('up')}; sleep 600`);
    const begun = program.begin(HELD);
    await until('the program', () => existsSync(place('up')));
    program.letGoAsked({ type: 'elsewhere', who: 'anna' });
    await begun;
    expect(program.exitCode).to.equal(null);
    await program.end('proven');
    expect(() => program.checkWhole())
      .to.throw(StillpointError, 'anna had the grid let go while sh still ran')
      .that.has.property('exitCode', 6);
  });

  it('is not started where the word comes before it is, and what it would have copied is not trusted', async () => {
    for (const type of ['signal', 'elsewhere'] as const) {
      const told = Promise.withResolvers<void>();
      const program = new HeldCommand(
        ['sh', '-c', `echo > ${place('up')}; sleep 600`],
        () => told.promise,
        abort.signal,
      );
      const begun = program.begin(HELD);
      program.letGoAsked({ type, who: 'anna' });
      told.resolve();
      await begun;
      await program.end('proven');
      expect(existsSync(place('up'))).to.equal(false);
      expect(() => program.checkWhole())
        .to.throw(StillpointError, 'anna had the grid let go before sh was started')
        .that.has.property('exitCode', 6);
    }
  });

  it('is looked for before anybody is held, and fails the job where it cannot be started', async () => {
    await checkRunnable(['sh', '-c', 'true']);
    writeFileSync(place('script'), '#!/bin/sh\n');
    expect(await codeOf(checkRunnable([place('script')]))).to.equal('command-missing 2');
    chmodSync(place('script'), 0o755);
    await checkRunnable([place('script')]);
    expect(await codeOf(checkRunnable(['no-such-program']))).to.equal('command-missing 2');
    const missing = new HeldCommand([place('gone')], () => Promise.resolve(), abort.signal);
    expect(await codeOf(missing.begin(HELD))).to.equal('command-missing 2');
    await missing.end('failed');
  });
});

describe('the file of --info', () => {
  let folder: ReturnType<typeof temporaryFolder>;

  beforeEach(() => {
    folder = temporaryFolder('info');
  });

  afterEach(() => folder.remove());

  it('has what is known while all is held, and is not there before: that of an earlier job is taken away', async () => {
    const path = join(folder.path, 'info.json');
    await clearInfo(path);
    await writeInfo(path, HELD);
    expect(JSON.parse(readFileSync(path, 'utf8'))).to.deep.equal(HELD);
    await clearInfo(path);
    expect(existsSync(path)).to.equal(false);
  });

  it('is refused where something else has the name, or nothing can be written', async () => {
    const path = join(folder.path, 'other');
    for (const text of ['my notes', '{"rows": 1}']) {
      writeFileSync(path, text);
      expect(await codeOf(clearInfo(path))).to.equal('info-unwritable 2');
      expect(readFileSync(path, 'utf8')).to.equal(text);
    }
    expect(await codeOf(clearInfo(join(folder.path, 'missing', 'info.json')))).to.equal('info-unwritable 2');
  });
});
