import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { failureOf } from '../../../repository/samples.ts';
import { beginCapture, HELD_ALONE, token } from '../../tested-capture.ts';
import { footprintAtRest, postgresLab, type PostgresLab } from '../lab.ts';

// Goal: a server that cannot write postgresql.auto.conf is refused before anything is copied, by what its host says of the
// file; and what was never done is undone without a word. Method: each way to forbid it, on a real server that runs.

function mustRun(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

interface Forbidden {
  readonly what: string;
  readonly words: RegExp;
  forbid(file: string, data: string): void;
  allow(file: string, data: string): void;
}

const BY_OWNER: readonly Forbidden[] = [
  {
    what: 'is read-only by its mode',
    words: /postgresql\.auto\.conf: Permission denied/,
    forbid: (file) => chmodSync(file, 0o444),
    allow: (file) => chmodSync(file, 0o600),
  },
];

const BY_ROOT: readonly Forbidden[] = [
  {
    what: 'has the immutable attribute',
    words: /postgresql\.auto\.conf: Operation not permitted/,
    forbid: (file) => mustRun('chattr', '+i', file),
    allow: (file) => mustRun('chattr', '-i', file),
  },
  {
    what: 'lies in a directory that has it',
    words: /its user cannot write into /,
    forbid: (_, data) => mustRun('chattr', '+i', data),
    allow: (_, data) => mustRun('chattr', '-i', data),
  },
  {
    what: 'is mounted over itself, read-only',
    words: /is a mount point/,
    forbid: (file) => {
      mustRun('mount', '--bind', file, file);
      mustRun('mount', '-o', 'remount,ro,bind', file);
    },
    allow: (file) => mustRun('umount', file),
  },
];

describe('a PostgreSQL server whose postgresql.auto.conf', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18');
  });
  after(() => lab.remove());

  for (const { what, words, forbid, allow } of [...BY_OWNER, ...(process.getuid?.() === 0 ? BY_ROOT : [])]) {
    it(`${what} is refused before anything is done, with what forbids it; armed all the same it is as it was`, async () => {
      const file = join(lab.server.data, 'postgresql.auto.conf');
      const before = readFileSync(file, 'utf8');
      const found = await footprintAtRest(lab.server);
      forbid(file, lab.server.data);
      try {
        const { problems } = await lab.engine.describe(AbortSignal.timeout(10_000));

        expect(problems.map(({ code }) => code)).to.deep.equal(['postgres-alter-system']);
        expect(problems[0]?.message).to.match(words);

        const { capture, undo } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
        await capture.prepare();
        const failure = await failureOf(capture.arm(token()));
        await capture.abort();

        expect(failure.message).to.match(/postgresql\.auto\.conf/);
        expect(undo()).to.equal(null);
        await lab.server.query('INSERT INTO entry SELECT coalesce(max(id), 0) + 1 FROM entry');
        expect(await footprintAtRest(lab.server)).to.deep.equal(found);
      } finally {
        allow(file, lab.server.data);
      }
      expect(readFileSync(file, 'utf8')).to.equal(before);
      expect(readdirSync(lab.server.data)).to.not.include('postgresql.auto.conf.tmp');
      expect((await lab.engine.describe(AbortSignal.timeout(10_000))).problems).to.deep.equal([]);
    });
  }

  it('can be written is not touched by the look', async () => {
    const file = join(lab.server.data, 'postgresql.auto.conf');
    const { mtimeMs, ctimeMs, size, ino } = statSync(file);

    await lab.engine.describe(AbortSignal.timeout(10_000));

    const now = statSync(file);
    expect([now.mtimeMs, now.ctimeMs, now.size, now.ino]).to.deep.equal([mtimeMs, ctimeMs, size, ino]);
  });
});
