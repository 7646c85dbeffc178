import { expect } from 'chai';
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport, PruneReport, SalvageReport } from '../../../coordinator/reports.ts';
import { initRepository } from '../../../shared/repository/open.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';

// Goal: a checkpoint can be brought back from the copies on the hosts alone, when its repository is gone, and from
// nothing that is not exactly what was captured. The same lab shows that a rule prunes both.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a checkpoint whose repository is gone', () => {
  let lab: ReferenceLab;
  let report: CheckpointReport;
  const names = ['before', 'kept', 'last'];

  before(async () => {
    lab = await createReferenceLab({ hosts: ['127.0.57.1', '127.0.57.2', '127.0.57.3'], proxies: 1 });
    await put('v');
    for (const name of names) {
      const created = await lab.grid.run(['checkpoint', 'create', name, ...JSON_OUTPUT]);
      expect(created.code, created.stdout + created.stderr).to.equal(0);
      report = created.json as CheckpointReport;
    }
  });

  after(async () => {
    await lab?.close();
  });

  async function put(value: string): Promise<void> {
    const client = lab.reference.client();
    try {
      for (let row = 0; row < 40; row += 1)
        await client.put('orders', `row ${row}`, value, row % 2 === 0 ? 'a' : 'b');
    } finally {
      client.close();
    }
  }

  const placeOf = (name: string): string =>
    join(lab.reference.process(name).dataDirectory, 'checkpoints', report.checkpoint);

  it('is not pruned while it is the last: what a rule does not keep goes from repository and hosts', async () => {
    const { code, stdout, json } = await lab.grid.run([
      'checkpoint',
      'prune',
      '--keep',
      '2',
      '--yes',
      ...JSON_OUTPUT,
    ]);
    expect(code, stdout).to.equal(0);
    const { deleted, kept, local } = json as PruneReport;
    expect(deleted.map((id) => id.split('_').at(-1))).to.deep.equal(['before']);
    expect(kept.map((id) => id.split('_').at(-1))).to.have.members(['kept', 'last']);
    expect(local.length).to.be.greaterThan(0);
    for (const { dataDirectory } of lab.reference.processes.filter(({ role }) => role === 'node'))
      expect(existsSync(join(dataDirectory, 'checkpoints', deleted[0] ?? ''))).to.equal(false);
  });

  it('is brought into a new repository from the hosts, and refused where one byte has changed [S32] [S36] [S120]', async () => {
    // What is in live/ now is not what was captured, and is not looked at.
    await put('later');
    const gone = `${lab.grid.repository}.gone`;
    await Promise.all(lab.grid.hosts.map((_, host) => lab.grid.killAgent(host)));
    renameSync(lab.grid.repository, gone);
    await initRepository(lab.grid.repository);
    // Another one on purpose, in the same place.
    for (const { state } of lab.grid.hosts) rmSync(join(state, 'repository.json'));
    await Promise.all(lab.grid.hosts.map((_, host) => lab.grid.startAgent(host)));

    const journal = join(placeOf('b1'), 'data/journal/000000000001.journal');
    const bytes = readFileSync(journal);
    writeFileSync(journal, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
    const refused = await lab.grid.run(['checkpoint', 'salvage', 'last', ...JSON_OUTPUT]);
    expect(refused.code, refused.stdout).to.equal(6);
    expect(refused.json).to.have.nested.property('error.code', 'local-copy-damaged');
    expect(refused.stdout).to.include('b1').and.to.include('000000000001.journal');
    writeFileSync(journal, bytes);

    const definition = join(placeOf('a2'), 'metadata/realm-definition.json');
    const text = readFileSync(definition);
    appendFileSync(definition, ' ');
    const differing = await lab.grid.run(['checkpoint', 'salvage', 'last', ...JSON_OUTPUT]);
    expect(differing.code, differing.stdout).to.equal(3);
    expect(differing.json).to.have.nested.property('error.code', 'local-copies-differ');
    writeFileSync(definition, text);
    const list = await lab.grid.run(['checkpoint', 'list', '--output', 'json']);
    expect(list.json).to.deep.include({ checkpoints: [] });

    // Any one copy of the metadata is enough.
    const metadata = join(placeOf('a2'), 'metadata');
    renameSync(metadata, `${metadata}.gone`);
    const salvaged = await lab.grid.run(['checkpoint', 'salvage', 'latest', ...JSON_OUTPUT]);
    expect(salvaged.code, salvaged.stdout + salvaged.stderr).to.equal(0);
    const { checkpoint, members } = salvaged.json as SalvageReport;
    expect(checkpoint).to.equal(report.checkpoint);
    expect(members.map(({ name }) => name)).to.have.members(report.members.map(({ name }) => name));
    const verified = await lab.grid.run(['checkpoint', 'verify', 'last', '--output', 'json']);
    expect(verified.json).to.include({ verified: true });
    renameSync(`${metadata}.gone`, metadata);
  });

  it('is restored from there, on the same machines, with all that it had and nothing of later [S4] [S32]', async () => {
    const restored = await lab.grid.run(['restore', 'last', '--yes', '--stop', ...JSON_OUTPUT]);
    expect(restored.code, restored.stdout + restored.stderr).to.equal(0);
    const client = lab.reference.client();
    try {
      const rows = [...(await client.scan('orders', 'a')), ...(await client.scan('orders', 'b'))];
      expect(rows).to.have.length(40);
      expect(new Set(rows.map(([, , value]) => value))).to.deep.equal(new Set(['v']));
    } finally {
      client.close();
    }
  });

  it('is numbered on from what the realm knows, though the repository is new [S38]', async () => {
    const next = await lab.grid.run(['checkpoint', 'create', 'next', ...JSON_OUTPUT]);
    expect(next.code, next.stdout + next.stderr).to.equal(0);
    expect((next.json as CheckpointReport).counter).to.equal(names.length + 1);
    expect((next.json as CheckpointReport).epoch).to.equal(0);
  });

  it('is followed by checkpoints of the next epoch once its grid was failed over to [S37]', async () => {
    const failover = await lab.grid.run(['grid', 'failover', '--yes', '--output', 'json']);
    expect(failover.json, failover.stderr).to.deep.include({ epoch: 1 });
    for (const counter of [names.length + 2, names.length + 3]) {
      const { code, stdout, json } = await lab.grid.run(['checkpoint', 'create', 'after', ...JSON_OUTPUT]);
      expect(code, stdout).to.equal(0);
      expect((json as CheckpointReport).checkpoint).to.match(
        new RegExp(`^\\d{8}T\\d{6}\\.\\d{3}Z_00000001_0000000${counter}_after$`),
      );
    }
  });
});
