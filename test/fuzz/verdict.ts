import { expect } from 'chai';
import fc from 'fast-check';
import { StillpointError } from '../../shared/domain/errors.ts';

/**
 * How a parser may end: with a value, or with a StillpointError that says what is wrong and what to do. A run has
 * a limit of time and of memory, generous for any machine: it is a hang or a length field that was believed that it
 * finds. `STILLPOINT_FUZZ_SEED` repeats a run; what failed prints its seed and its path.
 */
const MOST_MS = 5000;
const MOST_GROWTH_BYTES = 400 * 1024 * 1024;

export async function fuzz<T>(
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  check: (input: T) => Promise<void> | void,
): Promise<void> {
  const seed = process.env['STILLPOINT_FUZZ_SEED'];
  const path = process.env['STILLPOINT_FUZZ_PATH'];
  const strays: unknown[] = [];
  const stray = (error: unknown): void => void strays.push(error);
  // Mocha listens too, and would blame whatever test runs then.
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', stray);
  const before = process.resourceUsage().maxRSS * 1024;
  try {
    await fc.assert(
      fc.asyncProperty(arbitrary, async (input) => {
        // Of the processor: others may use the machine too.
        const startedAt = process.cpuUsage();
        await check(input);
        const { user, system } = process.cpuUsage(startedAt);
        expect((user + system) / 1000, 'milliseconds').to.be.lessThan(MOST_MS);
        expect(strays, 'rejections that nobody handled').to.deep.equal([]);
      }),
      {
        numRuns: runs,
        // A hang is a failure of its own, with the input that did it.
        timeout: 4 * MOST_MS,
        ...(seed !== undefined && { seed: Number(seed) }),
        ...(path !== undefined && { path }),
      },
    );
  } finally {
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', stray);
    for (const other of others) process.on('unhandledRejection', other);
  }
  expect(strays, 'rejections that nobody handled').to.deep.equal([]);
  expect(process.resourceUsage().maxRSS * 1024 - before, 'bytes of memory').to.be.lessThan(MOST_GROWTH_BYTES);
}

/** What the work resolves to, or null where it ends with a clear error; fails for any other end. */
export async function accepted<T>(work: () => Promise<T> | T): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    const { code, message, hint } = error.failure;
    expect(code).to.match(/^[a-z]+(-[a-z]+)*$/);
    expect(message).not.to.equal('');
    expect(hint).not.to.equal('');
    // A line for people: what was read is quoted in part, never as a whole.
    expect(message.length).to.be.lessThan(20_000);
    return null;
  }
}
