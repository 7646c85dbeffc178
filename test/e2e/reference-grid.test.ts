import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport, RestoreReport } from '../../coordinator/reports.ts';
import { CausalClients, checkOrder } from '../lab/causal-clients.ts';
import { until } from '../lab/processes.ts';
import { createReferenceLab, type ReferenceLab } from '../lab/reference-lab.ts';
import { referenceShards } from '../lab/shards.ts';

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const HOSTS = ['127.0.51.1', '127.0.51.2', '127.0.51.3'];
const OTHERS = ['127.0.52.1', '127.0.52.2', '127.0.52.3'];
const MAPS = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);

describe('a live reference grid', () => {
  let lab: ReferenceLab;
  let other: ReferenceLab;
  let clients: CausalClients;
  let report: CheckpointReport;
  let began: number;

  before(async () => {
    lab = await createReferenceLab({ hosts: HOSTS });
    other = await createReferenceLab({ hosts: OTHERS, beside: lab });
    clients = await CausalClients.start(referenceShards(lab.reference, ['a', 'b']), 4);
    await until('writes', () => clients.writes.length > 300);
  });

  after(async () => {
    await clients?.stop();
    await other?.close();
    await lab?.close();
  });

  it('is captured while its clients write, and no process is restarted [S2] [S8]', async () => {
    const pids = lab.reference.processes.map(({ pid }) => pid);
    began = performance.now();
    const { code, stdout, stderr } = await lab.grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
    expect(code, stderr + stdout).to.equal(0);
    report = JSON.parse(stdout) as CheckpointReport;
    expect(report.warnings).to.deep.equal([]);
    expect(lab.reference.processes.map(({ pid }) => pid)).to.deep.equal(pids);
    const nodes = lab.reference.processes.filter(({ role }) => role === 'node');
    expect(report.journalMap).to.have.all.keys(nodes.map(({ address }) => address));
    for (const { dataDirectory } of nodes)
      console.log(readdirSync(join(dataDirectory, 'checkpoints', report.checkpoint), { recursive: true }));
  });

  it('comes back elsewhere', async () => {
    await until('writes after the checkpoint', () =>
      clients.writes.some(({ sentAt }) => sentAt > began + 3000),
    );
    await lab.reference.close();
    await lab.grid.killEverything();
    await clients.stop();
    const restored = await other.grid.run(['restore', 'nightly', '--yes', ...JSON_OUTPUT, ...MAPS]);
    if (restored.code !== 0)
      for (const p of other.reference.processes) {
        const l = join(p.dataDirectory, '../..', `${p.name}.log`);
        if (existsSync(l)) console.log(p.name, readFileSync(l, 'utf8'));
      }
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    console.log(restored.stdout);
    const order = await checkOrder(referenceShards(other.reference, ['a', 'b']), clients.writes, began);
    expect(order).to.include({ missing: 0, withoutCause: 0 });
  });
});
