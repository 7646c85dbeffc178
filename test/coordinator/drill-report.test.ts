import { expect } from 'chai';
import { exitCodeOf } from '../../coordinator/drill/drill.ts';
import { drillChecksSchema, resultOf, type DrillCheck } from '../../coordinator/drill/checks.ts';
import { drillPage } from '../../coordinator/drill/report-page.ts';
import { comparedWithLast, duration, lastDrills, type DrillReport } from '../../coordinator/drill/report.ts';
import { drillInWords } from '../../coordinator/drill/report-text.ts';
import { reportOf } from './drill-reports.ts';
import { StillpointError, type ExitCode } from '../../shared/domain/errors.ts';

// Goal: what a person reads of a drill is what happened, whatever texts a grid, a check or a server puts into it.

const HOSTILE = `<script>alert(1)</script>"'&\u001b[2J\nnext`;

const earlier = (startedAt: string, changes: Partial<DrillReport> = {}) => ({
  drillId: startedAt.replaceAll(':', '-'),
  report: JSON.stringify(reportOf({ drill: startedAt.replaceAll(':', '-'), startedAt, ...changes })),
});

describe('the report of a drill', () => {
  it('shows texts of others as texts, on the page and on the terminal', () => {
    const report = reportOf({
      grid: HOSTILE,
      outcome: 'failed',
      hosts: [
        {
          host: HOSTILE,
          steps: [{ member: HOSTILE, step: 'stage', startMs: 0, durationMs: 1, failed: true }],
        },
      ],
      members: [
        {
          name: HOSTILE,
          host: HOSTILE,
          from: HOSTILE,
          to: HOSTILE,
          bytes: 1,
          bytesPerSecond: null,
          proven: [HOSTILE],
        },
      ],
      checks: [
        {
          name: HOSTILE,
          member: HOSTILE,
          kind: 'sql',
          passed: false,
          expected: HOSTILE,
          said: HOSTILE,
          cause: HOSTILE,
          durationMs: 1,
        },
      ],
      obstacles: [{ code: HOSTILE, about: HOSTILE, text: HOSTILE, hint: HOSTILE }],
      notProven: [HOSTILE],
      left: [{ name: HOSTILE, state: 'unknown' }],
      error: { code: 'drill-check-failed', message: HOSTILE, hint: HOSTILE },
    });
    const page = drillPage(report);
    expect(page).to.not.include('<script');
    expect(page).to.not.match(/="[^"]*<script/);
    expect(page).to.include('&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;');
    // oxlint-disable-next-line no-control-regex
    expect(drillInWords(report)).to.not.match(/\u001b|^next/m);
  });

  it('needs nothing from elsewhere', () => {
    const page = drillPage(reportOf());
    expect(page).to.not.match(/\bsrc=|href=|@import|url\(/);
    expect(page).to.include("default-src 'none'");
  });

  it('is held against the last drill that passed, and lists the last five, newest first', () => {
    const stored = [
      earlier('2026-11-13T13:00:00.000Z', { rtoMs: 2000 }),
      earlier('2026-11-19T13:00:00.000Z', { outcome: 'failed', rtoMs: null }),
      ...[1, 2, 3, 4, 5].map((day) => earlier(`2026-11-0${day}T13:00:00.000Z`)),
    ];
    const drills = lastDrills(stored);
    expect(drills.map(({ startedAt }) => startedAt.slice(0, 10))).to.deep.equal([
      '2026-11-19',
      '2026-11-13',
      '2026-11-05',
      '2026-11-04',
      '2026-11-03',
    ]);
    expect(comparedWithLast(reportOf({ earlier: drills }))).to.equal(
      '100% longer than the last drill that passed (2026-11-13T13:00:00.000Z)',
    );
    expect(comparedWithLast(reportOf())).to.equal(null);
    const page = drillPage(reportOf({ earlier: drills }));
    expect(page).to.include('100% longer');
    expect(page).to.include('<td>stage</td><td>1.0 s</td><td>2.0 s</td><td>2.0 s</td>');
  });

  it('leaves out what lies among the earlier ones and is none', () => {
    const good = earlier('2026-11-13T13:00:00.000Z');
    const stored = [
      good,
      { drillId: 'torn', report: good.report.slice(0, 40) },
      { drillId: 'renamed', report: good.report },
      { drillId: 'later', report: JSON.stringify({ format: 2 }) },
    ];
    expect(lastDrills(stored)).to.have.length(1);
  });

  it('says how to end a drill that was kept, and names what is left of another', () => {
    expect(drillInWords(reportOf({ kept: true }))).to.include('stillpoint drill --finish 11111111');
    const left = reportOf({ outcome: 'failed', left: [{ name: 'orders-1a', state: 'unknown' }] });
    expect(drillInWords(left)).to.include('LEFT on hosts: orders-1a (unknown)');
    expect(drillPage(left)).to.include('left: orders-1a');
  });

  it('writes durations as people do', () => {
    expect([0, 1400, 725_000, 12_000_000, 187_200_000].map(duration)).to.deep.equal([
      '0.0 s',
      '1.4 s',
      '12 min 5 s',
      '3 h 20 min',
      '2 d 4 h',
    ]);
  });
});

describe('a check of a drill', () => {
  const check = (changes: Partial<DrillCheck>): DrillCheck => ({
    name: 'c',
    member: 'm',
    sql: 'SELECT 1',
    ...changes,
  });
  const passes = (expected: DrillCheck['expect'], text: string): boolean =>
    resultOf(check({ expect: expected }), { text, error: '', durationMs: 1 }).passed;

  it('passes where what was said is what was expected, as text, number, truth or bound', () => {
    expect(passes('b\tc', ' b\tc\n')).to.equal(true);
    expect(passes(42, '42.0')).to.equal(true);
    expect(passes(0, '')).to.equal(false);
    expect(passes(true, 't')).to.equal(true);
    expect(passes(false, 't')).to.equal(false);
    expect(passes({ atLeast: 5 }, '5')).to.equal(true);
    expect(passes({ atLeast: 5 }, '4.9')).to.equal(false);
    expect(passes({ atLeast: -1 }, '')).to.equal(false);
  });

  it('fails where there is no answer, whatever was expected', () => {
    const result = resultOf(check({ expect: '' }), { text: '', error: 'timeout', durationMs: 1 });
    expect(result).to.include({ passed: false, cause: 'timeout' });
  });

  it('is refused in the grid file where it does not say whom it asks, what it expects, or says two things', () => {
    const parses = (one: object, ...others: object[]): boolean =>
      drillChecksSchema.safeParse([one, ...others]).success;
    const asked = { name: 'c', member: 'm', sql: 'SELECT 1', expect: 1 };
    expect(parses(asked)).to.equal(true);
    expect(parses({ name: 'c', command: ['true'] })).to.equal(true);
    expect(parses({ ...asked, member: undefined })).to.equal(false);
    expect(parses({ ...asked, expect: undefined })).to.equal(false);
    expect(parses({ ...asked, command: ['true'] })).to.equal(false);
    expect(parses({ name: 'c', command: 'rm -rf /' })).to.equal(false);
    expect(parses(asked, asked)).to.equal(false);
  });
});

describe('the exit code of a drill', () => {
  const failing = (code: string, exitCode: ExitCode): StillpointError =>
    new StillpointError({ code, message: '', hint: '' }, exitCode);

  it('is 6 where data or a check does not hold, 7 where something else was in the way, 3 where nothing was touched', () => {
    expect(exitCodeOf(failing('restore-not-verified', 7))).to.equal(6);
    expect(exitCodeOf(failing('drill-check-failed', 7))).to.equal(6);
    expect(exitCodeOf(failing('chunk-damaged', 7))).to.equal(6);
    expect(exitCodeOf(failing('host-disk-full', 7))).to.equal(7);
    expect(exitCodeOf(failing('interrupted', 7))).to.equal(7);
    expect(exitCodeOf(failing('drill-occupied', 3))).to.equal(3);
  });
});
