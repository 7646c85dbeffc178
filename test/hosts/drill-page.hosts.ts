import { expect } from 'chai';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { drillPage } from '../../coordinator/drill/report-page.ts';
import { reportOf } from '../coordinator/drill-reports.ts';
import { findBrowser, seePage } from '../lab/browser.ts';
import { bringPrograms, NoLabHere } from './lab/tools.ts';

// Goal: a person who opens the report sees what happened, with no network and whatever texts are in it.
// Method: a real browser, by its debugging protocol. The screenshot stays in a directory of its own, for people.
describe('the page of a drill in a browser', () => {
  let browser: string;

  before(function () {
    try {
      if (findBrowser() === null) bringPrograms({ chromium: 'chromium' }, console.log);
      browser = findBrowser() ?? expect.fail('it was installed, and is not found');
    } catch (error) {
      if (!(error instanceof NoLabHere)) throw error;
      console.log(`      ${error.message}`);
      this.skip();
    }
  });

  it('shows outcome, times, bars and hostile texts as they are, and asks for nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stillpoint-drill-page-'));
    const step = (member: string, name: string, startMs: number, durationMs: number, failed = false) => ({
      member,
      step: name,
      startMs,
      durationMs,
      failed,
    });
    const report = reportOf({
      outcome: 'failed',
      exitCode: 6,
      rtoMs: null,
      hosts: [
        {
          host: 'gamma.example',
          steps: [
            step('orders-1a', 'stage', 1000, 2000),
            step('orders-1a', 'prove', 3000, 1000),
            step('orders-1a', 'rollBack', 4500, 300),
          ],
        },
        { host: 'delta.example', steps: [step('orders-2a', 'stage', 1000, 3000, true)] },
      ],
      checks: [
        {
          name: 'rows',
          member: 'orders-1a',
          kind: 'sql',
          passed: false,
          expected: '42',
          said: '<img src=x onerror="document.title=\'run\'">',
          cause: 'it said <img src=x onerror="document.title=\'run\'">',
          durationMs: 12,
        },
      ],
      obstacles: [
        { code: 'drill-check-failed', about: 'orders-1a', text: 'a check failed', hint: 'see <b>why</b>' },
      ],
    });
    const file = join(folder, 'drill.html');
    writeFileSync(file, drillPage(report));

    const seen = await seePage({
      browser,
      url: pathToFileURL(file).href,
      profile: join(folder, 'profile'),
      script: `({ title: document.title, images: document.images.length,
        bars: [...document.querySelectorAll('svg.timeline rect')].map((bar) => {
          const { width, height } = bar.getBoundingClientRect();
          return { width, height, color: getComputedStyle(bar).fill };
        }),
        wide: document.documentElement.scrollWidth > innerWidth })`,
    });
    const picture = join(folder, 'drill.png');
    writeFileSync(picture, seen.screenshot);
    console.log(`      screenshot: ${picture}`);

    expect(seen.text).to.match(/Drill of grid orders\s+failed/);
    for (const words of ['not reached', '1 h', '50.0 MB', 'FAILED', 'gamma.example', 'see <b>why</b>'])
      expect(seen.text).to.include(words);
    expect(seen.text).to.include('<img src=x');
    const { title, images, bars, wide } = seen.value as {
      title: string;
      images: number;
      bars: { width: number; height: number; color: string }[];
      wide: boolean;
    };
    expect({ title, images, wide }).to.deep.equal({
      title: 'Drill of grid orders: failed',
      images: 0,
      wide: false,
    });
    expect(bars).to.have.length(4);
    for (const { width, height } of bars) expect(Math.min(width, height)).to.be.greaterThan(1);
    expect(new Set(bars.map(({ color }) => color)).size).to.equal(4);
    // Bars are as long as what they stand for.
    expect((bars[0]?.width ?? 0) / (bars[1]?.width ?? 1)).to.be.closeTo(2, 0.1);
    expect(seen.requests).to.deep.equal([pathToFileURL(file).href]);
    expect(seen.screenshot.length).to.be.greaterThan(10_000);
  });
});
