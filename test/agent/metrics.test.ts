import { expect } from 'chai';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentMember } from '../../agent/agent-member.ts';
import { openMetrics, type OpenMetrics } from '../../agent/open-metrics.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import { freePort } from '../lab/ports.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a monitor sees what the agent knows, and no freeze ever waits for a monitor. Method: the real server on
// loopback, over an agent that is a few variables.

const EXPIRY = Date.UTC(2027, 0, 1);

describe('the metrics of an agent', () => {
  const folder = temporaryFolder('metrics');
  let metrics: OpenMetrics;
  let address: string;
  let looks: number;
  let asked: number;
  let mayHold: boolean;
  let frozen: Set<string>;
  let running: () => Promise<boolean>;

  beforeEach(async () => {
    [looks, asked, mayHold, frozen] = [0, 0, false, new Set()];
    running = () => Promise.resolve(true);
    mkdirSync(join(folder.path, 'spool', 'x'), { recursive: true });
    writeFileSync(join(folder.path, 'spool', 'x', 'journal'), Buffer.alloc(1000));
    address = `127.0.41.1:${await freePort('127.0.41.1')}`;
    metrics = await openAt(address);
  });
  afterEach(() => metrics.close());
  after(() => folder.remove());

  function openAt(at: string): Promise<OpenMetrics> {
    const isRunning = (): Promise<boolean> => {
      looks += 1;
      return running();
    };
    const members = new Map([['aa', { name: 'aa', engine: { isRunning } } as unknown as AgentMember]]);
    return openMetrics(at, {
      info: { version: '1.2.3', grid: 'orders', host: 'alpha' },
      members,
      statePath: folder.path,
      frozenMembers: () => frozen,
      mayHold() {
        asked += 1;
        return mayHold;
      },
      undoPending: () => new Set(['gone']),
      budgetLeft: () => ({ freezes: 4999, heldMs: 250_000 }),
      expiry: () => ({ own: EXPIRY, ca: EXPIRY }),
    });
  }

  async function scrape(): Promise<string> {
    const response = await fetch(`http://${address}/metrics`);
    expect(response.status).to.equal(200);
    expect(response.headers.get('content-type')).to.match(/^application\/openmetrics-text; version=1/);
    return response.text();
  }

  it('are what it knows, in OpenMetrics', async () => {
    metrics.happenings.membersReleased(4);
    metrics.happenings.failed('fence-not-reached');
    metrics.happenings.failed('DROP TABLE x; "\n');
    metrics.happenings.peerRefused();
    await new Promise((resolve) => setImmediate(resolve));

    const text = await scrape();

    for (const line of [
      'stillpoint_agent_info{version="1.2.3",grid="orders",host="alpha"} 1',
      'stillpoint_agent_member_running{member="aa"} 1',
      'stillpoint_agent_member_frozen{member="aa"} 0',
      'stillpoint_agent_member_undo_pending{member="aa"} 0',
      'stillpoint_agent_member_undo_pending{member="gone"} 1',
      'stillpoint_agent_freeze_seconds_bucket{le="0.005"} 1',
      'stillpoint_agent_freeze_seconds_sum 0.004',
      'stillpoint_agent_last_freeze_seconds 0.004',
      'stillpoint_agent_freeze_budget_left_seconds 250',
      'stillpoint_agent_freeze_budget_left_freezes 4999',
      'stillpoint_agent_failures_total{code="fence-not-reached"} 1',
      'stillpoint_agent_failures_total{code="other"} 1',
      'stillpoint_agent_refused_peers_total 1',
      `stillpoint_agent_certificate_expiry_timestamp_seconds{certificate="ca"} ${EXPIRY / 1000}`,
      'stillpoint_agent_spool_bytes 1000',
    ])
      expect(text.split('\n')).to.include(line);
    expect(text).to.match(/\n# EOF\n$/);
  });

  it('have no sample of what is not known', async () => {
    running = () => Promise.reject(new Error('nobody can tell'));
    const text = await scrape();
    expect(text).to.not.match(/^stillpoint_agent_(member_running|last_freeze_seconds)\b/m);
  });

  it('wait for the end of a freeze, look at nothing in it, and tell of one that lasts', async () => {
    mayHold = true;
    let isAnswered = false;
    const first = scrape().then((text) => {
      isAnswered = true;
      return text;
    });
    await until('it to have looked for the end of the freeze more than once', () => asked > 2);
    expect({ isAnswered, looks }).to.deep.equal({ isAnswered: false, looks: 0 });
    mayHold = false;
    await first;
    expect(looks).to.equal(1);

    mayHold = true;
    frozen = new Set(['aa']);
    await until('the freeze to be told of', async () =>
      (await scrape()).includes('stillpoint_agent_member_frozen{member="aa"} 1'),
    );
    expect(looks).to.equal(1);
  });

  it('are made once, however many ask, and are at /metrics alone', async () => {
    await Promise.all(Array.from({ length: 12 }, scrape));
    expect(looks).to.equal(1);
    expect((await fetch(`http://${address}/`)).status).to.equal(404);
    expect((await fetch(`http://${address}/metrics`, { method: 'POST' })).status).to.equal(405);
  });

  it('keep no agent from saying that their address is taken', async () => {
    const failure = await openAt(address).catch((error: StillpointError) => error.failure);
    expect(failure).to.deep.include({ code: 'cannot-listen' });
    expect(failure).to.have.property('message').that.contains(`${address} for metrics`);
  });
});
