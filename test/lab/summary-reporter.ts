import { writeFileSync } from 'node:fs';
import { reporters, type MochaOptions, type Runner } from 'mocha';

/** Mocha's own output, and the three counts in a file for scripts/test. */
export default class SummaryReporter extends reporters.Spec {
  constructor(runner: Runner, options: MochaOptions) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env['STILLPOINT_TEST_RESULTS'];
      if (file !== undefined) writeFileSync(file, `${passes} ${failures} ${pending}\n`);
    });
  }
}
