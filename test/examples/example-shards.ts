import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Shard } from '../lab/causal-clients.ts';

/** Room for the sequence numbers of one client: rows of the examples are numbers. */
const OF_EACH = 10_000_000;
const PATIENCE_MS = 10_000;

/** An example node by the address that its clients know. */
export function exampleShard(address: string): Shard {
  const [host = '', port = ''] = address.split(':');
  return {
    async connect() {
      const ask = await asking(host, Number(port));
      return {
        async write(client, sequence) {
          const row = client * OF_EACH + sequence;
          const answer = await ask.line(`write ${row}`);
          if (answer !== `written ${row}`) throw new Error(answer);
        },
        close: () => void ask.socket.destroy(),
      };
    },
    async rows() {
      const ask = await asking(host, Number(port));
      try {
        const text = await ask.line('read');
        const rows = text === '' ? [] : text.split(' ').map(Number);
        return rows.map((row) => ({ client: Math.floor(row / OF_EACH), sequence: row % OF_EACH }));
      } finally {
        ask.socket.destroy();
      }
    },
  };
}

async function asking(
  host: string,
  port: number,
): Promise<{ socket: Socket; line(text: string): Promise<string> }> {
  const socket = connect(port, host);
  await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) });
  socket.on('error', () => undefined);
  const lines = createInterface(socket)[Symbol.asyncIterator]();
  return {
    socket,
    async line(text) {
      socket.write(`${text}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error('the node hung up');
      return value;
    },
  };
}
