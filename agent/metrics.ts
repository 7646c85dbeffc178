import { Counter, Histogram, Registry, type OpenMetricsContentType } from 'prom-client';
import { addGauge, type GaugeDefinition, type Sample } from '../shared/runtime/metrics.ts';
import type { Happenings } from './happenings.ts';

/** What is asked at a scrape. Everything is in memory already: a scrape must cost nothing that a freeze could feel. */
export interface AgentFigures {
  readonly info: { readonly version: string; readonly grid: string; readonly host: string };
  readonly members: readonly string[];
  /** As it was last seen; null where nobody knows. */
  isRunning(member: string): boolean | null;
  frozenMembers(): ReadonlySet<string>;
  /** Also those that the agent file does not name any more. */
  undoPending(): ReadonlySet<string>;
  budgetLeft(): { readonly freezes: number; readonly heldMs: number };
  /** When each certificate in use expires, in milliseconds of the wall clock. */
  certificates(): Readonly<Record<string, number>>;
  spoolBytes(): number | null;
}

/** A code is a label, and a label costs memory for good: what looks like none of ours is counted as `other`. */
const CODE = /^[a-z]+(-[a-z]+)*$/;
const MOST_CODES = 250;
const WINDOW_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600];

/** What the agent knows, in the words of OpenMetrics. docs/monitoring.md has every name. */
export class AgentMetrics implements Happenings {
  readonly #registry = new Registry<OpenMetricsContentType>();
  readonly #windows: Histogram;
  readonly #failures: Counter<'code'>;
  readonly #refused: Counter;
  readonly #codes = new Set<string>();
  #last: { readonly atMs: number; readonly heldMs: number } | null = null;

  constructor(figures: AgentFigures) {
    this.#registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    this.#addGauges(figures);
    const registers = [this.#registry];
    this.#windows = new Histogram({
      name: 'stillpoint_agent_freeze_seconds',
      help: 'How long members of this host were held, from the first one held to the last one released',
      buckets: WINDOW_SECONDS,
      registers,
    });
    this.#failures = new Counter({
      name: 'stillpoint_agent_failures',
      help: 'Failures that coordinators were told of, by the codes of docs/errors.md',
      labelNames: ['code'],
      registers,
    });
    this.#refused = new Counter({
      name: 'stillpoint_agent_refused_peers',
      help: 'Connections turned away for their certificate, their role or their number',
      registers,
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  membersReleased(heldMs: number): void {
    this.#last = { atMs: Date.now(), heldMs };
    // The release itself is answered first.
    setImmediate(() => this.#windows.observe(heldMs / 1000));
  }

  failed(code: string): void {
    const isKnown = this.#codes.has(code) || (CODE.test(code) && this.#codes.size < MOST_CODES);
    if (isKnown) this.#codes.add(code);
    this.#failures.inc({ code: isKnown ? code : 'other' });
  }

  peerRefused(): void {
    this.#refused.inc();
  }

  #addGauges(figures: AgentFigures): void {
    const add = (definition: GaugeDefinition, samples: () => readonly Sample[]): void =>
      addGauge(this.#registry, { ...definition, name: `stillpoint_agent_${definition.name}` }, samples);
    const yes = (is: boolean): number => (is ? 1 : 0);
    add({ name: 'info', help: 'Version, grid and host', labels: ['version', 'grid', 'host'] }, () => [
      { labels: figures.info, value: 1 },
    ]);
    add({ name: 'member_running', help: 'Whether the process of a member runs', labels: ['member'] }, () =>
      figures.members.flatMap((member) => {
        const running = figures.isRunning(member);
        return running === null ? [] : [{ labels: { member }, value: yes(running) }];
      }),
    );
    add(
      { name: 'member_frozen', help: 'Whether a member is held for a checkpoint', labels: ['member'] },
      () => {
        const frozen = figures.frozenMembers();
        return figures.members.map((member) => ({ labels: { member }, value: yes(frozen.has(member)) }));
      },
    );
    add(
      {
        name: 'member_undo_pending',
        help: 'Whether an earlier freeze of a member is not undone yet',
        labels: ['member'],
      },
      () => {
        const left = figures.undoPending();
        const all = new Set([...figures.members, ...left]);
        return [...all].map((member) => ({ labels: { member }, value: yes(left.has(member)) }));
      },
    );
    add(
      { name: 'last_freeze_timestamp_seconds', help: 'When members of this host were last released' },
      () => (this.#last === null ? [] : [{ value: this.#last.atMs / 1000 }]),
    );
    add({ name: 'last_freeze_seconds', help: 'How long members of this host were last held' }, () =>
      this.#last === null ? [] : [{ value: this.#last.heldMs / 1000 }],
    );
    add(
      { name: 'freeze_budget_left_seconds', help: 'How long members may still be held within the hour' },
      () => [{ value: figures.budgetLeft().heldMs / 1000 }],
    );
    add(
      { name: 'freeze_budget_left_freezes', help: 'How often members may still be held within the hour' },
      () => [{ value: figures.budgetLeft().freezes }],
    );
    add(
      {
        name: 'certificate_expiry_timestamp_seconds',
        help: 'When a certificate in use expires: that of the agent, and its CA',
        labels: ['certificate'],
      },
      () =>
        Object.entries(figures.certificates()).map(([certificate, atMs]) => ({
          labels: { certificate },
          value: atMs / 1000,
        })),
    );
    add({ name: 'spool_bytes', help: 'Journal received for a checkpoint and not stored yet' }, () => {
      const bytes = figures.spoolBytes();
      return bytes === null ? [] : [{ value: bytes }];
    });
  }
}
