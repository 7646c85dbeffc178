import { createServer } from 'node:net';

/** More than mocha runs test files at once. */
const PROCESSES = 8;

const ours = Number(process.env['MOCHA_WORKER_ID'] ?? 0) % PROCESSES;
const given = new Set<string>();

/**
 * A port that is free on this address now and that no process of this test run gave to anybody else: each of them
 * takes a share of them.
 */
export async function freePort(host: string): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const probe = createServer();
      probe.on('error', reject);
      probe.listen(0, host, () => {
        const address = probe.address();
        probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
      });
    });
    const key = `${host}:${port}`;
    // The system gives odd ports first: half of the port spreads evenly.
    if (given.has(key) || Math.floor(port / 2) % PROCESSES !== ours) continue;
    given.add(key);
    return port;
  }
}
