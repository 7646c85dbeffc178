import { lstat, open } from 'node:fs/promises';
import { failureOf, StillpointError } from '../../shared/domain/errors.ts';
import type { ProcessTrace } from '../../shared/domain/trace.ts';
import { machineMs } from '../../shared/runtime/clock.ts';
import { ProcessTracer } from '../../shared/runtime/process-tracer.ts';
import { version } from '../../shared/runtime/version.ts';
import { writeWhole } from '../../shared/runtime/whole-file.ts';
import type { AgentConnection } from '../agents.ts';
import type { CheckpointReport, TraceReport } from '../reports.ts';
import { chromeEvents, type PlacedProcess } from './chrome-trace.ts';
import { clockOffset, ShortestRoundTrip, type ClockOffset, type RoundTrip } from './clock-offset.ts';
import { processorUse, windowOf, windowParts, type ProcessorUse } from './window-parts.ts';

/** Every file of ours begins so, and no other is written over. */
const BEGINNING = '{"traceEvents":[';
/** Asked when all is over, for the clocks: the shortest of them counts. */
const LAST_ROUND_TRIPS = 30;
const ROUND_TRIP_MS = 5000;

/** What is known of one host's part. */
interface HostPart {
  readonly host: string;
  readonly before: ShortestRoundTrip;
  readonly after: ShortestRoundTrip;
  trace: ProcessTrace | null;
  /** Why there is no trace; null where there is one. */
  failure: string | null;
}

/**
 * The trace of one checkpoint: the steps of the coordinator and of every agent, on the coordinator's clock, in a file that
 * Perfetto opens. Agents are asked for theirs when nobody is held any more; one that is gone leaves its part out.
 */
export class CheckpointTrace {
  readonly path: string;
  readonly #beganMs = machineMs();
  readonly #hosts = new Map<string, HostPart>();
  #tracer: ProcessTracer | null = null;
  #ours: ProcessTrace | null = null;

  private constructor(path: string) {
    this.path = path;
  }

  /** Rejects `trace-unwritable` where the file could not be written later, or is something else. */
  static async open(path: string): Promise<CheckpointTrace> {
    try {
      await mustBeOurs(path);
      await writeWhole(path, `${BEGINNING}]}\n`, 0o644, { durable: false });
    } catch (error) {
      throw unwritable(path, error);
    }
    return new CheckpointTrace(path);
  }

  /** From now on steps of these members are noted, by what this gives. Called once. */
  begin(members: readonly string[]): ProcessTracer {
    this.#tracer = new ProcessTracer(members);
    this.#tracer.note('preflight entered', '', this.#beganMs);
    return this.#tracer;
  }

  /** A round trip of before the freeze. */
  roundTrip(connection: AgentConnection, trip: RoundTrip): void {
    this.#hostOf(connection).before.note(trip);
  }

  /** Asks every agent for its steps. Never rejects: what cannot be had is said in the file. */
  async gather(connections: readonly AgentConnection[]): Promise<void> {
    await Promise.all(connections.map((connection) => this.#ask(connection)));
    this.#ours = this.#tracer?.read() ?? null;
    this.#tracer?.end();
  }

  /** Of what is gathered: where the time of the window went. Null where nobody was let go. */
  report(): TraceReport | null {
    const ours = this.#ours;
    const window = ours === null ? null : windowOf(ours);
    if (ours === null || window === null) return null;
    return {
      file: this.path,
      coordinator: rounded(processorUse(ours.samples, window.fromMs, window.toMs)),
      agents: [...this.#hosts.values()].map((part) => {
        const { toOurs } = clockOf(part, ours) ?? { toOurs: (ms: number) => ms };
        const samples = (part.trace?.samples ?? []).map((one) => ({ ...one, atMs: toOurs(one.atMs) }));
        return { host: part.host, processor: rounded(processorUse(samples, window.fromMs, window.toMs)) };
      }),
    };
  }

  /** The report of the checkpoint, with each member's part of the window. */
  addTo(report: CheckpointReport): CheckpointReport {
    const trace = this.report();
    const ours = this.#ours;
    if (trace === null || ours === null) return report;
    const partsOf = (member: string): ReturnType<typeof windowParts> =>
      [...this.#hosts.values()]
        .map((part) => (part.trace === null ? null : windowParts(member, ours, part.trace)))
        .find((parts) => parts !== null) ?? null;
    return {
      ...report,
      trace,
      members: report.members.map((member) => ({ ...member, window: rounded(partsOf(member.name)) })),
    };
  }

  /** Rejects `trace-unwritable`. Whole, or as it was. */
  async write(about: Readonly<Record<string, unknown>>): Promise<void> {
    const ours = this.#ours ?? this.#unbegun();
    const hosts = [...this.#hosts.values()].map((part) => ({ part, clock: clockOf(part, ours) }));
    const processes: PlacedProcess[] = [
      { name: 'coordinator', trace: ours, toTrace: (ms) => ms - this.#beganMs },
      ...hosts.flatMap(({ part, clock }) =>
        part.trace === null || clock === null
          ? []
          : [
              {
                name: `agent on ${part.host}`,
                trace: part.trace,
                toTrace: (ms: number) => clock.toOurs(ms) - this.#beganMs,
              },
            ],
      ),
    ];
    const otherData = {
      version,
      ...about,
      lost: ours.lost,
      hosts: hosts.map(({ part, clock }) => aboutHost(part, clock)),
    };
    const events = chromeEvents(processes).map((event) => JSON.stringify(event));
    const rest = `"displayTimeUnit":"ms","otherData":${JSON.stringify(otherData)}`;
    try {
      await writeWhole(this.path, `${BEGINNING}${events.join(',\n')}],\n${rest}}\n`, 0o644, {
        durable: false,
      });
    } catch (error) {
      throw unwritable(this.path, error);
    }
  }

  async #ask(connection: AgentConnection): Promise<void> {
    const part = this.#hostOf(connection);
    try {
      await connection.rehearse(LAST_ROUND_TRIPS, {
        heard: (trip) => part.after.note(trip),
        withinMs: ROUND_TRIP_MS,
      });
      part.trace = await connection.readTrace();
    } catch (error) {
      part.failure = failureOf(error, { code: '', hint: '' }).message;
    }
  }

  #hostOf({ address, host }: AgentConnection): HostPart {
    const known = this.#hosts.get(address);
    if (known !== undefined) return known;
    const part: HostPart = {
      host,
      before: new ShortestRoundTrip(),
      after: new ShortestRoundTrip(),
      trace: null,
      failure: null,
    };
    this.#hosts.set(address, part);
    return part;
  }

  /** Where it ended in preflight. */
  #unbegun(): ProcessTrace {
    const tracer = this.#tracer ?? this.begin([]);
    const trace = tracer.read();
    tracer.end();
    return trace;
  }
}

function clockOf({ before, after, trace }: HostPart, ours: ProcessTrace): ClockOffset | null {
  const trips = [before.trip, after.trip].filter((trip) => trip !== null);
  return clockOffset(trips, ours.machine !== '' && trace?.machine === ours.machine);
}

function aboutHost(part: HostPart, clock: ClockOffset | null): Readonly<Record<string, unknown>> {
  return {
    host: part.host,
    ...(clock !== null && {
      clockIsOurs: clock.isOurs,
      clockOffsetMs: clock.offsetMs,
      clockUncertaintyMs: clock.uncertaintyMs,
    }),
    ...(part.trace !== null && { lost: part.trace.lost }),
    ...(part.failure !== null && { missing: part.failure }),
  };
}

/** Of numbers of milliseconds. */
function rounded<T extends ProcessorUse | object>(of: T | null): T | null {
  if (of === null) return null;
  const entries = Object.entries(of).map(([key, value]: [string, unknown]) => [
    key,
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  ]);
  return Object.fromEntries(entries) as T;
}

async function mustBeOurs(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return;
  if (!found.isFile()) throw new Error('it is no file');
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(BEGINNING.length), 0, BEGINNING.length, 0);
    if (buffer.toString('utf8', 0, bytesRead) !== BEGINNING) throw new Error('it is of something else');
  } finally {
    await file.close();
  }
}

function unwritable(path: string, error: unknown): StillpointError {
  return new StillpointError({
    code: 'trace-unwritable',
    message: `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'name a file in a directory that is there and can be written to, and nothing else of that name: --trace FILE',
  });
}
