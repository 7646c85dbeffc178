import { expect } from 'chai';
import { PROTOCOL_VERSION } from '../../shared/domain/wire.ts';
import type { BootedHost } from './lab/booted-host.ts';
import { commits } from './lab/commits.ts';
import { LEASE_MS, StandingGrid } from './lab/standing-grid.ts';

// Goal: while hosts are upgraded one after the other, each command is served or refused as a whole, in words that a
// person can act on, and nothing is touched where it is refused.
// Method: on one host the installed programs are those of another protocol version; they differ in that number alone.

const WIRE = '/usr/lib/stillpoint/dist/shared/domain/wire.js';

describe('programs of different versions on booted hosts', () => {
  const grid = StandingGrid.forSuite();
  const beta = (): BootedHost => grid().lab.host('beta');

  afterEach(() => {
    speak(grid().operator, PROTOCOL_VERSION);
    speak(beta(), PROTOCOL_VERSION);
    beta().shell('systemctl restart stillpoint-agent');
  });

  function speak(host: BootedHost, version: number): void {
    host.shell(`sed -i -E 's/(PROTOCOL_VERSION = )[0-9]+/\\1${version}/' ${WIRE}`);
    expect(host.shell(`grep -c 'PROTOCOL_VERSION = ${version}' ${WIRE}`)).to.equal('1\n');
  }

  /** What would be seen of a command that was half done. */
  function traces(): string[] {
    const { operator, hosts } = grid();
    return [
      operator.shell('stillpoint checkpoint list --grid grid.yaml --output json'),
      operator.shell('find /srv/stillpoint/repository -type f | sort'),
      ...hosts.map((host) =>
        host.shell('find /var/lib/stillpoint -type f ! -name lock -exec md5sum {} + | sort'),
      ),
    ];
  }

  async function isRefused(command: string, words: string): Promise<void> {
    const before = traces();
    const { code, stdout, stderr } = await grid().operator.begin(`${command} --grid grid.yaml`);
    expect(code, command + stdout + stderr).to.equal(3);
    expect(stderr, command)
      .to.include(words)
      .and.to.match(/hint: .*same version/);
    expect(traces(), command).to.deep.equal(before);
    await Promise.all(grid().clusters.map((cluster) => commits(cluster, LEASE_MS)));
  }

  async function isServed(name: string): Promise<void> {
    const { code, stdout, stderr } = await grid().operator.begin(
      `stillpoint checkpoint create ${name} --grid grid.yaml --output json`,
    );
    expect(code, stdout + stderr).to.equal(0);
  }

  for (const theirs of [PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1]) {
    const words = (agent: number, coordinator: number): string =>
      `speaks protocol version ${agent}, the coordinator version ${coordinator}`;

    it(`an agent of version ${theirs} among others: every command is refused by it and touches nothing, and is served when it is of ours`, async () => {
      await isServed(`before-agent-${theirs}`);
      speak(beta(), theirs);
      beta().shell('systemctl restart stillpoint-agent');
      for (const command of [
        'stillpoint checkpoint create skewed',
        'stillpoint restore latest --stop --yes',
        'stillpoint grid failover --yes',
      ])
        await isRefused(command, `the agent on beta.example ${words(theirs, PROTOCOL_VERSION)}`);
      const doctor = await grid().operator.begin('stillpoint grid doctor --grid grid.yaml');
      expect(doctor.code, doctor.stdout + doctor.stderr).to.equal(3);
      expect(doctor.stdout + doctor.stderr).to.include(words(theirs, PROTOCOL_VERSION));
      speak(beta(), PROTOCOL_VERSION);
      beta().shell('systemctl restart stillpoint-agent');
      await isServed(`after-agent-${theirs}`);
    });

    it(`a coordinator of version ${theirs} is refused by all, and the agents serve one of theirs`, async () => {
      speak(grid().operator, theirs);
      await isRefused('stillpoint checkpoint create skewed', words(PROTOCOL_VERSION, theirs));
      speak(grid().operator, PROTOCOL_VERSION);
      await isServed(`after-coordinator-${theirs}`);
    });
  }
});
