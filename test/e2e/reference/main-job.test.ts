import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport, RestoreReport } from '../../../coordinator/reports.ts';
import { connectParticipant } from '../../../shared/rpc/participant-client.ts';
import { CausalClients, checkOrder, UNHURRIED } from '../../lab/causal-clients.ts';
import { until } from '../../lab/processes.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { referenceShards } from '../../lab/shards.ts';
import { treeOf } from '../../lab/trees.ts';

// Goal: the grid of the source documents, captured file by file as they say, and brought back from it.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const HOSTS = ['127.0.58.1', '127.0.58.2', '127.0.58.3'];
const OTHERS = ['127.0.59.1', '127.0.59.2', '127.0.59.3'];
const MAPS = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);
/** A coordinator whose clock is an hour behind. */
const HOUR_BACK = `data:text/javascript,${encodeURIComponent(
  'const D = Date; globalThis.Date = class extends D { constructor(...a) { a.length ? super(...a) : super(D.now() - 3.6e6); } };',
)}`;

describe('a live grid of realm service, state keepers, nodes and proxies', () => {
  let lab: ReferenceLab;
  let other: ReferenceLab;
  let clients: CausalClients;
  let report: CheckpointReport;
  let began: number;

  before(async () => {
    // In an order that is not the alphabet's.
    const copysets = { b: 2, a: 2 };
    lab = await createReferenceLab({
      hosts: HOSTS,
      copysets,
      processOptions: ['--journal-bytes', '30000'],
    });
    other = await createReferenceLab({ hosts: OTHERS, copysets, beside: lab });
    clients = await CausalClients.start(referenceShards(lab.reference, ['a', 'b']), 4, UNHURRIED);
    await until('writes', () => clients.writes.length > 300);
  });

  after(async () => {
    await clients?.stop();
    await other?.close();
    await lab?.close();
  });

  const of = (role: string, at = lab) => at.reference.processes.filter((process) => process.role === role);
  const placeOf = (name: string, checkpoint = report.checkpoint): string =>
    join(lab.reference.process(name).dataDirectory, 'checkpoints', checkpoint);

  it('is captured while its clients write, in all its parts, and no process is restarted [S8] [S11]', async () => {
    const pids = lab.reference.processes.map(({ pid }) => pid);
    began = performance.now();
    const { code, stdout, stderr } = await lab.grid.run(['checkpoint', 'create', 'night_ly', ...JSON_OUTPUT]);
    expect(code, stderr + stdout).to.equal(0);
    report = JSON.parse(stdout) as CheckpointReport;
    expect(report.warnings).to.deep.equal([]);
    expect(report.members.map(({ name }) => name)).to.have.members(
      lab.reference.processes.map(({ name }) => name),
    );
    expect(lab.reference.processes.map(({ pid }) => pid)).to.deep.equal(pids);
    expect(report.journalMap).to.have.all.keys(of('node').map(({ address }) => address));
  });

  it('lies on every node under the same name of four fields [S32] [S33] [S34]', () => {
    expect(report.checkpoint).to.match(/^\d{8}T\d{6}\.\d{3}Z_00000000_00000001_night_ly$/);
    for (const { name } of of('node')) {
      expect(readdirSync(placeOf(name))).to.include.members(['data', 'grid.json', 'member.json']);
      expect(readdirSync(join(placeOf(name), 'data'))).to.deep.equal(['database', 'journal']);
    }
  });

  it('has its metadata on the nodes of the copyset that was defined first, and on no other, byte by byte the same [S35] [S36]', () => {
    const metadata = treeOf(join(placeOf('b1'), 'metadata'));
    expect(Object.keys(metadata)).to.include.members([
      'realm-definition.json',
      'statekeeper-recovery/k1',
      'statekeeper-recovery/k2',
      'statekeeper-recovery/k3',
    ]);
    expect(treeOf(join(placeOf('b2'), 'metadata'))).to.deep.equal(metadata);
    for (const name of ['a1', 'a2'])
      expect(existsSync(join(placeOf(name), 'metadata')), name).to.equal(false);
  });

  it("has the realm's database in backups/ of the primary, named with its time, and all of its definition saved besides [S20] [S21] [S122]", async () => {
    const backups = (name: string): string => join(lab.reference.process(name).dataDirectory, 'backups');
    const [file = '', ...others] = readdirSync(backups('realm'));
    expect(others).to.deep.equal([]);
    expect(file).to.match(/^\d{8}T\d{9}Z/);
    const [, day, time] = /^(\d{8})T(\d{9})Z/.exec(file) ?? [];
    expect(`${day}T${time}` >= report.checkpoint.slice(0, 19).replace('.', '')).to.equal(true);
    expect(existsSync(backups('satellite'))).to.equal(false);
    const definition = JSON.parse(
      readFileSync(join(placeOf('b1'), 'metadata/realm-definition.json'), 'utf8'),
    ) as { grid: string; copysets: { name: string }[] };
    expect(definition.grid).to.equal('orders');
    expect(definition.copysets.map(({ name }) => name)).to.deep.equal(['b', 'a']);
    expect(definition).to.deep.equal((await lab.reference.status()).definition);
  });

  it('gets a higher number with every checkpoint, also when the clock was set back an hour [S38]', async () => {
    const second = await lab.grid.run(['checkpoint', 'create', 'later', ...JSON_OUTPUT], {
      NODE_OPTIONS: `--import ${HOUR_BACK}`,
    });
    expect(second.code, second.stderr + second.stdout).to.equal(0);
    const { checkpoint, counter } = second.json as CheckpointReport;
    expect(counter).to.equal(2);
    expect(checkpoint < report.checkpoint, `${checkpoint} looks older`).to.equal(true);
    const list = await lab.grid.run(['checkpoint', 'list', '--output', 'json']);
    const { checkpoints } = list.json as { checkpoints: { name: string }[] };
    expect(checkpoints.map(({ name }) => name)).to.deep.equal(['later', 'night_ly']);
  });

  it('comes back on other hosts with nothing missing and nothing out of order [S1] [S2] [S3] [S5] [S12] [S42]', async () => {
    await until('writes after the checkpoint', () =>
      clients.writes.some(({ sentAt }) => sentAt > began + 1000),
    );
    await lab.grid.killEverything();
    await Promise.all(lab.reference.processes.map((process) => process.kill('SIGKILL')));
    await clients.stop();
    const restored = await other.grid.run(['restore', 'night_ly', '--yes', ...JSON_OUTPUT, ...MAPS]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    const { verified, members } = restored.json as RestoreReport;
    expect(verified).to.equal(true);
    expect(members).to.have.length(lab.reference.processes.length);
    const order = await checkOrder(referenceShards(other.reference, ['a', 'b']), clients.writes, began);
    expect(order).to.include({ missing: 0, withoutCause: 0 });
    expect(order.found).to.be.greaterThan(100);
  });

  it('has a realm that names the new places, its satellite too, and keepers with their state [S18] [S22] [S29]', async () => {
    for (const { participant, name } of of('realm-service', other)) {
      const service = await connectParticipant({ target: participant, timeoutMs: 5000 });
      try {
        const { definition } = await service.describe();
        const nodes = definition?.copysets.flatMap((copyset) => copyset.nodes) ?? [];
        expect(
          nodes.map(({ address }) => address),
          name,
        ).to.deep.equal(of('node', other).map(({ address }) => address));
      } finally {
        service.close();
      }
    }
    const status = await other.grid.run(['grid', 'status', '--output', 'json']);
    const { members } = status.json as { members: { role: string; primary: boolean; running: boolean }[] };
    expect(members.filter(({ role, primary }) => role === 'state-keeper' && primary)).to.have.length(1);
    expect(members.every(({ running }) => running)).to.equal(true);
  });

  it('goes on there, through its proxies, with equal rows on all nodes of a copyset [S40] [S43]', async () => {
    const client = other.reference.client();
    try {
      await client.put('after', 'restore', 'x', 'a');
      const rows = await client.scan('causal', 'a');
      await other.reference.process('a1').kill('SIGKILL');
      await until('another node to be primary', async () => {
        const { running } = await other.reference.status();
        return running.some(({ name, primary }) => name === 'a2' && primary);
      });
      expect(await client.scan('causal', 'a')).to.deep.equal(rows);
      expect(await client.get('after', 'restore', 'a')).to.equal('x');
    } finally {
      client.close();
    }
  });

  it('is not restored while any one process runs, on whichever host, and is named [S9]', async () => {
    await Promise.all(other.reference.processes.map((process) => process.kill('SIGKILL')));
    const alone = OTHERS.map((host) =>
      other.reference.processes.findLast((process) => process.host === host),
    );
    expect(new Set(alone.map((process) => process?.host))).to.have.lengthOf(OTHERS.length);
    for (const process of alone) {
      await process?.start();
      const blocked = await other.grid.run(['restore', 'night_ly', '--yes', ...JSON_OUTPUT, ...MAPS]);
      expect(blocked.code, blocked.stdout).to.equal(3);
      expect(blocked.json).to.have.nested.property('error.code', 'member-running');
      expect(blocked.json).to.have.nested.property('error.member', process?.name);
      await process?.kill('SIGKILL');
    }
  });

  it('is restored in place when every process is stopped, and what came after it is gone', async () => {
    const restored = await other.grid.run(['restore', 'night_ly', '--yes', ...JSON_OUTPUT, ...MAPS]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    const client = other.reference.client();
    try {
      expect(await client.get('after', 'restore', 'a')).to.equal(null);
    } finally {
      client.close();
    }
  });
});
