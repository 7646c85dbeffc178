import { connect, createServer, type Socket } from 'node:net';

export type Direction = 'toAgent' | 'toCoordinator';

/**
 * The network between a coordinator and one agent. A cut direction loses nothing and closes nothing: bytes
 * and ends wait in it, as in a TCP connection whose packets are dropped, and arrive late when it is mended.
 */
export interface Network {
  readonly address: string;
  cut(...directions: readonly Direction[]): void;
  mend(): void;
  /** Ends every connection for both sides, as a firewall that was restarted does; new ones are let through. */
  breakConnections(): void;
  close(): void;
}

/** A proxy on a free port of the target's own host, so that the agent's certificate covers it. */
export async function networkTo(target: string): Promise<Network> {
  const [host = '', port = ''] = target.split(':');
  const sources: { socket: Socket; direction: Direction }[] = [];
  const severed = new Set<Direction>();
  const proxy = createServer({ allowHalfOpen: true }, (coordinator) => {
    const agent = connect({ host, port: Number(port), allowHalfOpen: true });
    carry(coordinator, agent, 'toAgent');
    carry(agent, coordinator, 'toCoordinator');
  });

  function carry(from: Socket, to: Socket, direction: Direction): void {
    sources.push({ socket: from, direction });
    from.on('data', (bytes) => to.write(bytes));
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
    if (severed.has(direction)) from.pause();
  }

  await new Promise<void>((resolve, reject) => {
    proxy.once('error', reject);
    proxy.listen(0, host, resolve);
  });
  const bound = proxy.address();
  return {
    address: `${host}:${typeof bound === 'object' && bound !== null ? bound.port : 0}`,
    cut(...directions) {
      for (const direction of directions) severed.add(direction);
      for (const { socket, direction } of sources) if (severed.has(direction)) socket.pause();
    },
    mend() {
      severed.clear();
      for (const { socket } of sources) socket.resume();
    },
    breakConnections() {
      for (const { socket } of sources.splice(0)) socket.destroy();
    },
    close() {
      for (const { socket } of sources) socket.destroy();
      proxy.close();
    },
  };
}
