import { RECEIVED, SENT, type ProcessTrace, type TracedStep } from '../../shared/domain/trace.ts';
import { processorUse } from './window-parts.ts';

/** One process of a trace, and how its moments become those of the trace: milliseconds since it began. */
export interface PlacedProcess {
  readonly name: string;
  readonly trace: ProcessTrace;
  toTrace(atMs: number): number;
}

/** An event of the Trace Event Format, as Perfetto and Chrome read it; `ts` and `dur` are microseconds. */
export interface ChromeEvent {
  readonly name: string;
  readonly ph: 'M' | 'X' | 'i' | 's' | 'f';
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly id?: string;
  readonly bp?: 'e';
  readonly s?: 't';
  readonly args?: Readonly<Record<string, unknown>>;
}

/** What is drawn as a bar: from one step to the next of the other kind. */
interface Bar {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

const OF_COORDINATOR: readonly Bar[] = [
  ...turns('sent', 'received'),
  { name: 'waits for the others', from: 'marked received', to: 'thaw sent' },
  { name: 'proof', from: 'released received', to: 'thawed received' },
];
const OF_AGENT: readonly Bar[] = [
  ...turns('received', 'sent'),
  { name: 'proof', from: 'released sent', to: 'thawed sent' },
  { name: 'fence', from: 'fence asked', to: 'fence answered' },
  { name: 'mark', from: 'mark asked', to: 'mark answered' },
  { name: 'look', from: 'look asked', to: 'look answered' },
  { name: 'acknowledge', from: 'open ordered', to: 'acknowledged' },
  { name: 'open', from: 'open asked', to: 'open answered' },
];
/** After these nothing of the operation goes on for the member; `abort` takes the place of all that was under way. */
const ENDS = new Set(['failed sent', 'failed received', 'abort sent', 'abort received']);

/** The coordinator is the first of them. In one track for each member: bars, and every step as a point. */
export function chromeEvents(processes: readonly PlacedProcess[]): ChromeEvent[] {
  const placed = processes.map((process, index) => ({ process, pid: index + 1 }));
  return [
    ...placed.flatMap(({ process, pid }) => ofProcess(process, pid)),
    ...placed.slice(1).flatMap(({ process, pid }) => messagesBetween(placed[0]?.process, process, pid)),
  ];
}

function turns(begin: 'sent' | 'received', end: 'sent' | 'received'): Bar[] {
  const pairs = [
    ['prepare', 'prepared'],
    ['pause', 'paused'],
    ['arm', 'armed'],
    ['disarm', 'disarmed'],
    ['freeze', 'marked'],
    ['thaw', 'released'],
    ['collect', 'collected'],
    ['abort', 'aborted'],
  ] as const;
  return pairs.map(([command, answer]) => ({
    name: command,
    from: `${command} ${begin}`,
    to: `${answer} ${end}`,
  }));
}

function membersOf({ steps }: ProcessTrace): string[] {
  return [...new Set(steps.map(({ member }) => member))].filter((member) => member !== '').toSorted();
}

function ofProcess({ name, trace, toTrace }: PlacedProcess, pid: number): ChromeEvent[] {
  const members = membersOf(trace);
  const isCoordinator = pid === 1;
  const label = `${name} (process ${trace.processId})`;
  const end = trace.steps.reduce((latest, { atMs }) => Math.max(latest, atMs), 0);
  const whole = trace.steps.filter(({ member }) => member === '');
  const place = (atMs: number): number => micro(toTrace(atMs));
  return [
    { name: 'process_name', ph: 'M', pid, tid: 0, args: { name: label } },
    { name: 'process_sort_index', ph: 'M', pid, tid: 0, args: { sort_index: pid } },
    { name: 'thread_name', ph: 'M', pid, tid: 0, args: { name: isCoordinator ? 'phases' : 'process' } },
    ...members.map(
      (member, index) =>
        ({ name: 'thread_name', ph: 'M', pid, tid: index + 1, args: { name: member } }) as const,
    ),
    ...whole.map((step, index) => {
      const until = whole[index + 1]?.atMs ?? end;
      const phase = step.step.replace(/ entered$/, '');
      return bar(phase, { pid, tid: 0, ts: place(step.atMs), until: place(until) });
    }),
    ...trace.collections.map(({ atMs, durationMs }) =>
      bar('garbage collection', { pid, tid: 0, ts: place(atMs), until: place(atMs + durationMs) }),
    ),
    ...members.flatMap((member, index) => {
      const steps = trace.steps.filter((step) => step.member === member);
      const track = { pid, tid: index + 1 };
      const points = steps.map(
        ({ step, atMs }) =>
          ({
            name: step,
            ph: 'i',
            s: 't',
            cat: 'step',
            ts: place(atMs),
            ...track,
            args: { member },
          }) as const,
      );
      return [...barsOf(steps, isCoordinator ? OF_COORDINATOR : OF_AGENT, trace, place, track), ...points];
    }),
  ];
}

function barsOf(
  steps: readonly TracedStep[],
  bars: readonly Bar[],
  { samples }: ProcessTrace,
  place: (atMs: number) => number,
  track: { readonly pid: number; readonly tid: number },
): ChromeEvent[] {
  const drawn: ChromeEvent[] = [];
  const open = new Map<Bar, number>();
  const close = (which: Bar, toMs: number, args: Record<string, unknown> = {}): void => {
    const fromMs = open.get(which);
    if (fromMs === undefined) return;
    open.delete(which);
    const use = processorUse(samples, fromMs, toMs);
    // Samples are taken at both ends of these.
    const isSampled = which.from === 'freeze received' || which.from === 'thaw received';
    const said = isSampled ? { ...args, ...use } : args;
    drawn.push(bar(which.name, { ...track, ts: place(fromMs), until: place(toMs) }, said));
  };
  for (const { step, atMs } of steps) {
    for (const which of bars) if (which.to === step) close(which, atMs);
    if (ENDS.has(step)) for (const which of open.keys()) close(which, atMs, { ended: step });
    for (const which of bars) if (which.from === step) open.set(which, atMs);
  }
  const last = steps.at(-1)?.atMs ?? 0;
  for (const which of open.keys()) close(which, last, { ended: 'not seen' });
  return drawn;
}

/** Arrows between what was sent and what was received of it. */
function messagesBetween(
  coordinator: PlacedProcess | undefined,
  agent: PlacedProcess,
  pid: number,
): ChromeEvent[] {
  if (coordinator === undefined) return [];
  const ours = membersOf(coordinator.trace);
  const theirs = membersOf(agent.trace);
  const arrows: ChromeEvent[] = [];
  for (const member of theirs) {
    const ends = [
      { tid: ours.indexOf(member) + 1, pid: 1, process: coordinator },
      { tid: theirs.indexOf(member) + 1, pid, process: agent },
    ] as const;
    if (ends[0].tid === 0) continue;
    for (const word of Object.keys(SENT)) {
      for (const [from, to] of [ends, ends.toReversed()]) {
        if (from === undefined || to === undefined) continue;
        const sent = momentsOf(from.process, member, SENT[word]);
        const received = momentsOf(to.process, member, RECEIVED[word]);
        for (const [nth, [begin, end]] of paired(sent, received).entries()) {
          const arrow = { name: word, cat: 'message', id: `${member} ${word} ${nth}` } as const;
          arrows.push({ ...arrow, ph: 's', pid: from.pid, tid: from.tid, ts: begin });
          arrows.push({ ...arrow, ph: 'f', bp: 'e', pid: to.pid, tid: to.tid, ts: end });
        }
      }
    }
  }
  return arrows;
}

/** The nth is the nth; where some were lost, what is received was the last that was sent before. */
function paired(sent: readonly number[], received: readonly number[]): (readonly [number, number])[] {
  return received.flatMap((end, nth) => {
    const begin = sent.length === received.length ? sent[nth] : sent.findLast((one) => one <= end);
    return begin === undefined ? [] : [[begin, end] as const];
  });
}

function momentsOf({ trace, toTrace }: PlacedProcess, member: string, step: string | undefined): number[] {
  return trace.steps
    .filter((one) => one.member === member && one.step === step)
    .map(({ atMs }) => micro(toTrace(atMs)));
}

function bar(
  name: string,
  { pid, tid, ts, until }: { pid: number; tid: number; ts: number; until: number },
  args: Readonly<Record<string, unknown>> = {},
): ChromeEvent {
  const dur = micro((until - ts) / 1000);
  return {
    name,
    ph: 'X',
    pid,
    tid,
    ts,
    dur: Math.max(0, dur),
    ...(Object.keys(args).length > 0 && { args }),
  };
}

/** Milliseconds to microseconds; a nanosecond is as fine as it gets. */
function micro(ms: number): number {
  return Math.round(ms * 1e6) / 1e3;
}
