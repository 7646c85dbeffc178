import { expect } from 'chai';
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../../agent/engines/restore/processes.ts';
import { commandUser, refusalAs } from '../../../agent/engines/restore/run-as.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: a command has the rights of the user that it runs as: all of them, and none of the agent's.

const NEVER = new AbortController().signal;

describe("an operator's command", () => {
  const folder = temporaryFolder('run-as');
  after(() => folder.remove());

  async function printed(user: { uid: number; gid: number } | null, command: string): Promise<string> {
    const out = join(folder.path, 'out');
    spawnSync('rm', ['-f', out]);
    await runCommand('aa', ['/bin/sh', '-c', `${command} > ${out}`], { user, signal: NEVER });
    return readFileSync(out, 'utf8').trim();
  }

  it("runs as the agent's own user, whoever owns the files, unless run.user names another", async () => {
    expect(await commandUser({})).to.equal(null);
    expect(await printed(null, 'id -u')).to.equal(String(process.getuid?.()));
  });

  it('does not report to systemd in the name of the agent', async () => {
    process.env['NOTIFY_SOCKET'] = '/run/systemd/notify';
    try {
      expect(await printed(null, 'env')).not.to.contain('NOTIFY_SOCKET');
    } finally {
      delete process.env['NOTIFY_SOCKET'];
    }
  });

  it('that looks says why it is refused; what did not run, or did not answer in time, has not said no', async () => {
    expect(await refusalAs(null, ['test', '-r', '/'])).to.equal(null);
    expect(await refusalAs(null, ['ls', join(folder.path, 'nothing')])).to.match(
      /No such file or directory$/,
    );
    for (const command of [['stillpoint-has-no-such-program'], ['sleep', '60']]) {
      const failure = await refusalAs(null, command, 200).catch((error: unknown) => error);
      expect(failure).to.have.nested.property('failure.code', 'command-hangs');
    }
  });

  if (process.getuid?.() === 0) {
    it("has its user's groups, and not the agent's environment", async () => {
      // A user that is a member of a group besides its own, if this host has one; nobody is on every host.
      const lines = readFileSync('/etc/group', 'utf8').trim().split('\n');
      const member = lines.map((line) => line.split(':')[3] ?? '').find((names) => names !== '') ?? 'nobody';
      const name = member.split(',')[0] ?? 'nobody';
      const user = await commandUser({ run: { user: name } });
      chownSync(folder.path, user?.uid ?? 0, user?.gid ?? 0);
      process.env['STILLPOINT_TEST_SECRET'] = 'secret';
      try {
        const groups = await printed(user, 'id -G');
        expect(groups.split(' ').sort()).to.deep.equal(
          execFileSync('id', ['-G', name], { encoding: 'utf8' }).trim().split(' ').sort(),
        );
        expect(await printed(user, 'id -u')).to.equal(String(user?.uid));
        expect(await printed(user, 'env')).not.to.contain('STILLPOINT_TEST_SECRET');
      } finally {
        delete process.env['STILLPOINT_TEST_SECRET'];
      }
    });

    it('runs as a user that no list of users has, without any group of ours', async () => {
      chownSync(folder.path, 54_321, 54_321);
      expect(await printed({ uid: 54_321, gid: 54_321 }, 'id -G')).to.equal('54321');
    });
  }
});
