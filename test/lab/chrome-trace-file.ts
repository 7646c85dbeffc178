import { z } from 'zod';

// The Trace Event Format as far as it is used here: what Perfetto and Chrome cannot read is refused.

const place = { name: z.string().min(1), pid: z.int().positive(), tid: z.int().nonnegative() };
const moment = z.number().nonnegative();
const event = z.discriminatedUnion('ph', [
  z.strictObject({ ...place, ph: z.literal('M'), args: z.record(z.string(), z.unknown()) }),
  z.strictObject({
    ...place,
    ph: z.literal('X'),
    ts: moment,
    dur: moment,
    args: z.record(z.string(), z.unknown()).optional(),
  }),
  z.strictObject({
    ...place,
    ph: z.literal('i'),
    ts: moment,
    s: z.literal('t'),
    cat: z.literal('step'),
    args: z.strictObject({ member: z.string() }),
  }),
  z.strictObject({ ...place, ph: z.literal('s'), ts: moment, cat: z.literal('message'), id: z.string() }),
  z.strictObject({
    ...place,
    ph: z.literal('f'),
    ts: moment,
    cat: z.literal('message'),
    id: z.string(),
    bp: z.literal('e'),
  }),
]);

const file = z.strictObject({
  traceEvents: z.array(event),
  displayTimeUnit: z.literal('ms'),
  otherData: z.looseObject({
    version: z.string(),
    grid: z.string(),
    outcome: z.string(),
    lost: z.int().nonnegative(),
    hosts: z.array(
      z.strictObject({
        host: z.string(),
        clockIsOurs: z.boolean().optional(),
        clockOffsetMs: z.number().optional(),
        clockUncertaintyMs: z.number().nonnegative().optional(),
        lost: z.int().nonnegative().optional(),
        missing: z.string().optional(),
      }),
    ),
  }),
});

export type TraceFile = z.infer<typeof file>;
type TraceEvent = TraceFile['traceEvents'][number];

/** Throws where it is no such file, a bar reaches out of the one around it, or an arrow has one end. */
export function readTraceFile(text: string): TraceFile {
  const read = file.parse(JSON.parse(text));
  mustNest(read.traceEvents);
  mustHaveTwoEnds(read.traceEvents);
  return read;
}

/** The steps of one member in all processes, in their order on the one clock. */
export function stepsOf(
  { traceEvents }: TraceFile,
  member: string,
): { name: string; ts: number; pid: number }[] {
  return traceEvents
    .flatMap((one) =>
      one.ph === 'i' && one.args.member === member ? [{ name: one.name, ts: one.ts, pid: one.pid }] : [],
    )
    .toSorted((one, other) => one.ts - other.ts);
}

/** Rounded to nanoseconds, ends of two bars that touch may differ by two. */
const TOUCH_MICROSECONDS = 0.003;

function mustNest(events: readonly TraceEvent[]): void {
  const bars = events.flatMap((one) => (one.ph === 'X' && one.name !== 'garbage collection' ? [one] : []));
  for (const one of bars) {
    const beside = bars.filter((other) => other.pid === one.pid && other.tid === one.tid && other !== one);
    const end = one.ts + one.dur;
    const crossing = beside.find(
      (other) =>
        other.ts > one.ts + TOUCH_MICROSECONDS &&
        other.ts < end - TOUCH_MICROSECONDS &&
        other.ts + other.dur > end + TOUCH_MICROSECONDS,
    );
    if (crossing !== undefined) throw new Error(`the bar '${crossing.name}' reaches out of '${one.name}'`);
  }
}

function mustHaveTwoEnds(events: readonly TraceEvent[]): void {
  const ids = (ph: 's' | 'f'): string[] =>
    events.flatMap((one) => (one.ph === ph && 'id' in one ? [`${one.name} ${one.id}`] : [])).toSorted();
  const [begins, ends] = [ids('s'), ids('f')];
  if (new Set(begins).size !== begins.length) throw new Error('two arrows have one id');
  if (begins.join('\n') !== ends.join('\n')) throw new Error('an arrow has one end');
}
