import { spawnSync } from 'node:child_process';
import { installStillpoint } from '../test/hosts/lab/install.ts';
import { down, HostsLab, NAMES } from '../test/hosts/lab/hosts-lab.ts';
import { whyNotHere } from '../test/hosts/lab/machine.ts';

const USAGE = `Debian hosts that really boot, with systemd, their own network and the distribution's PostgreSQL.
  ./scripts/lab up [HOST…]     boots ${NAMES.join(', ')}, and installs stillpoint from its .deb
  ./scripts/lab test [FILE…]   runs the tests of test/hosts on them; arguments go to mocha
  ./scripts/lab shell HOST     a shell on a host; after -- a command
  ./scripts/lab down           takes all of it away, but the root image
Without root, or where the kernel does not let us, test is skipped and says why. Disks and image lie in
/var/cache/stillpoint-lab, or in $STILLPOINT_LAB. A package that is there already: STILLPOINT_DEB=FILE.
`;

const say = (words: string): void => void process.stderr.write(`${words}\n`);

async function main([verb, ...words]: readonly string[]): Promise<number> {
  const reason = verb === undefined || verb === 'help' || verb === '--help' ? null : whyNotHere();
  if (reason !== null) {
    say(`${verb === 'test' ? 'skipped' : 'not here'}: ${reason}`);
    return verb === 'test' ? 0 : 2;
  }
  switch (verb) {
    case 'up': {
      const lab = new HostsLab();
      await lab.up(say, words.length > 0 ? words : NAMES);
      for (const host of lab.hosts()) installStillpoint(host, say);
      return 0;
    }
    case 'test': {
      const files = words.some((word) => !word.startsWith('-')) ? words : ['test/hosts/*.hosts.ts', ...words];
      try {
        return spawnSync('mocha', ['--timeout', '900000', ...files], { stdio: 'inherit' }).status ?? 1;
      } finally {
        await down();
      }
    }
    case 'shell': {
      const [short = '', ...command] = words.filter((word) => word !== '--');
      const host = new HostsLab().host(short);
      const leader = host.leader();
      if (leader === null) throw new Error(`${host.name} is off: ./scripts/lab up ${short}`);
      const [program = '', ...args] = host.command(leader, command.join(' ') || 'exec bash -l');
      return spawnSync(program, args, { stdio: 'inherit' }).status ?? 1;
    }
    case 'down':
      await down();
      return 0;
    default:
      process.stdout.write(USAGE);
      return verb === undefined || verb === '--help' || verb === 'help' ? 0 : 2;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
