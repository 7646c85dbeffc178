import { expect } from 'chai';
import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DrillReport } from '../../../coordinator/drill/report.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { until } from '../../lab/processes.ts';

// Goal: a drill of processes that must be started to be proven leaves the living grid as it is, and nothing of itself.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const HOSTS = ['127.0.98.1', '127.0.98.2', '127.0.98.3'];
const OTHERS = ['127.0.99.1', '127.0.99.2', '127.0.99.3'];
const MAPS = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);
/** Whoever listens at the address of the member. */
const CONNECTS = '[bash, -c, "exec 3<>/dev/tcp/$(echo $STILLPOINT_ADDRESS | tr : /) && echo it answers"]';

describe('a drill of a grid of realm service, state keepers and nodes that is alive', () => {
  let lab: ReferenceLab;
  let other: ReferenceLab;

  before(async () => {
    lab = await createReferenceLab({ hosts: HOSTS });
    other = await createReferenceLab({ hosts: OTHERS, beside: lab, memberLines: () => ['drill: true'] });
    const { code, stdout } = await lab.grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
    expect(code, stdout).to.equal(0);
  });

  after(async () => {
    await other?.close();
    await lab?.close();
  });

  it('starts, proves and checks them at their new addresses, and stops and removes them again', async () => {
    const pids = lab.reference.processes.map(({ pid }) => pid);
    const definition = JSON.stringify((await lab.reference.status()).definition);
    appendFileSync(
      other.grid.gridFile,
      `drill: { checks: [{ name: node, member: a1, command: ${CONNECTS}, expect: it answers }] }\n`,
    );
    const { code, stdout, json } = await other.grid.run(['drill', ...MAPS, ...JSON_OUTPUT]);
    expect(code, stdout).to.equal(0);
    const report = json as DrillReport;
    expect(report).to.include({ outcome: 'passed' });
    expect(report.checks[0]).to.include({ passed: true, said: 'it answers' });
    expect(report.phases.map(({ phase }) => phase)).to.include.members(['start', 'check', 'tear down']);
    for (const { dataDirectory, role } of other.reference.processes.filter((one) => one.role !== 'proxy'))
      await until(`nothing to be left of a ${role}`, () =>
        readdirSync(dataDirectory).every((name) => name !== 'live' && !name.startsWith('.stillpoint')),
      );
    for (const { state } of other.grid.hosts) expect(readdirSync(join(state, 'restores'))).to.deep.equal([]);
    expect(lab.reference.processes.map(({ pid }) => pid)).to.deep.equal(pids);
    expect(JSON.stringify((await lab.reference.status()).definition)).to.equal(definition);
    const next = await lab.grid.run(['checkpoint', 'create', 'after', ...JSON_OUTPUT]);
    expect(next.code, next.stdout).to.equal(0);
    expect(next.json).to.include({ counter: 2, epoch: 0 });
  });
});
