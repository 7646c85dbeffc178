import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { completeCheckpoints } from '../../../agent/engines/native/local-checkpoint.ts';
import type { CheckpointReport, DoctorReport, RestoreReport } from '../../../coordinator/reports.ts';
import { CausalClients, checkOrder, UNHURRIED } from '../../lab/causal-clients.ts';
import { Hooks } from '../../lab/hooks.ts';
import { until } from '../../lab/processes.ts';
import { expectNextCheckpoint, expectUntouched } from '../../lab/reference-checks.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { referenceShards } from '../../lab/shards.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { treeOf, type Tree } from '../../lab/trees.ts';

// Goal: a set of files that is not whole is found out, one that grows while it is captured is whole all the same, and a
// restore that is cut short leaves the old grid as it was.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const HOSTS = ['127.0.62.1', '127.0.62.2'];
const OTHERS = ['127.0.63.1', '127.0.63.2'];
const MAPS = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);
const SMALL = { copysets: { a: 2, b: 1 }, keepers: 1, satellites: 0, proxies: 1 };

describe('the files of a checkpoint', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let lab: ReferenceLab;

  before(async () => {
    const processOptions = ['--journal-bytes', '8000'];
    lab = await createReferenceLab({ hosts: HOSTS, ...SMALL, processOptions, env: hooks.env });
  });

  beforeEach(() => hooks.reset());

  after(async () => {
    await lab?.close();
    folder.remove();
  });

  const dataOf = (name: string): string => lab.reference.process(name).dataDirectory;
  const placeOf = (name: string, checkpoint: string): string => join(dataOf(name), 'checkpoints', checkpoint);

  async function doctor(): Promise<{ code: number | null; found: string[] }> {
    const { code, json } = await lab.grid.run(['grid', 'doctor', '--output', 'json']);
    const differing = (json as DoctorReport).findings.filter(
      ({ failure }) => failure.code === 'metadata-differs',
    );
    return { code, found: differing.map(({ failure }) => `${failure.member}: ${failure.message}`) };
  }

  describe('beside the live data', () => {
    let first: CheckpointReport;

    before(async () => {
      first = await expectNextCheckpoint(lab);
    });

    it('are known by the doctor when the metadata of two nodes differs, file by file [S36]', async () => {
      expect((await doctor()).found).to.deep.equal([]);
      const room = join(placeOf('a2', first.checkpoint), 'metadata');
      const keeper = join(room, 'statekeeper-recovery/k1');
      const definition = join(room, 'realm-definition.json');
      const kept = [keeper, definition].map((file) => readFileSync(file));
      writeFileSync(keeper, `${kept[0]?.toString('latin1')} `);
      rmSync(definition);
      try {
        const { code, found } = await doctor();
        expect(code).to.equal(3);
        expect(found).to.have.length(2);
        for (const file of [keeper, definition])
          expect(found.some((line) => line.startsWith('a2: ') && line.includes(file))).to.equal(true);
      } finally {
        for (const [index, file] of [keeper, definition].entries())
          writeFileSync(file, kept[index] ?? Buffer.alloc(0));
      }
      expect((await doctor()).found).to.deep.equal([]);
    });

    it('are no checkpoint without the marker, and gone after the next one', async () => {
      rmSync(join(placeOf('a1', first.checkpoint), 'grid.json'));
      expect(await completeCheckpoints(dataOf('a1'))).to.deep.equal([]);
      expect(await completeCheckpoints(dataOf('a2'))).to.deep.equal([first.checkpoint]);
      const next = await expectNextCheckpoint(lab);
      expect(readdirSync(join(dataOf('a1'), 'checkpoints'))).to.deep.equal([next.checkpoint]);
    });
  });

  describe('on other hosts', () => {
    let other: ReferenceLab;
    let clients: CausalClients;
    let began: number;

    before(async () => {
      other = await createReferenceLab({ hosts: OTHERS, ...SMALL, beside: lab, env: hooks.env });
    });

    after(async () => {
      await clients?.stop();
      await other?.close();
    });

    const restore = (...more: string[]): string[] => [
      'restore',
      'rotating',
      '--yes',
      ...JSON_OUTPUT,
      ...MAPS,
      ...more,
    ];
    const journalsOf = (name: string): string[] => readdirSync(join(dataOf(name), 'live/journal')).toSorted();

    /** The node begins so many journal files more. */
    async function rotates(name: string, times: number): Promise<void> {
      const last = journalsOf(name).at(-1) ?? '';
      await until(`${name} to rotate`, () => journalsOf(name).filter((file) => file > last).length >= times);
    }

    it('have all rows, though journals rotate while it is prepared, thawed and collected', async () => {
      clients = await CausalClients.start(referenceShards(lab.reference, ['a', 'b']), 4, UNHURRIED);
      hooks.hold('prepared', 'a1');
      hooks.hold('thawing', 'a2');
      hooks.hold('released', 'b1');
      const command = lab.grid.begin(['checkpoint', 'create', 'rotating', ...JSON_OUTPUT]);
      await hooks.reachedBy(command, 'prepared', 'a1');
      await rotates('a1', 3);
      await rotates('b1', 3);
      began = performance.now();
      hooks.release('prepared', 'a1');
      await hooks.reached('thawing', 'a2');
      await hooks.reached('released', 'b1');
      hooks.release('thawing', 'a2');
      await rotates('a1', 2);
      await rotates('b1', 2);
      hooks.release('released', 'b1');
      const { code, stdout, stderr } = await command.finished;
      expect(code, stdout + stderr).to.equal(0);
      const { checkpoint, members } = JSON.parse(stdout) as CheckpointReport;
      for (const name of ['a1', 'a2', 'b1']) {
        const files = readdirSync(join(placeOf(name, checkpoint), 'data/journal')).toSorted();
        const numbers = files.map((file) => Number.parseInt(file, 10));
        const [lowest = 0] = numbers;
        expect(numbers, name).to.deep.equal(numbers.map((_, index) => lowest + index));
        expect(files.length, name).to.be.greaterThan(3);
        const mark = members.find((member) => member.name === name)?.mark ?? '';
        expect(files.at(-1), name).to.equal(mark.slice(0, mark.lastIndexOf(':')));
      }
      await clients.stop();
      const restored = await other.grid.run(restore());
      expect(restored.code, restored.stdout + restored.stderr).to.equal(0);
      expect((restored.json as RestoreReport).verified).to.equal(true);
      const order = await checkOrder(referenceShards(other.reference, ['a', 'b']), clients.writes, began);
      expect(order).to.include({ missing: 0, withoutCause: 0 });
      expect(order.found).to.be.greaterThan(100);
    });

    /** Of every process that has one: what a restore would replace. */
    function liveTrees(): Record<string, Tree> {
      const withLive = other.reference.processes.filter(({ dataDirectory }) =>
        existsSync(join(dataDirectory, 'live')),
      );
      return Object.fromEntries(
        withLive.map(({ name, dataDirectory }) => [name, treeOf(join(dataDirectory, 'live'))]),
      );
    }

    async function expectRolledBack(before: Record<string, Tree>): Promise<void> {
      hooks.reset();
      await other.grid.expectUntouched();
      expect(other.reference.processes.filter(({ running }) => running)).to.deep.equal([]);
      expect(liveTrees()).to.deep.equal(before);
      for (const { dataDirectory } of other.reference.processes)
        expect(readdirSync(dataDirectory).filter((name) => name.includes('stillpoint'))).to.deep.equal([]);
    }

    describe('are put in place whole or not at all', () => {
      let trees: Record<string, Tree>;

      before(async () => {
        const client = other.reference.client();
        for (const copyset of ['a', 'b']) await client.put('later', 'row', 'of the old grid', copyset);
        client.close();
        await Promise.all(other.reference.processes.map((process) => process.stop()));
        trees = liveTrees();
        expect(trees).to.include.all.keys('realm', 'k1', 'a1', 'a2', 'b1');
      });

      for (const moment of ['staged', 'switched', 'started']) {
        it(`when an agent is killed while a node is '${moment}'`, async () => {
          hooks.hold(moment, 'a1');
          const command = other.grid.begin(restore());
          await hooks.reachedBy(command, moment, 'a1');
          await other.grid.killAgent(0);
          hooks.reset();
          await other.grid.startAgent(0);
          const { code, stdout } = await command.finished;
          expect(code, stdout).to.equal(7);
          await expectRolledBack(trees);
        });
      }

      it("when the coordinator is killed while a node is 'verified'", async () => {
        hooks.hold('verified', 'a1');
        const command = other.grid.begin(restore());
        await hooks.reachedBy(command, 'verified', 'a1');
        command.signal('SIGKILL');
        await command.finished;
        hooks.reset();
        await until('every process to be stopped', () =>
          other.reference.processes.every(({ running }) => !running),
        );
        await expectRolledBack(trees);
      });

      it('and come back right after all that', async () => {
        const restored = await other.grid.run(restore());
        expect(restored.code, restored.stdout + restored.stderr).to.equal(0);
        const order = await checkOrder(referenceShards(other.reference, ['a', 'b']), clients.writes, began);
        expect(order).to.include({ missing: 0, withoutCause: 0 });
        await expectUntouched(other);
      });
    });
  });
});
