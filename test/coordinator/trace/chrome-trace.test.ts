import { expect } from 'chai';
import {
  chromeEvents,
  type ChromeEvent,
  type PlacedProcess,
} from '../../../coordinator/trace/chrome-trace.ts';
import { readTraceFile } from '../../lab/chrome-trace-file.ts';
import { AGENT_STEPS, COORDINATOR_STEPS, processTrace, steps } from './sample-trace.ts';

// Goal: what was noted is drawn where it was, and every viewer can read it. Method: two processes with clocks of their own.

const OFFSET_MS = 500_000;

describe('a trace in the Chrome format', () => {
  function drawn(
    ours = COORDINATOR_STEPS,
    theirs = AGENT_STEPS,
    change: Partial<PlacedProcess['trace']> = {},
  ): ChromeEvent[] {
    const phases = steps('', '0 preflight entered\n1 prepare entered\n60 freeze entered');
    const events = chromeEvents([
      {
        name: 'coordinator',
        trace: processTrace([...phases, ...steps('a', ours)]),
        toTrace: (ms) => ms,
      },
      {
        name: 'agent on h',
        trace: processTrace(
          steps('a', theirs).map((step) => ({ ...step, atMs: step.atMs + OFFSET_MS })),
          change,
        ),
        toTrace: (ms) => ms - OFFSET_MS,
      },
    ]);
    const otherData = { version: '1', grid: 'g', outcome: 'x', lost: 0, hosts: [] };
    readTraceFile(JSON.stringify({ traceEvents: events, displayTimeUnit: 'ms', otherData }));
    return events;
  }

  const barsOf = (events: readonly ChromeEvent[], pid: number): string[] =>
    events
      .filter(({ ph, tid, pid: of }) => ph === 'X' && tid !== 0 && of === pid)
      .toSorted((one, other) => (one.ts ?? 0) - (other.ts ?? 0) || (other.dur ?? 0) - (one.dur ?? 0))
      .map(({ name, ts = 0, dur = 0 }) => `${ts / 1000}+${dur / 1000} ${name}`);

  it('has every step of every process, in microseconds on one clock', () => {
    const events = drawn();
    const points = events.filter(({ ph }) => ph === 'i');
    expect(points).to.have.length(
      COORDINATOR_STEPS.trim().split('\n').length + AGENT_STEPS.trim().split('\n').length,
    );
    const received = points
      .filter(({ name }) => name === 'freeze received')
      .map(({ ts, pid }) => ({ ts, pid }));
    expect(received).to.deep.equal([
      { ts: 41_000, pid: 2 },
      { ts: 61_000, pid: 2 },
    ]);
  });

  it('has a bar for what each side is at, and those of the server within', () => {
    const events = drawn();
    expect(barsOf(events, 1)).to.include.members([
      '40+3 freeze',
      '60+6 freeze',
      '66+4 waits for the others',
      '70+9 thaw',
      '79+6 proof',
    ]);
    expect(barsOf(events, 2)).to.include.members([
      '61+4 freeze',
      '62+1 mark',
      '72+6 thaw',
      '73+1 look',
      '74.5+0.5 acknowledge',
      '75.5+1.5 open',
      '78+6 proof',
    ]);
    const phases = events.filter(({ ph, tid, pid }) => ph === 'X' && tid === 0 && pid === 1);
    expect(phases.map(({ name, ts, dur }) => [name, ts, dur])).to.deep.equal([
      ['preflight', 0, 1000],
      ['prepare', 1000, 59_000],
      ['freeze', 60_000, 30_000],
    ]);
  });

  it('has an arrow for every message, from where it was sent to where it was received', () => {
    const arrows = drawn().filter(({ cat }) => cat === 'message');
    const ends = (name: string): (readonly [string, number | undefined, number])[] =>
      arrows.filter((one) => one.name === name).map(({ ph, ts, pid }) => [ph, ts, pid] as const);
    expect(ends('thaw')).to.deep.equal([
      ['s', 44_000, 1],
      ['f', 45_000, 2],
      ['s', 70_000, 1],
      ['f', 72_000, 2],
    ]);
    expect(ends('released')).to.deep.equal([
      ['s', 47_000, 2],
      ['f', 48_000, 1],
      ['s', 78_000, 2],
      ['f', 79_000, 1],
    ]);
  });

  it('has no arrow for a message that was lost, and the right one for what was sent again', () => {
    const events = drawn(
      '1 freeze sent\n20 abort sent\n21 abort sent\n31 aborted received',
      '22 abort received\n30 aborted sent',
    );
    const arrows = events.filter(({ cat }) => cat === 'message').map(({ name, ts }) => [name, ts]);
    expect(arrows).to.deep.equal([
      ['abort', 21_000],
      ['abort', 22_000],
      ['aborted', 30_000],
      ['aborted', 31_000],
    ]);
  });

  it('says with a bar how its processor was shared, and where garbage was collected', () => {
    const at = (ms: number): number => ms + OFFSET_MS;
    const events = drawn(COORDINATOR_STEPS, AGENT_STEPS, {
      samples: [
        { atMs: at(61), ranMs: 5, waitedMs: 7 },
        { atMs: at(65), ranMs: 6, waitedMs: 7.5 },
      ],
      collections: [{ atMs: at(62), durationMs: 2 }],
    });
    const [freeze] = events.filter(({ name, pid, ts }) => name === 'freeze' && pid === 2 && ts === 61_000);
    expect(freeze?.args).to.deep.equal({ ranMs: 1, waitedMs: 0.5 });
    const [collection] = events.filter(({ name }) => name === 'garbage collection');
    expect(collection).to.include({ pid: 2, tid: 0, ts: 62_000, dur: 2000 });
  });

  it('of a checkpoint that was aborted in the middle ends its bars with the abort', () => {
    const events = drawn(
      '1 prepare sent\n20 abort sent\n25 aborted received',
      '2 prepare received\n21 abort received\n24 aborted sent',
    );
    expect(barsOf(events, 1)).to.deep.equal(['1+19 prepare', '20+5 abort']);
    expect(barsOf(events, 2)).to.deep.equal(['2+19 prepare', '21+3 abort']);
  });

  it('of a member whose agent was lost has an end for what was under way', () => {
    const events = drawn(
      '1 prepare sent\n20 prepared received\n30 arm sent',
      '2 prepare received\n19 prepared sent',
    );
    const arm = events.find(({ name, ph }) => name === 'arm' && ph === 'X');
    expect(arm?.args).to.deep.equal({ ended: 'not seen' });
  });
});
