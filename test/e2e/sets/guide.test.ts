import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HeldGrid } from '../../../coordinator/jobs/hold-report.ts';
import { documentedBlocks, documentedCommands } from '../../lab/documented-commands.ts';
import type { History, Moment } from '../../lab/history.ts';
import { until } from '../../lab/processes.ts';
import { programFile } from '../../lab/programs.ts';
import { SetsLab } from '../../lab/sets-lab.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: whoever copies the commands of docs/sharded-cluster.md, one after another, gets what the page says. Method: they are
// read from the page and given to a shell as they stand, on a grid of nodes of the contract with clients; only names,
// addresses and directories are those of the lab, and ssh leads to the one machine that all hosts are. The page's
// recipes, which need tools and disks of their own, have tests of their own; PostgreSQL has postgres.test.ts.

const PAGE = 'docs/sharded-cluster.md';
const LEFT_TO_OTHERS = ['Recipes'];
const HOSTS = ['127.0.83.1', '127.0.83.2'];
/** By the names of the page. */
const NODES = { 'orders-1a': 'a1', 'orders-2a': 'b1' };

describe('the commands of the page on backups with tools of your own', function () {
  this.timeout(300_000);
  let lab: SetsLab;
  let history: History;
  const folder = temporaryFolder('guide');
  const given = new Set<string>();

  before(async () => {
    lab = await SetsLab.launch(HOSTS);
    ({ history } = lab);
    for (const place of ['bin', 'run', 'log']) mkdirSync(join(folder.path, place));
    program('stillpoint', `exec '${process.execPath}' '${programFile('coordinator/main.ts')}' "$@"`);
    program(
      'ssh',
      'case $1 in alpha.example | beta.example) shift; exec sh -c "$*" ;; *) echo "no host $1" >&2; exit 255 ;; esac',
    );
    program('snapshot-all', `echo "$STILLPOINT_JOB $STILLPOINT_NUMBER" > '${folder.path}/snapshot'`);
    const [copyAll = ''] = documentedBlocks(PAGE, 'Approach 2: copies while all is quiesced', 'sh');
    writeFileSync(join(folder.path, 'bin/copy-all'), `${here(copyAll)}\n`, { mode: 0o755 });
  });

  afterEach(() => history?.stop());
  after(async () => {
    await lab?.close();
    folder.remove();
  });

  function program(name: string, line: string): void {
    const path = join(folder.path, 'bin', name);
    writeFileSync(path, `#!/bin/sh\n${line}\n`);
    chmodSync(path, 0o755);
  }

  /** A line of the page, with the names and places of the lab. */
  function here(line: string): string {
    let text = line
      .replaceAll('/usr/local/bin/', `${folder.path}/bin/`)
      .replaceAll('/run/', `${folder.path}/run/`)
      .replaceAll('/var/log/', `${folder.path}/log/`);
    for (const [name, member] of Object.entries(NODES))
      text = text
        .replaceAll(`/var/lib/${name}`, lab.data(member))
        .replaceAll(`/srv/images/${name}`, lab.images(member))
        .replaceAll(name, member);
    return text;
  }

  /** Gives a line of the page to a shell; what it printed. `words`: what stands for a word that the reader fills in. */
  async function give(line: string, words: Readonly<Record<string, string>> = {}): Promise<string> {
    given.add(line);
    const filled = Object.entries(words).reduce(
      (text, [word, value]) => text.replace(new RegExp(`\\b${word}\\b`), value),
      here(line),
    );
    return shell(filled);
  }

  async function shell(line: string): Promise<string> {
    const child = spawn('sh', ['-c', line], {
      cwd: folder.path,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        PATH: `${folder.path}/bin:${process.env['PATH']}`,
        STILLPOINT_GRID: lab.lab.grid.gridFile,
      },
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    expect(code, `${line}\n${stdout}${stderr}`).to.equal(0);
    return stdout;
  }

  function blocksOf(section: string): string[][] {
    return documentedCommands(PAGE, section);
  }

  /** Runs a block from its first line to its last, while clients write; when, and what the last line printed. */
  async function block(lines: readonly string[]): Promise<Moment & { readonly said: string }> {
    let said = '';
    await history.begin();
    const before = performance.now();
    for (const line of lines) said = await give(line);
    const after = performance.now();
    await history.more();
    return { before, after, said };
  }

  /** By the commands of the page, with the id that `set describe` has named. */
  async function bringBack(set: string, { before, after, said }: Moment & { said: string }): Promise<void> {
    const id = new RegExp(`stillpoint restore (\\S+) --set ${set}$`, 'm').exec(said)?.[1];
    expect(id, said).to.be.a('string');
    await history.stop();
    for (const line of blocksOf('Bringing them back')[0] ?? [])
      await give(line, { ID: id ?? '', monday: set });
    await lab.lab.reference.healthy();
    const shown = await history.compare({ before, after });
    expect(shown).to.include({ missing: 0, withoutCause: 0, lateShown: 0 });
    expect(shown.late).to.be.greaterThan(50);
  }

  it('hold the grid, and let go of it', async () => {
    const [[quiesce = '', freeze = '', mark = ''] = [], [...more] = []] = blocksOf('Holding a grid');
    await give(quiesce);
    expect(readFileSync(join(folder.path, 'snapshot'), 'utf8')).to.match(/^\S+ 1\n$/);
    // Without a name of a set: what it makes lies below the images all the same.
    await give(freeze);
    expect(JSON.parse(await give(mark))).to.include({ purpose: 'journalCheckpoint', state: 'resumed' });
    const [info, log] = [join(folder.path, 'run/held.json'), join(folder.path, 'log/held.log')];
    const ended = async (purpose: string): Promise<void> => {
      await until('the job to have ended', () =>
        new RegExp(`^${purpose} [^]*resumed`, 'm').test(readFileSync(log, 'utf8')),
      );
    };
    const [held = '', resume = '', frozen = '', thaw = '', list = ''] = more;
    await give(held);
    expect(existsSync(info)).to.equal(true);
    const { job } = JSON.parse(readFileSync(info, 'utf8')) as HeldGrid;
    await give(resume, { TOKEN: job });
    await ended('quiesce');
    await give(frozen);
    await give(thaw);
    await ended('freeze');
    expect((await give(list)).match(/_(quiesce|freeze|journal-checkpoint)\b/g)).to.have.length(5);
  });

  it('tell of sets: begun, ended, added, described, listed and forgotten', async () => {
    const [[begin = '', end = '', add = '', describe = '', list = '', forget = ''] = []] =
      blocksOf('Backup sets');
    await give(begin);
    await shell(`stillpoint freeze -- sh -c "${lab.copyLine(['a1'], 'nightly')}"`);
    await shell(`stillpoint freeze -- sh -c "${lab.copyLine(['a1'], '2026-11-20')}"`);
    await give(end);
    await give(add);
    expect(await give(describe)).to.include('nightly');
    expect(await give(list))
      .to.include('nightly')
      .and.include('weekly');
    await give(forget);
    expect(await give(list)).not.to.include('weekly');
    expect(existsSync(join(lab.images('a1'), '2026-11-20'))).to.equal(true);
  });

  it('bring back copies of any time, to a journal checkpoint after them [S57]', async () => {
    const [lines = []] = blocksOf('Approach 1: copies of any time, then a journal checkpoint');
    const mark = lines.findIndex((line) => line.includes('journal-checkpoint'));
    await block(lines.slice(0, mark));
    await history.stop();
    await bringBack('monday', await block(lines.slice(mark)));
  });

  it('bring back copies that were made while all was quiesced, and such of nodes that were shut down [S60] [S61]', async () => {
    const [quiesced = [], cold = []] = blocksOf('Approach 2: copies while all is quiesced');
    await bringBack('tuesday', await block(quiesced));
    await history.begin();
    await history.stop();
    const nodes = Object.values(NODES).map((name) => lab.lab.reference.process(name));
    await Promise.all(nodes.map((node) => node.stop()));
    let said = '';
    const before = performance.now();
    for (const line of cold) said = await give(line);
    await Promise.all(nodes.map((node) => node.start()));
    await lab.lab.reference.healthy();
    const after = performance.now();
    await history.begin();
    await bringBack('cold', { before, after, said });
  });

  it('bring back copies that were made while all was frozen [S64]', async () => {
    const [lines = []] = blocksOf('Approach 3: copies while all is frozen');
    await bringBack('wednesday', await block(lines));
  });

  it('are all of those on the page', () => {
    const text = readFileSync(PAGE, 'utf8');
    const sections = [...text.matchAll(/^## (.*)$/gm)].map(([, section = '']) => section);
    const blocks = sections
      .filter((section) => !LEFT_TO_OTHERS.includes(section))
      .flatMap((section) => [...blocksOf(section).flat(), ...documentedBlocks(PAGE, section, 'sh')]);
    const [copyAll = ''] = documentedBlocks(PAGE, 'Approach 2: copies while all is quiesced', 'sh');
    given.add(copyAll);
    expect(blocks.filter((line) => !given.has(line))).to.deep.equal([]);
    expect(blocks.length).to.be.greaterThan(25);
  });
});
