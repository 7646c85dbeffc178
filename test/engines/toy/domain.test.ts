import { expect } from 'chai';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport, RestoreReport } from '../../../coordinator/reports.ts';
import type { GridManifest } from '../../../shared/domain/manifest.ts';
import { openRepository } from '../../../shared/repository/open.ts';
import { createGrid, type TestGrid } from '../../lab/grid.ts';
import { Hooks } from '../../lab/hooks.ts';
import { until, type Finished } from '../../lab/processes.ts';
import { heldFile } from './toy-engine.ts';

// Goal: the contract holds for what no real engine here is: members that one of them holds and is copied for, and one
// that is held and never copied. Method: a toy engine of files, in the real agents and guards, and the real command.

const HOSTS = ['127.0.81.1', '127.0.81.2', '127.0.81.3'];
const CLUSTER = ['c1', 'c2', 'c3'];
const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const WITH_TOY = `--import=${new URL('./in-registry.ts', import.meta.url).href}`;

describe('a grid with a domain of three that its lead holds and is copied for, and a member that is only held', () => {
  let grid: TestGrid;
  let hooks: Hooks;
  let report: CheckpointReport;
  let written: string;
  let writing: NodeJS.Timeout;
  let refused = 0;

  const dataOf = (name: string): string => join(grid.root, 'toy', name);
  const entriesOf = (name: string): string => readFileSync(join(dataOf(name), 'entries'), 'utf8');
  const callsOf = (name: string): string => {
    const file = join(dataOf(name), 'calls');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().replaceAll('\n', ', ') : '';
  };

  /** To every replica, unless the domain is held. */
  function write(members: readonly string[], domain: string, line: string): boolean {
    if (existsSync(heldFile(dataOf(members[0] ?? ''), domain))) return false;
    for (const member of members) appendFileSync(join(dataOf(member), 'entries'), `${line}\n`);
    return true;
  }

  function run(...args: string[]): Promise<Finished> {
    return grid.run([...args, ...JSON_OUTPUT]);
  }

  async function manifest(): Promise<GridManifest> {
    return (await openRepository(grid.repository)).readCheckpoint(grid.name, report.checkpoint);
  }

  before(async () => {
    grid = await createGrid({ hosts: HOSTS, copysets: [], native: [] });
    hooks = new Hooks(join(grid.root, 'hooks'));
    for (const [index, host] of grid.hosts.entries()) {
      const here = [CLUSTER[index] ?? '', ...(index === 0 ? ['solo'] : [])];
      const lines = here.map((name) => {
        mkdirSync(dataOf(name), { recursive: true });
        writeFileSync(join(dataOf(name), 'running'), `${name} first`);
        writeFileSync(join(dataOf(name), 'entries'), 'begun\n');
        const [copyset, domain, copies] =
          name === 'solo' ? ['', 'solo', 'nobody'] : ['copyset: cluster, ', 'cluster', 'one'];
        return `  - { name: ${name}, role: node, ${copyset}address: "${host.address}:1${index}${name.length}", engine: toy, data: ${dataOf(name)}, domain: ${domain}, copies: ${copies} }`;
      });
      const file = readFileSync(host.configuration, 'utf8');
      await grid.killAgent(index);
      writeFileSync(host.configuration, file.replace('members: []', ['members:', ...lines].join('\n')));
      const options = `${process.env['NODE_OPTIONS'] ?? ''} ${WITH_TOY}`;
      await grid.startAgent(index, { ...hooks.env, NODE_OPTIONS: options });
    }
    for (const name of ['c2', 'solo']) writeFileSync(join(dataOf(name), 'lead'), '');
    let line = 0;
    writing = setInterval(() => {
      line += 1;
      if (!write(CLUSTER, 'cluster', `${line}`)) refused += 1;
    }, 1);
  });

  after(async () => {
    clearInterval(writing);
    await grid?.close();
  });

  it('has a checkpoint for which the lead alone was held, and gave the data of all', async () => {
    await until('writes', () => entriesOf('c1').length > 100);
    hooks.hold('marked', 'c2');
    const creation = grid.begin(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
    await hooks.reachedBy(creation, 'marked', 'c2');
    await until('a write that is refused while the domain is held', () => refused > 0);
    hooks.release('marked', 'c2');
    const { code, stdout, stderr } = await creation.finished;
    expect(code, stderr + stdout).to.equal(0);
    report = JSON.parse(stdout) as CheckpointReport;
    clearInterval(writing);
    written = entriesOf('c1');

    expect(report.members.map(({ name, state }) => `${name} ${state}`)).to.have.members([
      'c1 covered',
      'c2 captured',
      'c3 covered',
      'solo held',
    ]);
    expect([callsOf('c1'), callsOf('c2'), callsOf('c3'), callsOf('solo')]).to.deep.equal([
      '',
      'arm lead, freeze, thaw, copy',
      '',
      'arm member, freeze, thaw',
    ]);
    expect(CLUSTER.map((name) => existsSync(heldFile(dataOf(name), 'cluster')))).to.not.include(true);
  });

  it('has a manifest that says who held and what was copied, and a mark of none that did not hold', async () => {
    const { members, journalMap } = await manifest();
    const told = members.map(({ name, assignment: { hold, part }, mark, sizeBytes }) => [
      name,
      hold,
      part,
      mark === null,
      sizeBytes === 0,
    ]);
    expect(told).to.have.deep.members([
      ['c1', 'none', 'none', true, true],
      ['c2', 'lead', 'whole', false, false],
      ['c3', 'none', 'none', true, true],
      ['solo', 'member', 'none', false, true],
    ]);
    expect(members.find(({ name }) => name === 'c1')?.incarnation).to.equal('c1 first');
    expect(journalMap).to.deep.equal({});
    expect(report.warnings.join('\n')).to.match(/solo.*nothing of it is copied/);
    const [verified, described] = await Promise.all(
      ['verify', 'describe'].map((word) => grid.run(['checkpoint', word, report.checkpoint])),
    );
    expect(verified?.code).to.equal(0);
    expect(verified?.stdout).to.contain('no damage; nothing of solo was copied, only held still');
    expect(described?.stdout.match(/held by its lead/g)).to.have.length(2);
    expect(described?.stdout.match(/no journal/g)).to.have.length(2);
  });

  it('is restored on every member of the domain from the one copy, and not at all where the rest differs', async () => {
    for (const name of CLUSTER) writeFileSync(join(dataOf(name), 'entries'), 'lost\n');
    appendFileSync(join(dataOf('solo'), 'entries'), 'after the mark\n');

    const differs = await run('restore', report.checkpoint, '--stop', '--yes');
    expect(differs.code, differs.stdout).to.equal(3);
    expect(differs.stdout).to.contain('toy-differs');
    expect(CLUSTER.map(entriesOf)).to.deep.equal(['lost\n', 'lost\n', 'lost\n']);
    expect(existsSync(join(dataOf('c1'), 'running')), 'nothing was stopped').to.equal(true);

    // Its owner puts back what stood at the mark.
    writeFileSync(join(dataOf('solo'), 'entries'), 'begun\n');
    const { code, stdout, stderr } = await run('restore', report.checkpoint, '--stop', '--yes');
    expect(code, stderr + stdout).to.equal(0);
    const restored = JSON.parse(stdout) as RestoreReport;
    const { mark } = (await manifest()).members.find(({ name }) => name === 'c2') ?? { mark: null };
    const atMark = written.slice(0, Number(mark?.position));
    expect(atMark.length).to.be.greaterThan(100);
    expect(CLUSTER.map(entriesOf)).to.deep.equal([atMark, atMark, atMark]);
    expect(entriesOf('solo')).to.equal('begun\n');
    expect(restored.warnings.join('\n')).to.match(/solo.*only has its mark: 6/);
    for (const name of [...CLUSTER, 'solo'])
      expect(readFileSync(join(dataOf(name), 'running'), 'utf8')).to.not.match(/first/);
  });

  it('lets go of all of it when the lead cannot hold', async () => {
    writeFileSync(join(dataOf('c2'), 'refuses'), '');
    const { code, stdout } = await run('checkpoint', 'create', 'again');
    rmSync(join(dataOf('c2'), 'refuses'));
    expect(code, stdout).to.equal(4);
    expect(stdout).to.contain('toy-refused');
    expect(write(CLUSTER, 'cluster', 'goes on')).to.equal(true);
    expect(write(['solo'], 'solo', 'goes on')).to.equal(true);
  });

  it('is copied by another lead where the first is down', async () => {
    rmSync(join(dataOf('c2'), 'running'));
    rmSync(join(dataOf('c2'), 'lead'));
    writeFileSync(join(dataOf('c3'), 'lead'), '');
    const { code, stdout, stderr } = await run('checkpoint', 'create', 'later');
    expect(code, stderr + stdout).to.equal(0);
    report = JSON.parse(stdout) as CheckpointReport;
    expect(report.absent).to.deep.equal(['c2']);
    expect(callsOf('c3')).to.equal('arm lead, freeze, thaw, copy');

    const expected = entriesOf('c3');
    for (const name of CLUSTER) writeFileSync(join(dataOf(name), 'entries'), 'lost\n');
    const restored = await run('restore', report.checkpoint, '--stop', '--yes');
    expect(restored.code, restored.stdout + restored.stderr).to.equal(0);
    expect(CLUSTER.map(entriesOf)).to.deep.equal([expected, expected, expected]);
  });
});
