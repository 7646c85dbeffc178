import { addressLine } from '../restore-findings.ts';
import { inMegabytes } from '../megabytes.ts';
import { comparedWithLast, duration, lastTime, type DrillReport, type DrillStep } from './report.ts';

const WIDTH = 1000;
const ROW = 26;
const NAMES = 170;

/** One page that needs no network and runs no script. All text in it is other people's, and none of it is markup. */
export function drillPage(report: DrillReport): string {
  const { checkpoint, grid, phases, members, hosts, addresses, checks, obstacles, notProven, earlier } =
    report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${html(`Drill of grid ${grid}: ${report.outcome}`)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Drill of grid ${html(grid)} <span id="outcome" class="${report.outcome}">${report.outcome}</span></h1>
<p>Checkpoint <code>${html(checkpoint)}</code>, ${html(report.startedAt)}. ${html(verdict(report))}</p>
<dl>
${figure('RTO', report.rtoMs === null ? 'not reached' : duration(report.rtoMs), comparedWithLast(report) ?? 'from the command to the last check')}
${figure('RPO', duration(report.rpoMs), 'age of the checkpoint when the drill began')}
${figure('Staged', inMegabytes(report.bytes), report.bytesPerSecond === null ? '' : `${inMegabytes(report.bytesPerSecond)}/s`)}
${figure('On hosts', standing(report), '')}
</dl>
${section('Would have been in the way in earnest', list(obstacles.map(({ about, text, hint, code }) => `<strong>${html(about === null ? text : `${about}: ${text}`)}</strong> <code>${html(code)}</code><br>${html(hint)}`)) || '<p>Nothing.</p>')}
${section(
  'Phases',
  rows(
    ['phase', 'begins after', 'takes', 'took last time'],
    phases.map(({ phase, startMs, durationMs }) => [
      phase,
      duration(startMs),
      duration(durationMs),
      lastTime(report, phase),
    ]),
  ),
)}
${section('Timeline', hosts.map((host) => timeline(host, report.durationMs)).join('\n'))}
${addresses.length === 0 ? '' : section('Addresses in the data', list(addresses.map((address) => html(addressLine(address)))))}
${section(
  'Your checks',
  checks.length === 0
    ? '<p>The grid file has none, or the drill did not come to them.</p>'
    : rows(
        ['check', 'member', 'result', 'takes', 'said', 'expected'],
        checks.map(({ name, member, passed, durationMs, said, cause, expected }) => [
          name,
          member ?? '',
          passed ? 'passed' : 'FAILED',
          duration(durationMs),
          passed ? said : cause,
          expected ?? '',
        ]),
      ),
)}
${section(
  'Members',
  rows(
    ['member', 'was at', 'is at', 'bytes', 'rate', 'proven'],
    members.map(({ name, from, to, bytes, bytesPerSecond, proven }) => [
      name,
      from,
      to,
      inMegabytes(bytes),
      bytesPerSecond === null ? '' : `${inMegabytes(bytesPerSecond)}/s`,
      proven.join('; '),
    ]),
  ),
)}
${section('Not proven by a drill', list(notProven.map(html)))}
${section(
  'Earlier drills',
  earlier.length === 0
    ? '<p>None.</p>'
    : rows(
        ['began', 'outcome', 'RTO', 'RPO', 'bytes'],
        earlier.map((drill) => [
          drill.startedAt,
          drill.outcome,
          drill.rtoMs === null ? 'not reached' : duration(drill.rtoMs),
          duration(drill.rpoMs),
          inMegabytes(drill.bytes),
        ]),
      ),
)}
<footer>stillpoint drill ${html(report.drill)}</footer>
</body>
</html>
`;
}

function verdict({ outcome, error }: DrillReport): string {
  if (outcome === 'passed') return 'A person could have gone live on it.';
  const what = outcome === 'refused' ? 'It was refused, and nothing was touched' : 'It failed';
  return error === undefined ? `${what}.` : `${what}: ${error.message}`;
}

function standing({ kept, left }: DrillReport): string {
  if (kept) return 'kept';
  return left.length === 0 ? 'nothing left' : `left: ${left.map(({ name }) => name).join(', ')}`;
}

/** One bar a step, one row a member, by when it began. */
function timeline({ host, steps }: DrillReport['hosts'][number], wholeMs: number): string {
  const members = [...new Set(steps.map(({ member }) => member))];
  const scale = (WIDTH - NAMES) / Math.max(wholeMs, 1);
  const bar = (step: DrillStep): string => {
    const x = NAMES + step.startMs * scale;
    const width = Math.max(step.durationMs * scale, 2);
    const y = members.indexOf(step.member) * ROW + 4;
    const kind = `${step.step}${step.failed ? ' broken' : ''}`;
    return `<rect class="step ${html(kind)}" x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 8}"><title>${html(`${step.member}: ${step.step}${step.failed ? ', failed' : ''}, ${duration(step.durationMs)}`)}</title></rect>`;
  };
  const names = members.map((name, index) => `<text x="0" y="${index * ROW + 18}">${html(name)}</text>`);
  const kinds = [...new Set(steps.map(({ step }) => step))];
  return `<h3>${html(host)}</h3>
<svg class="timeline" role="img" aria-label="${html(`timeline of ${host}`)}" viewBox="0 0 ${WIDTH} ${Math.max(members.length, 1) * ROW}">${names.join('')}${steps.map(bar).join('')}</svg>
<p class="legend">${kinds.map((kind) => `<span class="key ${html(kind)}"></span>${html(kind)}`).join(' ')} <span class="whole">whole width: ${duration(wholeMs)}</span></p>`;
}

function section(name: string, content: string): string {
  return content === '' ? '' : `<section><h2>${html(name)}</h2>\n${content}\n</section>`;
}

function figure(name: string, value: string, about: string): string {
  return `<div><dt>${html(name)}</dt><dd>${html(value)}<small>${html(about)}</small></dd></div>`;
}

function list(items: readonly string[]): string {
  return items.length === 0 ? '' : `<ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul>`;
}

function rows(heading: readonly string[], lines: readonly (readonly string[])[]): string {
  if (lines.length === 0) return '';
  const row = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}${cell === 'FAILED' ? ' class="failed"' : ''}>${html(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>${row(heading, 'th')}${lines.map((line) => row(line, 'td')).join('')}</table>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function html(text: string): string {
  return text.replace(/[&<>"']/g, (one) => ENTITIES[one] ?? one);
}

const STYLE = `
:root { color-scheme: light dark; --good: #1a7f37; --bad: #b42318; --soft: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 span { font-size: 1rem; padding: .2rem .7rem; border-radius: 1rem; color: #fff; vertical-align: middle; }
.passed { background: var(--good); } h1 .failed, h1 .refused { background: var(--bad); }
td.failed { color: var(--bad); font-weight: bold; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: 1rem; }
dl div { border: 1px solid var(--soft); border-radius: .5rem; padding: .7rem 1rem; }
dt { opacity: .7; } dd { margin: 0; font-size: 1.6rem; } dd small { display: block; font-size: .8rem; opacity: .7; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--soft); vertical-align: top; overflow-wrap: anywhere; }
svg.timeline { width: 100%; border: 1px solid var(--soft); border-radius: .3rem; } svg text { font-size: 13px; fill: currentColor; }
.step { fill: #667; } .key { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 .8rem; background: #667; }
.check { fill: #888; background: #888; } .stage { fill: #2f6fde; background: #2f6fde; } .prove, .verify { fill: #1a7f37; background: #1a7f37; }
.switchIn { fill: #b8860b; background: #b8860b; } .start { fill: #7c3aed; background: #7c3aed; } .rollBack { fill: #a8a29e; background: #a8a29e; }
.step.broken { fill: var(--bad); } .legend { font-size: .85rem; } .whole { float: right; opacity: .7; }
footer { margin: 2rem 0; opacity: .6; font-size: .85rem; }
`;
