import { expect } from 'chai';
import * as http from 'node:http';
import { join } from 'node:path';
import { InfinispanServer } from '../../../agent/engines/infinispan/server/infinispan-server.ts';
import { ClusterTurn } from '../../../agent/engines/infinispan/server/cluster-turn.ts';
import { clientName } from '../../../agent/engines/infinispan/server/rest.ts';
import type { ServerSettings } from '../../../agent/engines/infinispan/server/settings.ts';
import { askerOf, type Worker } from '../../../agent/engines/infinispan/server/worker.ts';
import { failureOf } from '../../../shared/domain/errors.ts';
import { BACKUP } from '../../documents/documents.ts';
import { documented, DocumentsLab } from '../../lab/documents-lab.ts';
import { createGrid, type TestGrid } from '../../lab/grid.ts';
import { Hooks } from '../../lab/hooks.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: servers make one backup at a time, and confuse two; so of checkpoints and documents of one cluster one waits for the
// other, whoever of them is first, and whoever is killed keeps nobody waiting. Method: two real servers; the agent that
// has them as members and the agent that keeps documents know nothing of each other, and have the cluster alone in common.

const MEMBERS = '127.0.85.1';
const DOCUMENTS = '127.0.85.2';

describe('checkpoints and documents of one Infinispan cluster, through agents of two grids', () => {
  const folder = temporaryFolder('turns');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  let cluster: InfinispanCluster;
  let grid: TestGrid;
  let lab: DocumentsLab;

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({
      name: 'shared',
      address: () => MEMBERS,
      container: '<distributed-cache name="orders" mode="SYNC"/>',
      heapMB: 192,
    });
    grid = await createGrid({
      hosts: [MEMBERS],
      copysets: [],
      clusters: [{ copyset: 'cache', nodes: cluster.nodes }],
      withoutRealm: ['cache'],
      env: hooks.env,
    });
    lab = await DocumentsLab.start({
      host: DOCUMENTS,
      clusters: [await documented('source-cluster', cluster)],
    });
    await lab.restartAgent();
  });

  after(async () => {
    await lab?.grid.close();
    await grid?.close();
    await cluster?.remove();
    folder.remove();
  });

  // Nobody is held on, whatever became of a test.
  afterEach(() => {
    hooks.reset();
    lab?.hooks.reset();
  });

  const apply = async (name: string): Promise<void> => {
    const { code, stderr } = await lab.apply(BACKUP.replace('my-backup', name));
    expect(code, stderr).to.equal(0);
  };
  const succeeds = async (name: string): Promise<void> => {
    const { status } = await lab.ended('backup', name);
    expect(status.phase, status.reason).to.equal('Succeeded');
  };

  it('have the checkpoint wait for the document, with a word, and both are good [S96]', async () => {
    lab.hooks.hold('documentRunning', 'first');
    await apply('first');
    await lab.hooks.reached('documentRunning', 'first', 120_000);
    const created = grid.begin(['checkpoint', 'create', 'second']);
    await until('it to wait', () => created.stderr().includes('document Backup/first'), 60_000);
    lab.hooks.release('documentRunning', 'first');
    await succeeds('first');
    const { code, stderr, stdout } = await created.finished;
    expect(code, stderr + stdout).to.equal(0);
  }).timeout(240_000);

  it('have the document wait for the checkpoint, with a word, and both are good [S112]', async () => {
    hooks.hold('prepared', 'cache-n1');
    const created = grid.begin(['checkpoint', 'create', 'first']);
    await hooks.reachedBy(created, 'prepared', 'cache-n1');
    await apply('second');
    await until('it to say why it waits', () => lab.kept('backup', 'second').status.reason !== undefined);
    expect(lab.kept('backup', 'second').status.reason).to.match(/^waits for checkpoint \S+_first$/);
    expect(lab.kept('backup', 'second').status.phase).to.equal('Initializing');
    hooks.release('prepared', 'cache-n1');
    const { code, stderr, stdout } = await created.finished;
    expect(code, stderr + stdout).to.equal(0);
    await succeeds('second');
  }).timeout(240_000);

  it('have nobody wait for an agent that was killed, on either side [S114]', async () => {
    hooks.reset();
    hooks.hold('prepared', 'cache-n1');
    const created = grid.begin(['checkpoint', 'create', 'killed']);
    await hooks.reachedBy(created, 'prepared', 'cache-n1');
    await grid.killAgent(0);
    hooks.reset();
    lab.hooks.hold('documentPrepared', 'alone');
    await apply('alone');
    // It has the turn by then.
    await lab.hooks.reached('documentPrepared', 'alone');
    expect((await created.finished).code).to.equal(4);
    await grid.startAgent(0);
    await lab.grid.killAgent(0);
    const { code, stderr } = await grid.run(['checkpoint', 'create', 'alone']);
    expect(code, stderr).to.equal(0);
    lab.hooks.reset();
    await lab.grid.startAgent(0, lab.hooks.env);
    await succeeds('alone');
  }).timeout(240_000);

  it('both come to their end when they begin at once', async () => {
    for (const round of ['one', 'two']) {
      const [created] = await Promise.all([
        grid.run(['checkpoint', 'create', `at-once-${round}`]),
        apply(`at-once-${round}`).then(() => succeeds(`at-once-${round}`)),
      ]);
      expect(created.code, created.stderr).to.equal(0);
    }
  }).timeout(240_000);

  describe('the turn to work on a cluster', () => {
    const settingsOf = (at: number): ServerSettings => ({
      url: cluster.nodes[at]?.url ?? '',
      container: 'default',
      auth: undefined,
      tls: undefined,
    });
    const worker = (kind: Worker['kind'], id: string): Worker => ({ kind, id, name: id });
    const waiting = (withinSeconds: number) => ({
      signal: AbortSignal.timeout(100_000),
      waitsFor: () => undefined,
      withinSeconds,
    });

    it('has one at a time, of many who want it through different servers at once', async () => {
      let having = 0;
      let most = 0;
      let done = 0;
      await Promise.all(
        Array.from({ length: 10 }, async (_, at) => {
          const kind = (['document', 'checkpoint', 'restore'] as const)[at % 3] ?? 'document';
          const turn = await ClusterTurn.take([settingsOf(at % 2)], worker(kind, `w${at}`), waiting(60));
          having += 1;
          most = Math.max(most, having);
          await new Promise((resolve) => setTimeout(resolve, 30));
          having -= 1;
          done += 1;
          turn.end();
        }),
      );
      expect([most, done]).to.deep.equal([1, 10]);
    }).timeout(120_000);

    it('is refused with the name of who has it, when that lasts', async () => {
      const turn = await ClusterTurn.take([settingsOf(0)], worker('document', 'Backup/long'), waiting(5));
      const { code, message } = await ClusterTurn.take(
        [settingsOf(1)],
        worker('checkpoint', 'c'),
        waiting(1),
      ).then(
        () => expect.fail('it had it too'),
        (error: unknown) => failureOf(error, { code: 'none', hint: '' }),
      );
      turn.end();
      expect(code).to.equal('infinispan-busy');
      expect(message).to.equal('the cluster is at work for document Backup/long, still after 1 s');
      const asked = new InfinispanServer(settingsOf(0));
      await until(
        'nobody to be shown',
        async () => (await asked.workers(AbortSignal.timeout(5000))).length === 0,
      );
      asked.close();
    });

    it('is renewed by who lives, and passes on from a host that is gone without a word', async () => {
      const lives = await ClusterTurn.take([settingsOf(0)], worker('checkpoint', 'a-lives'), waiting(5));
      // A connection that nobody ends and nobody renews, as servers see it when a host has lost its power.
      const agent = new http.Agent({ keepAlive: true });
      const headers = { 'user-agent': clientName(askerOf(worker('checkpoint', 'gone'))) };
      await new Promise<void>((resolve, reject) => {
        http
          .get(`${settingsOf(1).url}/rest/v2/server`, { agent, headers }, (response) =>
            response.resume().on('end', () => resolve()),
          )
          .on('error', reject);
      });
      const told: string[] = [];
      const taken = ClusterTurn.take([settingsOf(1)], worker('document', 'z-waits'), {
        ...waiting(90),
        waitsFor: (words) => void told.push(words),
      });
      let isTaken = false;
      void taken.then(() => (isTaken = true));
      const asked = new InfinispanServer(settingsOf(0));
      const marks = new Set<string>();
      await until(
        'it to be renewed, for longer than who shows nothing new is believed',
        async () => {
          for (const {
            worker: { id },
            mark,
          } of await asked.workers(AbortSignal.timeout(5000)))
            if (id === 'a-lives') marks.add(mark);
          return marks.size > 5;
        },
        60_000,
      );
      asked.close();
      expect(isTaken, 'who lives is waited for').to.equal(false);
      lives.end();
      (await taken).end();
      agent.destroy();
      expect(told).to.include('checkpoint a-lives');
    }).timeout(120_000);
  });
});
