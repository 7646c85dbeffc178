import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { lockState } from '../agent/state-lock.ts';
import { failureOf } from '../shared/domain/errors.ts';
import { packageFile, installStillpoint } from '../test/hosts/lab/install.ts';
import { rootImage } from '../test/hosts/lab/image.ts';
import { down, HostsLab, NAMES } from '../test/hosts/lab/hosts-lab.ts';
import { LOCK, whyNotHere } from '../test/hosts/lab/machine.ts';
import { bringTools, findRoom, NoLabHere } from '../test/hosts/lab/tools.ts';

const USAGE = `Debian hosts that really boot, with systemd, their own network and the distribution's PostgreSQL.
  ./scripts/lab up [HOST…]     boots ${NAMES.join(', ')}, and installs stillpoint from its .deb
  ./scripts/lab test [FILE…]   runs the tests of test/hosts on them; arguments go to mocha
  ./scripts/lab test --short   those that ./scripts/test runs too, within four minutes
  ./scripts/lab shell HOST     a shell on a host; after -- a command
  ./scripts/lab down           takes all of it away, but the root image
What hosts are made with is installed by apt where it is missing. Without root, or where the kernel does not let us,
test is skipped and says why. Disks and image lie in /var/cache/stillpoint-lab, or in $STILLPOINT_LAB. A package that is
there already: STILLPOINT_DEB=FILE.
`;

const FOLDER = 'test/hosts';
/** It begins with hosts on which nothing was ever installed; what the others share comes after. */
const FIRST = 'first-grid.hosts.ts';
/** It takes the power of the hosts that others share. */
const LAST = 'drill.hosts.ts';
const SHORT_MS = 12 * 60_000;
const WHOLE_MS = 30 * 60_000;
/** Tools of operators are tried where no host can be booted too. */
const WITHOUT_MS = 8 * 60_000;

const say = (words: string): void => void process.stderr.write(`${words}\n`);

async function main([verb, ...words]: readonly string[]): Promise<number> {
  switch (verb) {
    case 'up': {
      await begin();
      const lab = new HostsLab();
      await lab.up(say, words.length > 0 ? words : NAMES);
      await installStillpoint(lab.hosts(), say);
      return 0;
    }
    case 'test':
      return test(words);
    case 'shell': {
      const [short = '', ...command] = words.filter((word) => word !== '--');
      const host = new HostsLab().host(short);
      const leader = host.leader();
      if (leader === null) throw new Error(`${host.name} is off: ./scripts/lab up ${short}`);
      const [program = '', ...args] = host.command(leader, command.join(' ') || 'exec bash -l');
      return spawnSync(program, args, { stdio: 'inherit' }).status ?? 1;
    }
    case 'down':
      await begin();
      await down();
      return 0;
    default:
      process.stdout.write(USAGE);
      return verb === undefined || verb === '--help' || verb === 'help' ? 0 : 2;
  }
}

/** Of what every lab needs; and no other command may use the one lab of this machine meanwhile. */
async function begin(): Promise<void> {
  const reason = whyNotHere();
  if (reason !== null) throw new NoLabHere(reason);
  await lockState(LOCK).catch((error: unknown) => {
    if (failureOf(error, { code: 'internal', hint: '' }).code !== 'agent-runs') throw error;
    throw new NoLabHere('another command uses the lab of this machine');
  });
  bringTools(say);
  findRoom();
}

/** Where there can be no lab the tests are skipped, one by one, and the reason is said. */
async function test(words: readonly string[]): Promise<number> {
  const isShort = words.includes('--short');
  const named = words.filter((word) => word !== '--short');
  const wanted = isShort ? ['--grep', '@short', ...named] : named;
  const files = named.some((word) => word.endsWith('.ts')) ? wanted : [...all(), ...wanted];
  const env: NodeJS.ProcessEnv = { ...process.env };
  try {
    await begin();
    // Beside each other: both are work the first time only.
    const file = packageFile(say);
    file.catch(() => undefined);
    rootImage(say);
    env['STILLPOINT_DEB'] = await file;
  } catch (error) {
    if (!(error instanceof NoLabHere)) throw error;
    say(`skipped: ${error.message}`);
    return mocha(files, { ...env, STILLPOINT_NO_LAB: error.message }, WITHOUT_MS);
  }
  try {
    return await mocha(files, env, isShort ? SHORT_MS : WHOLE_MS);
  } finally {
    await down();
  }
}

function all(): string[] {
  const others = readdirSync(FOLDER).filter(
    (name) => name.endsWith('.hosts.ts') && name !== FIRST && name !== LAST,
  );
  return [FIRST, ...others.sort(), LAST].map((name) => `${FOLDER}/${name}`);
}

/** Ends the tests when they last too long, or when somebody ends this; what is left of hosts is the caller's then. */
async function mocha(files: readonly string[], env: NodeJS.ProcessEnv, limitMs: number): Promise<number> {
  const reporter =
    env['STILLPOINT_TEST_RESULTS'] === undefined ? [] : ['--reporter', './test/lab/summary-reporter.ts'];
  const args = ['--no-forbid-pending', '--timeout', '300000', ...reporter, ...files];
  const child = spawn('mocha', args, { stdio: 'inherit', env });
  const end = (words: string): void => {
    say(words);
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => end(`not over in ${limitMs / 60_000} minutes: ended`), limitMs);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => end(`${signal}: takes the hosts away`));
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    clearTimeout(timer);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof NoLabHere ? 2 : 1;
}
