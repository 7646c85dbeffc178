import { createServer } from 'node:net';

const given = new Set<string>();

/** A port that is free on this address now and that this process gave to nobody else. */
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
    if (given.has(key)) continue;
    given.add(key);
    return port;
  }
}
