import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { madeRepository } from '../repository/made.ts';
import { stillpoint, type Finished } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { treeOf } from '../lab/trees.ts';
import { checkpointId, storeCheckpoint } from '../repository/samples.ts';

// Goal: what scripts rely on before any agent is asked: exit codes, where which text goes, its form, and that
// a mistake touches nothing.
// Method: the real command as a process of its own, off a terminal; no agent listens anywhere.

const PROGRAM = programFile('coordinator/main.ts');
const COMMANDS = [
  'checkpoint create',
  'checkpoint list',
  'checkpoint describe',
  'checkpoint verify',
  'checkpoint delete',
  'restore',
  'quiesce',
  'resume',
  'journal-checkpoint',
  'freeze',
  'thaw',
  'grid status',
  'grid doctor',
  'repository init',
  'pki init',
  'pki issue',
  'pki renew',
  'pki revoke',
  'metrics',
];
const ERROR_KEYS = ['code', 'message', 'hint', 'host', 'member', 'phase', 'members'];

describe('the command line', () => {
  const folder = temporaryFolder('command-line');
  const repository = join(folder.path, 'repository');
  const key = join(folder.path, 'k.pem');
  const gridText = `grid: orders\nagents: ["127.0.19.1:9"]\nrepository: repository\ntls: { ca: ca.pem, cert: c.pem, key: k.pem }\n`;
  let gridFile: string;

  before(() => {
    gridFile = file('grid.yaml', gridText);
    for (const name of ['ca.pem', 'c.pem', 'k.pem']) file(name, 'not looked at');
    chmodSync(key, 0o600);
  });

  after(() => folder.remove());

  function file(name: string, text: string): string {
    const path = join(folder.path, name);
    writeFileSync(path, text);
    return path;
  }

  /** A repository with one checkpoint. */
  async function storedCheckpoint(): Promise<string> {
    const opened = await madeRepository(repository);
    try {
      const id = checkpointId(1);
      await storeCheckpoint(opened, id, { 'orders-1a': { PG_VERSION: Buffer.from('18') } });
      return id;
    } finally {
      await opened.close();
    }
  }

  const mistakes: Record<string, [args: () => string[], code: string, message: RegExp]> = {
    'no command': [() => [], 'usage', /^no command was given$/],
    'half a command': [() => ['checkpoint'], 'usage', /^no command was given$/],
    'an unknown command': [() => ['chekpoint', 'list'], 'usage', /^unknown command 'chekpoint'/],
    'an unknown command of a group': [() => ['grid', 'mend'], 'usage', /^unknown command 'mend'/],
    'an unknown option': [() => ['checkpoint', 'list', '--newest'], 'usage', /^unknown option '--newest'/],
    'a missing argument': [() => ['checkpoint', 'create'], 'usage', /^missing required argument 'name'/],
    'one argument too many': [() => ['checkpoint', 'list', 'x'], 'usage', /^too many arguments for 'list'/],
    'an option without its value': [
      () => ['checkpoint', 'list', '--repository'],
      'usage',
      /'--repository <location>' argument missing/,
    ],
    'a log level that there is not': [() => ['grid', 'status', '--log-level', 'loud'], 'usage', /'loud'/],
    'a timeout that is none': [() => ['grid', 'status', '--timeout', 'soon'], 'usage', /'soon'/],
    'a quiesce that waits for nobody': [() => ['quiesce', '--time-out', '0'], 'usage', /'0'.*more than 0/],
    'a resume of no job': [() => ['resume', '--grid', gridFile], 'usage', /^--job names the quiesce/],
    'a program that is not there': [
      () => ['freeze', '--grid', gridFile, '--', 'no-such-program', '--output', 'json'],
      'command-missing',
      /no program no-such-program/,
    ],
    'a host that is none of the grid': [
      () => ['journal-checkpoint', '--grid', gridFile, '--via', 'gamma'],
      'via-unknown',
      /^gamma is no agent of grid orders$/,
    ],
    'a map without a new host': [() => ['restore', 'latest', '--map', 'alpha'], 'usage', /write OLD=NEW/],
    'a word that no restore can be called': [
      () => ['restore', '--finish', 'nightly', '--grid', gridFile, '--yes'],
      'usage',
      /'nightly'.*write the id of a restore/,
    ],
    'a name that no checkpoint can have': [
      () => ['checkpoint', 'create', 'a/b', '--grid', gridFile],
      'bad-checkpoint-name',
      /'?a\/b'?/,
    ],
    'a grid file that is not there': [
      () => ['grid', 'status', '--grid', join(folder.path, 'none.yaml')],
      'bad-configuration',
      /none\.yaml cannot be read \(ENOENT\)$/,
    ],
    'an unknown key in the grid file': [
      () => ['grid', 'status', '--grid', file('unknown.yaml', `${gridText}agnets: []\n`)],
      'bad-configuration',
      /^unknown\.yaml:5: unknown key 'agnets'$/,
    ],
    'an unknown variable in the grid file': [
      () => [
        'grid',
        'status',
        '--grid',
        file('variable.yaml', gridText.replace('repository: repository', 'repository: ${NOWHERE_SET}')),
      ],
      'bad-configuration',
      /^variable\.yaml:3: the environment has no variable NOWHERE_SET$/,
    ],
  };

  for (const [what, [args, code, message]] of Object.entries(mistakes)) {
    it(`answers ${what} with exit 2, a fact and a hint, as text or as JSON`, async () => {
      const text = await stillpoint(args());
      const json = await stillpoint(['--output=json', ...args()]);
      expect([text.code, json.code]).to.deep.equal([2, 2]);
      expectFailureInWords(text, message);
      expectFailureAsJson(json, code, message);
    });
  }

  it('asks no agent with a private key that others may read', async () => {
    chmodSync(key, 0o640);
    for (const args of [
      ['grid', 'status'],
      ['grid', 'doctor'],
      ['checkpoint', 'create', 'x'],
      ['restore', 'latest', '--yes'],
    ]) {
      const refused = await stillpoint([...args, '--grid', gridFile, '--output', 'json', '--quiet']);
      expect(refused.code, args.join(' ')).to.equal(2);
      expectFailureAsJson(refused, 'key-readable', /k\.pem can be read by others \(mode 640\)$/);
    }
    expect(existsSync(repository)).to.equal(false);
    chmodSync(key, 0o600);
  });

  for (const command of COMMANDS) {
    it(`shows an example in the help of '${command}'`, async () => {
      const { code, stdout, stderr } = await stillpoint([...command.split(' '), '--help']);
      expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
      expect(stdout).to.match(new RegExp(`^Example: stillpoint ${command}\\b`, 'm'));
      for (const option of ['--grid', '--repository', '--output', '--quiet', '--log-level', '--timeout'])
        expect(stdout).to.contain(`${option} `);
    });
  }

  it('reads the catalogue with --repository alone, and makes no repository where there is none', async () => {
    const missing = join(folder.path, 'missing');
    const empty = join(folder.path, 'empty');
    mkdirSync(empty);
    for (const location of [missing, empty]) {
      for (const args of [['list'], ['describe', 'x'], ['verify', 'x'], ['delete', 'x', '--yes']]) {
        const refused = await catalogue(location, ...args);
        expect(refused.code, args.join(' ')).to.equal(3);
        expectFailureAsJson(refused, 'repository-missing', /^there is no repository in /);
      }
    }
    expect(existsSync(missing)).to.equal(false);
    expect(treeOf(empty)).to.have.all.keys('.');
  });

  it('makes a repository when it is told to, once, and never in a directory with other files', async () => {
    const made = join(folder.path, 'made');
    const init = (): Promise<Finished> =>
      stillpoint(['repository', 'init', '--repository', made, '--output', 'json', '--quiet']);
    const [first, second] = [await init(), await init()];
    expect([first.code, second.code]).to.deep.equal([0, 0]);
    const { id } = first.json as { id: string };
    expect(first.json).to.deep.equal({ repository: made, id, made: true });
    expect(second.json).to.deep.equal({ repository: made, id, made: false });
    expect((await catalogue(made, 'list')).json).to.deep.equal({ checkpoints: [] });

    const foreign = await stillpoint(['repository', 'init', '--repository', folder.path, '--output', 'json']);
    expect(foreign.code).to.equal(2);
    expectFailureAsJson(foreign, 'repository-foreign', /it is not empty: it holds /);
  });

  it('reads the catalogue of a repository that holds no checkpoint', async () => {
    const fresh = join(folder.path, 'fresh');
    await (await madeRepository(fresh)).close();
    const listed = await catalogue(fresh, 'list');
    expect({ code: listed.code, json: listed.json, stderr: listed.stderr }).to.deep.equal({
      code: 0,
      json: { checkpoints: [] },
      stderr: '',
    });
    expect(await stillpoint(['checkpoint', 'list', '--repository', fresh])).to.include({
      code: 0,
      stdout: 'no checkpoints\n',
    });
    for (const args of [
      ['describe', 'latest'],
      ['verify', 'x'],
      ['delete', 'x', '--yes'],
    ]) {
      const refused = await catalogue(fresh, ...args);
      expect(refused.code, args.join(' ')).to.equal(2);
      expectFailureAsJson(refused, 'checkpoint-missing', /^the repository has no /);
    }
  });

  it('destroys nothing off a terminal without --yes', async () => {
    const id = await storedCheckpoint();
    const before = treeOf(repository);
    const deleting = await catalogue(repository, 'delete', id);
    expect(deleting.code).to.equal(2);
    expectFailureAsJson(deleting, 'not-confirmed', new RegExp(`^delete checkpoint ${id} for good was not`));
    const restoring = await stillpoint(['restore', id, '--grid', gridFile, '--output', 'json']);
    expect(restoring.code).to.equal(2);
    expectFailureAsJson(
      restoring,
      'not-confirmed',
      /^replace the data of grid orders by .* was not confirmed$/,
    );
    expect(treeOf(repository)).to.deep.equal(before);

    const confirmed = await catalogue(repository, 'delete', 'nightly', '--yes');
    expect(confirmed).to.include({ code: 0, stderr: '' });
    expect(confirmed.json).to.include({ checkpoint: id, deleted: true });
    expect((await catalogue(repository, 'list')).json).to.deep.equal({ checkpoints: [] });
  });

  it('takes the grid file from STILLPOINT_GRID, and its values from the environment', async () => {
    const elsewhere = join(folder.path, 'from-environment');
    await (await madeRepository(elsewhere)).close();
    const named = file('named.yaml', gridText.replace('repository: repository', 'repository: ${STORE}'));
    const env = { STILLPOINT_GRID: named, STORE: elsewhere };
    const listed = await stillpoint(['checkpoint', 'list', '--output', 'json'], env);
    expect(listed.json, listed.stdout).to.deep.equal({ checkpoints: [] });
    // The option goes before the variable.
    const missing = await stillpoint(['checkpoint', 'list', '--grid', '/none.yaml', '--output', 'json'], env);
    expectFailureAsJson(missing, 'bad-configuration', /^\/none\.yaml cannot be read/);
  });

  it('goes on to its result where nobody reads its progress any more', async () => {
    await storedCheckpoint();
    const words = ['checkpoint', 'create', 'x', '--grid', gridFile, '--output', 'json'];
    const child = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    // As `2>&1 | head -1` does.
    child.stderr.destroy();
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));

    expect(said).to.match(/^\{"error":/);
    expect(code).to.be.oneOf([2, 3]);
  });

  function catalogue(location: string, ...args: string[]): Promise<Finished> {
    return stillpoint(['checkpoint', ...args, '--repository', location, '--output', 'json', '--quiet']);
  }
});

/** One line with the fact, in lower case, and one with the remedy; nothing where results go. */
function expectFailureInWords({ stdout, stderr }: Finished, message: RegExp): void {
  expect(stdout).to.equal('');
  const [fact = '', hint, ...others] = stderr.split('\n');
  expect(fact).to.match(/^stillpoint: (?![A-Z])/);
  expect(fact.slice('stillpoint: '.length)).to.match(message);
  expect(hint).to.match(/^hint: \S/);
  expect(others).to.deep.equal(['']);
}

/** One object of the documented shape, on one line, where results go; nothing else anywhere. */
function expectFailureAsJson({ stdout, stderr, json }: Finished, code: string, message: RegExp): void {
  expect(stderr).to.equal('');
  expect(stdout).to.match(/^[^\n]+\n$/);
  const { error, ...others } = json as { error: Record<string, unknown> };
  expect(others).to.deep.equal({});
  expect(ERROR_KEYS).to.include.members(Object.keys(error));
  expect(error).to.include({ code });
  expect(error['message']).to.match(message);
  expect(error['hint']).to.match(/\S/);
}
