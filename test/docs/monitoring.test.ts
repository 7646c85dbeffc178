import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { AgentMetrics } from '../../agent/metrics.ts';
import { metricsText } from '../../coordinator/metrics.ts';
import { ROOT } from '../lab/processes.ts';
import { gridManifest, GRID } from '../repository/samples.ts';

// Goal: a rule on a metric that nobody exposes never fires, and nobody notices. Method: what agent and command really
// expose is compared with every name in rules, dashboard and documentation.

const CHECKPOINT = '20261120T120000.123Z_00000000_00000007_nightly';

describe('the documentation of metrics', () => {
  const page = readFileSync(join(ROOT, 'docs/monitoring.md'), 'utf8');
  const rules = readFileSync(join(ROOT, 'docs/monitoring/alerts.yaml'), 'utf8');
  const dashboard = readFileSync(join(ROOT, 'docs/monitoring/dashboard.json'), 'utf8');
  /** Each with the labels of its samples. */
  let exposed: Map<string, Set<string>>;

  before(async () => {
    const agent = new AgentMetrics({
      info: { version: '1', grid: 'orders', host: 'alpha' },
      members: ['aa'],
      isRunning: () => true,
      frozenMembers: () => new Set(),
      undoPending: () => new Set(),
      budgetLeft: () => ({ freezes: 1, heldMs: 1 }),
      certificates: () => ({ agent: 1, ca: 1 }),
      spoolBytes: () => 1,
    });
    agent.failed('fence-not-reached');
    agent.membersReleased(1);
    await new Promise((resolve) => setImmediate(resolve));
    const manifest = gridManifest(CHECKPOINT, []);
    const repository = await metricsText(
      {
        id: 'x',
        freeBytes: 1,
        sizeBytes: 1,
        grids: [
          {
            grid: GRID,
            entries: [{ grid: GRID, checkpoint: CHECKPOINT, state: 'valid', manifest, cause: null }],
            newest: [{ at: 1, manifest }],
            abortedRuns: 0,
            verification: {
              checkpoint: CHECKPOINT,
              verifiedAtMs: 1,
              durationMs: 1,
              bytes: 1,
              damagedPlaces: 0,
            },
            drill: {
              format: 1,
              drill: 'x',
              startedAt: '2026-11-20T12:00:00.000Z',
              checkpoint: CHECKPOINT,
              outcome: 'passed',
              kept: false,
              rtoMs: 1,
              rpoMs: 1,
              bytes: 1,
              phases: [],
            },
          },
        ],
      },
      1,
    );
    exposed = samplesOf(`${await agent.text()}${repository}`);
  });

  it('has rules and a dashboard of what is exposed, by labels that it has', () => {
    for (const text of [...expressionsOfRules(rules), ...expressionsOfDashboard(dashboard)]) {
      // Prometheus's own: whether the agent answered.
      if (text.startsWith('up{job="stillpoint"}')) continue;
      const named = namesIn(text);
      expect(named, text).to.not.deep.equal([]);
      expect(
        named.filter((name) => !exposed.has(name)),
        text,
      ).to.deep.equal([]);
      for (const [, name = '', selector = ''] of text.matchAll(/(stillpoint_\w+)\{([^}]*)\}/g)) {
        const labels = [...selector.matchAll(/(\w+)\s*=/g)].map(([, label]) => label ?? '');
        expect([...(exposed.get(name) ?? [])], text).to.include.members(labels);
      }
    }
  });

  it('names every metric with its labels, and none that is not exposed', () => {
    const rows = [...page.matchAll(/^\| `(stillpoint_\w+)`\s*\|([^|]*)\|/gm)];
    const documented = new Map(rows.map(([, name = '', labels = '']) => [name, labels]));
    // A histogram is one metric of three samples.
    const names = new Set([...exposed.keys()].map((name) => name.replace(/_(bucket|sum|count)$/, '')));
    expect([...documented.keys()].sort()).to.deep.equal([...names].sort());
    for (const [name, labels] of documented) {
      if (labels.includes('the same')) continue;
      const of = exposed.get(name) ?? exposed.get(`${name}_bucket`) ?? new Set();
      expect(
        [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
        name,
      ).to.have.members([...of]);
    }
    const loose = namesIn(page).filter((name) => !names.has(name));
    expect(loose).to.deep.equal([]);
  });

  it('says with each rule what is wrong and what to do', () => {
    for (const { alert, labels, annotations } of rulesOf(rules)) {
      expect(labels.severity, alert).to.be.oneOf(['warning', 'critical']);
      expect(annotations, alert).to.have.all.keys('summary', 'remedy');
    }
  });
});

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

function rulesOf(text: string): Rule[] {
  const { groups } = parse(text) as { groups: { rules: Rule[] }[] };
  return groups.flatMap((group) => group.rules);
}

function expressionsOfRules(text: string): string[] {
  return rulesOf(text).map(({ expr }) => expr);
}

function expressionsOfDashboard(text: string): string[] {
  const { panels, templating } = JSON.parse(text) as {
    panels: { targets?: { expr: string }[] }[];
    templating: { list: { type: string; query: { query: string } }[] };
  };
  return [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...templating.list.flatMap(({ type, query }) => (type === 'query' ? [query.query] : [])),
  ];
}

function namesIn(text: string): string[] {
  return [...text.matchAll(/\bstillpoint_[a-z_]+/g)].map(([name]) => name);
}

function samplesOf(text: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const [, name = '', labels = ''] of text.matchAll(/^(stillpoint_\w+)(?:\{(.*)\})? /gm)) {
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label ?? '');
    found.set(name, new Set([...(found.get(name) ?? []), ...names]));
  }
  return found;
}
