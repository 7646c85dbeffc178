import { expect } from 'chai';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DrillReport } from '../../coordinator/drill/report.ts';
import type { CheckpointReport, RestoreReport } from '../../coordinator/reports.ts';
import { parseGridManifest } from '../../shared/repository/manifest-schema.ts';
import { runSuite } from '../conformance/suite.ts';
import { CausalClients, checkOrder, UNHURRIED } from '../lab/causal-clients.ts';
import { createGrid, type NativeMember, type TestGrid } from '../lab/grid.ts';
import { freePort } from '../lab/ports.ts';
import { until } from '../lab/processes.ts';
import { postgresShards, TABLE_SQL } from '../lab/shards.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { exampleNodes, type ExampleNode } from './example-nodes.ts';
import { exampleShard } from './example-shards.ts';

// Goal: whoever begins with a node of docs/examples has one that keeps the contract, and nodes of the contract are a grid
// by themselves, beside servers of another engine. Method: each is run as its head says, against the suite; then all
// of them are one grid, captured, drilled and brought back in another place by the real commands.

const CLIENT = fileURLToPath(new URL('../conformance/model/client', import.meta.url));
const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const HOSTS = ['127.0.47.1', '127.0.47.2'];
const OTHERS = ['127.0.48.1', '127.0.48.2'];
const MAPS = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);
const nodes = await exampleNodes();

for (const node of nodes) {
  describe(`the node in ${node.language}`, function () {
    this.timeout(180_000);
    const folder = temporaryFolder('example');
    const [data, socket] = [join(folder.path, 'data'), join(folder.path, 'p.sock')];
    const command = (at: { data: string; socket: string }): string[] =>
      node.command({ grid: 'orders', name: 'n1', copyset: 'a', address: '127.0.0.1:0', ...at });
    let running: ChildProcess;

    before(async () => {
      mkdirSync(data);
      running = started(command({ data, socket }));
      await once(running.stdout ?? running, 'data');
    });

    after(() => {
      running.kill('SIGKILL');
      folder.remove();
    });

    it('keeps every promise that the suite can see', async () => {
      const client = (verb: string, ...more: string[]): string[] => [CLIENT, verb, '{data}', ...more];
      const { verdicts } = await runSuite({
        target: `unix:${socket}`,
        programs: {
          writer: client('write', '{from}'),
          reader: client('read'),
          busy: client('busy'),
          start: command({ data: '{data}', socket: '{socket}' }),
        },
        pace: { leaseMs: 200, holdMs: 100 },
        sequences: { seed: 1, runs: 8 },
        epoch: 1,
      });
      const others = verdicts.filter(
        ({ result, seen }) => result !== 'kept' && seen !== 'no promise of a node',
      );
      expect(others).to.deep.equal([]);
    });

    it('is written in files that can be read at one sitting', () => {
      const files = join(
        fileURLToPath(new URL('../../docs/examples', import.meta.url)),
        node.language.toLowerCase(),
      );
      for (const name of readdirSync(files).filter((file) => /\.(py|go)$/.test(file)))
        expect(readFileSync(join(files, name), 'utf8').split('\n').length, name).to.be.at.most(300);
    });
  });
}

function started([program = '', ...args]: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** A place for each example node, on hosts in turn. Nothing runs there yet. */
async function placed(folder: string, hosts: readonly string[]): Promise<NativeMember[]> {
  return Promise.all(
    nodes.map(async (node: ExampleNode, index) => {
      const host = hosts[index % hosts.length] ?? '';
      const name = `n${index}`;
      const copyset = `c${index}`;
      const [data, socket] = [join(folder, host, name), join(folder, `${host}-${name}.sock`)];
      mkdirSync(data, { recursive: true });
      const address = `${host}:${await freePort(host)}`;
      return {
        name,
        role: 'node',
        copyset,
        host,
        address,
        dataDirectory: data,
        participant: `unix:${socket}`,
        startCommand: node.command({ grid: 'orders', name, copyset, address, data, socket }),
        stopCommand: ['pkill', '-f', socket],
      };
    }),
  );
}

if (nodes.length > 0)
  describe('a grid of example nodes without a realm, beside a PostgreSQL server', function () {
    this.timeout(180_000);
    const folder = temporaryFolder('examples');
    let here: NativeMember[] = [];
    let there: NativeMember[] = [];
    let grid: TestGrid;
    let other: TestGrid;
    let clients: CausalClients;
    let report: CheckpointReport;
    let began: number;
    const order = (): string[] => [...here.map(({ copyset }) => copyset ?? ''), 'shard'].reverse();

    before(async () => {
      here = await placed(folder.path, HOSTS);
      there = await placed(folder.path, OTHERS);
      for (const { startCommand } of here) await once(started(startCommand).stdout ?? process, 'data');
      const options = { copysets: [{ name: 'shard', hosts: [0] }], withoutRealm: order() };
      grid = await createGrid({ ...options, hosts: HOSTS, native: here });
      other = await createGrid({
        ...options,
        hosts: OTHERS,
        native: there,
        beside: grid,
        empty: true,
        memberLines: () => ['drill: true'],
      });
      const [primary] = grid.primaries;
      await primary?.server.query(TABLE_SQL);
      clients = await CausalClients.start(shards(here, grid), 4, UNHURRIED);
      await until('writes', () => clients.writes.length > 300);
    });

    after(async () => {
      await clients?.stop();
      await other?.close();
      await grid?.close();
      for (const { participant } of [...here, ...there])
        spawnSync('pkill', ['-KILL', '-f', participant.slice('unix:'.length)]);
      folder.remove();
    });

    const shards = (members: readonly NativeMember[], at: TestGrid) => [
      ...members.map(({ address }) => exampleShard(address)),
      ...postgresShards(at.primaries.map(({ server }) => server.url)),
    ];

    it('is healthy, as status and doctor see it', async () => {
      for (const look of ['status', 'doctor']) {
        const { code, stdout, stderr } = await grid.run(['grid', look]);
        expect(code, stdout + stderr).to.equal(0);
      }
    });

    it('is captured while its clients write, with its copysets in the order of the grid file', async () => {
      began = performance.now();
      const { code, stdout, stderr } = await grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
      expect(code, stderr + stdout).to.equal(0);
      report = JSON.parse(stdout) as CheckpointReport;
      expect(report.journalMap).to.include.all.keys(here.map(({ address }) => address));
      for (const { dataDirectory } of here) {
        const copy = join(dataDirectory, 'checkpoints', report.checkpoint);
        expect(readdirSync(copy)).to.deep.equal(['data', 'grid.json', 'member.json']);
        const { copysets } = parseGridManifest(readFileSync(join(copy, 'grid.json'), 'utf8'), 'grid.json');
        expect(copysets).to.deep.equal(order());
      }
    });

    it('is refused without the key of the grid file, which the hint names', async () => {
      const text = readFileSync(grid.gridFile, 'utf8');
      writeFileSync(grid.gridFile, text.replace('realm: none\n', ''));
      try {
        const { code, stdout } = await grid.run(['checkpoint', 'create', 'without', ...JSON_OUTPUT]);
        expect(code).to.equal(3);
        expect((JSON.parse(stdout) as { error: { code: string; hint: string } }).error)
          .to.include({ code: 'realm-unreachable' })
          .and.have.property('hint')
          .that.contains('realm: none');
      } finally {
        writeFileSync(grid.gridFile, text);
      }
    });

    it('has the plan of a restore elsewhere, and a drill of it that leaves nothing', async () => {
      const plan = await other.run(['restore', 'nightly', ...MAPS, '--dry-run', ...JSON_OUTPUT]);
      expect(plan.code, plan.stdout).to.equal(0);
      expect((plan.json as RestoreReport).relocations).to.deep.equal([]);
      const drill = await other.run(['drill', 'nightly', ...MAPS, ...JSON_OUTPUT]);
      expect(drill.code, drill.stdout).to.equal(0);
      expect((drill.json as DrillReport).members.map(({ name }) => name)).to.have.length(here.length + 1);
      for (const { dataDirectory } of there) expect(existsSync(join(dataDirectory, 'live'))).to.equal(false);
    });

    it('comes back there with nothing missing and nothing out of order', async () => {
      const { code, stdout, stderr } = await other.run([
        'restore',
        'nightly',
        ...MAPS,
        '--yes',
        ...JSON_OUTPUT,
      ]);
      expect(code, stderr + stdout).to.equal(0);
      expect((JSON.parse(stdout) as RestoreReport).verified).to.equal(true);
      await clients.stop();
      const found = await checkOrder(shards(there, other), clients.writes, began);
      expect(found).to.include({ missing: 0, withoutCause: 0 });
      expect(found.found).to.be.greaterThan(100);
    });

    it('goes on there in a higher epoch after a failover, with nobody else to know it', async () => {
      const raised = await other.run(['grid', 'failover', '--yes', ...JSON_OUTPUT]);
      expect(raised.code, raised.stdout).to.equal(0);
      const { code, stdout } = await other.run(['checkpoint', 'create', 'after', ...JSON_OUTPUT]);
      expect(code, stdout).to.equal(0);
      expect((JSON.parse(stdout) as CheckpointReport).checkpoint).to.match(/_00000001_00000002_after$/);
    });
  });
