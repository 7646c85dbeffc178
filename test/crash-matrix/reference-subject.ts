import { Hooks } from '../lab/hooks.ts';
import { expectUntouched, expectWholeCopies, expectWrites } from '../lab/reference-checks.ts';
import { createReferenceLab } from '../lab/reference-lab.ts';
import { referenceShards } from '../lab/shards.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { nextCheckpoint } from './next-checkpoint.ts';
import { restoreTo } from './restored.ts';
import { LEASE_SECONDS, SETTLES_WITHIN_MS, type Subject } from './subject.ts';

const HOSTS = ['127.0.73.1', '127.0.73.2'];
const OTHERS = ['127.0.74.1', '127.0.74.2'];
const SHAPE = { satellites: 0, proxies: 1 };
const MEMBER = 'a1';
/** Until another node has taken over from one that does not answer, and clients have found it. */
const TAKE_OVER_MS = 8000;

/** A realm service, three state keepers, two copysets of two nodes, a proxy. The engine is a node of the first. */
export async function referenceSubject(env: NodeJS.ProcessEnv = {}): Promise<Subject> {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  const lab = await createReferenceLab({
    ...SHAPE,
    hosts: HOSTS,
    leaseSeconds: LEASE_SECONDS,
    env: { ...hooks.env, ...env },
  });
  const node = lab.reference.process(MEMBER);
  return {
    kind: 'reference',
    grid: lab.grid,
    hooks,
    member: MEMBER,
    shards: referenceShards(lab.reference, ['a', 'b']),
    engine: {
      kill: () => node.kill('SIGKILL'),
      stop: () => node.kill('SIGSTOP'),
      goOn: () => node.kill('SIGCONT'),
      async start() {
        if (!node.running) await node.start();
        await lab.reference.healthy();
      },
    },
    expectWrites: (engineRuns, withinMs) => expectWrites(lab, withinMs + (engineRuns ? 0 : TAKE_OVER_MS)),
    expectUntouched: () => expectUntouched(lab, SETTLES_WITHIN_MS),
    async expectNextCheckpoint() {
      const checkpoint = await nextCheckpoint(lab.grid);
      expectWholeCopies(lab);
      return checkpoint;
    },
    async restored(checkpoint) {
      await lab.grid.killEverything();
      await Promise.all(lab.reference.processes.map((process) => process.kill('SIGKILL')));
      const other = await createReferenceLab({ ...SHAPE, hosts: OTHERS, beside: lab });
      try {
        await restoreTo(other.grid, checkpoint, HOSTS, OTHERS);
      } catch (error) {
        await other.close();
        throw error;
      }
      return { shards: referenceShards(other.reference, ['a', 'b']), close: () => other.close() };
    },
    async close() {
      await lab.close();
      folder.remove();
    },
  };
}
