import { createServer, connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** How the grid's processes talk: one JSON object a line, over TCP; many calls may be under way at once. */

export class GridError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What a process answers, by the name of the call; `caller` is the same for all calls of a connection. */
export type Serving<Calls> = {
  readonly [Name in keyof Calls]: Calls[Name] extends (request: infer Request) => infer Answer
    ? (request: Request, caller: Caller) => Answer | Promise<Answer>
    : never;
};

export interface Caller {
  readonly id: number;
  /** Set by who serves it: this one is a client of the grid. */
  isClient?: boolean;
}

export interface RpcServer {
  clients(): number;
  close(): void;
}

interface Message {
  readonly id: number;
  readonly name: string;
  readonly request: never;
}

interface Answer {
  readonly id: number;
  readonly answer?: never;
  readonly error?: { readonly code: string; readonly message: string };
}

export async function serve<Calls>(listen: string, serving: Serving<Calls>): Promise<RpcServer> {
  const calls = serving as Record<string, ((request: never, caller: Caller) => unknown) | undefined>;
  const callers = new Map<Socket, Caller>();
  let connections = 0;
  const server = createServer((socket) => {
    const caller: Caller = { id: (connections += 1) };
    callers.set(socket, caller);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => callers.delete(socket));
    onLine(socket, (line) => {
      const { id, name, request } = JSON.parse(line) as Message;
      void (async () => {
        try {
          const call = calls[name];
          if (call === undefined) throw new GridError('unknown-call', `there is no call ${name}`);
          send(socket, { id, answer: (await call(request, caller)) as never });
        } catch (error) {
          const { message } = error as Error;
          const code = error instanceof GridError ? error.code : 'failed';
          if (code === 'failed') process.stderr.write(`${name}: ${String((error as Error).stack)}\n`);
          send(socket, { id, error: { code, message } });
        }
      })();
    });
  });
  const [host, port] = hostAndPort(listen);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    clients: () => [...callers.values()].filter(({ isClient }) => isClient === true).length,
    close() {
      server.close();
      for (const socket of callers.keys()) socket.destroy();
    },
  };
}

/** The other end. Connects when it is called, and again after the connection broke; a broken call is not repeated. */
export class Remote<Calls> {
  readonly address: string;
  #socket: Socket | undefined;
  #calls = 0;
  readonly #waiting = new Map<number, { done: (answer: never) => void; failed: (error: Error) => void }>();

  readonly #onBroken: () => void;

  constructor(address: string, onBroken: () => void = () => undefined) {
    this.address = address;
    this.#onBroken = onBroken;
  }

  call<Name extends keyof Calls & string>(
    name: Name,
    request: Calls[Name] extends (request: infer Request) => unknown ? Request : never,
  ): Promise<Calls[Name] extends (request: never) => infer Answer ? Answer : never> {
    const socket = (this.#socket ??= this.#connect());
    const id = (this.#calls += 1);
    return new Promise((done, failed) => {
      this.#waiting.set(id, { done, failed });
      send(socket, { id, name, request });
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const [host, port] = hostAndPort(this.address);
    const socket = connect({ host, port, noDelay: true });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#socket = undefined;
      const broken = new GridError('disconnected', `the connection to ${this.address} broke`);
      for (const { failed } of this.#waiting.values()) failed(broken);
      this.#waiting.clear();
      this.#onBroken();
    });
    onLine(socket, (line) => {
      const { id, answer, error } = JSON.parse(line) as Answer;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.done(answer as never);
      else waiting?.failed(new GridError(error.code, error.message));
    });
    return socket;
  }
}

/** One Remote for each address. */
export class Remotes<Calls> {
  readonly #remotes = new Map<string, Remote<Calls>>();

  to(address: string): Remote<Calls> {
    const remote = this.#remotes.get(address) ?? new Remote<Calls>(address);
    this.#remotes.set(address, remote);
    return remote;
  }
}

function onLine(socket: Socket, listener: (line: string) => void): void {
  const lines = createInterface({ input: socket });
  lines.on('line', listener);
  // The socket's error is also this one's; who listens to the socket knows it already.
  lines.on('error', () => undefined);
}

function send(socket: Socket, message: unknown): void {
  if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
}

function hostAndPort(address: string): [string, number] {
  const colon = address.lastIndexOf(':');
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}
