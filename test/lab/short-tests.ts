import { relative } from 'node:path';
import type { Context } from 'mocha';

/** These start no servers: one that takes longer hangs, also where the machine has much else to do. */
const SHORT = /^test\/(agent|coordinator|domain|protocol|rpc|runtime)\//;
const SHORT_MS = 30_000;

/** What .mocharc.json gives to all: enough for real servers, agents and clients. */
const LONG_MS = 120_000;

/** A test that names a time of its own keeps it. */
export const mochaHooks = {
  beforeEach(this: Context): void {
    const test = this.currentTest;
    if (test?.file === undefined || !SHORT.test(relative('', test.file))) return;
    if (test.timeout() === LONG_MS) test.timeout(SHORT_MS);
  },
};
