import type { Verdict } from './promise.ts';

/** What build servers read: one case for each promise; what was not tried or does not apply is skipped. */
export function junitOf(processName: string, verdicts: readonly Verdict[]): string {
  const count = (...results: readonly string[]): number =>
    verdicts.filter(({ result }) => results.includes(result)).length;
  const seconds = (ms: number): string => (ms / 1000).toFixed(3);
  const time = seconds(verdicts.reduce((sum, { tookMs }) => sum + tookMs, 0));
  const cases = verdicts.map(({ id, says, result, seen, tookMs }) => {
    const begin = `    <testcase classname="${quoted(processName)}" name="${quoted(id)}" time="${seconds(tookMs)}"`;
    if (result === 'kept') return `${begin}/>`;
    const text = quoted(seen);
    const inner =
      result === 'broken'
        ? `<failure message="${text}">contract: ${quoted(says)}</failure>`
        : `<skipped message="${result}: ${text}"/>`;
    return `${begin}>${inner}</testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    `  <testsuite name="stillpoint-conformance" tests="${verdicts.length}" failures="${count('broken')}" skipped="${count('not-tried', 'not-applicable')}" time="${time}">`,
    ...cases,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

/** What XML cannot say at all is left out. */
function quoted(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD]/g, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;');
}
