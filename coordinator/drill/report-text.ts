import { inMegabytes } from '../megabytes.ts';
import { table } from '../output.ts';
import { addressLine } from '../restore-findings.ts';
import { comparedWithLast, duration, lastTime, type DrillReport } from './report.ts';

/** The report for a terminal and for logs. */
export function drillInWords(given: DrillReport): string {
  const report = inSingleLines(given);
  const { phases, members, addresses, checks, obstacles, notProven, earlier } = report;
  return [
    heading(report),
    `  RTO ${report.rtoMs === null ? 'not reached' : duration(report.rtoMs)}${prefixed(', ', comparedWithLast(report))}; RPO ${duration(report.rpoMs)} (the age of the checkpoint)`,
    `  ${inMegabytes(report.bytes)} staged${prefixed(', ', rate(report.bytesPerSecond))}`,
    ...section(
      'phases',
      table(
        phases.map(({ phase, durationMs }) => [
          `  ${phase}`,
          duration(durationMs),
          prefixed('last time ', lastTime(report, phase) || null),
        ]),
      ),
    ),
    ...section(
      'members',
      table(
        members.map(({ name, from, to, bytes, bytesPerSecond }) => [
          `  ${name}`,
          from,
          '->',
          to,
          inMegabytes(bytes),
          rate(bytesPerSecond) ?? '',
        ]),
      ),
    ),
    ...section('addresses in the data', addresses.map((address) => `  ${addressLine(address)}`).join('\n')),
    ...section(
      'your checks',
      table(
        checks.map(({ name, passed, said, cause, durationMs }) => [
          `  ${name}`,
          passed ? 'passed' : 'FAILED',
          duration(durationMs),
          passed ? said : cause,
        ]),
      ),
    ),
    ...section(
      'in earnest this would be in the way',
      obstacles
        .map(({ about, text, hint }) => `  ${prefixed('', about, ': ')}${text}\n    hint: ${hint}`)
        .join('\n'),
    ),
    ...section('not proven by a drill', notProven.map((what) => `  ${what}`).join('\n')),
    ...section(
      'earlier drills',
      table(
        earlier.map(({ startedAt, outcome, rtoMs, rpoMs, bytes }) => [
          `  ${startedAt}`,
          outcome,
          `RTO ${rtoMs === null ? 'not reached' : duration(rtoMs)}`,
          `RPO ${duration(rpoMs)}`,
          inMegabytes(bytes),
        ]),
      ),
    ),
    ...ending(report),
  ].join('\n');
}

function heading({ outcome, checkpoint, grid }: DrillReport): string {
  const said = { passed: 'passed', failed: 'FAILED', refused: 'refused, nothing was touched' }[outcome];
  return `drill of ${checkpoint} of grid ${grid}: ${said}`;
}

function ending({ drill, kept, left }: DrillReport): string[] {
  if (kept)
    return [
      `kept: nothing is decided, and nothing else can be restored there. Look around, then`,
      `  tear it down:   stillpoint drill --finish ${drill} --grid FILE`,
      `  or go live:     stillpoint drill --go-live ${drill} --grid FILE`,
    ];
  if (left.length === 0) return ['nothing of the drill is left on the hosts'];
  const named = left.map(({ name, state }) => `${name} (${state})`).join(', ');
  return [`LEFT on hosts: ${named}. See to it: stillpoint drill --finish ${drill} --grid FILE`];
}

function section(name: string, text: string): string[] {
  return text === '' ? [] : [`${name}:`, text];
}

function rate(bytesPerSecond: number | null): string | null {
  return bytesPerSecond === null ? null : `${inMegabytes(bytesPerSecond)}/s`;
}

function prefixed(before: string, text: string | null, behind = ''): string {
  return text === null ? '' : `${before}${text}${behind}`;
}

/** Its texts are other people's: on a terminal each stays one line, and moves no cursor. */
function inSingleLines(report: DrillReport): DrillReport {
  return JSON.parse(JSON.stringify(report), (_, value: unknown) =>
    // oxlint-disable-next-line no-control-regex
    typeof value === 'string' ? value.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ') : value,
  ) as DrillReport;
}
