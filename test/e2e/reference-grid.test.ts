import { expect } from 'chai';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { createReferenceLab, type ReferenceLab } from '../lab/reference-lab.ts';

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a live reference grid', () => {
  let lab: ReferenceLab;
  let report: CheckpointReport;

  before(async () => {
    lab = await createReferenceLab({ hosts: ['127.0.51.1', '127.0.51.2', '127.0.51.3'] });
  });

  after(async () => {
    await lab?.close();
  });

  it('is captured', async () => {
    const client = lab.reference.client();
    for (let n = 0; n < 50; n += 1) await client.put('t', `k${n}`, 'v');
    const status = await lab.grid.run(['grid', 'status', ...JSON_OUTPUT]);
    console.log(status.stdout, status.stderr);
    const { code, stdout, stderr } = await lab.grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
    console.log(stdout, stderr);
    expect(code, stderr + stdout).to.equal(0);
    report = JSON.parse(stdout) as CheckpointReport;
  });
});
