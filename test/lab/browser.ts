import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const LIMIT_MS = 60_000;

/** A browser of this machine; null where it has none. */
export function findBrowser(): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  for (const name of ['chromium', 'chromium-browser', 'google-chrome'])
    for (const folder of folders) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // The next one.
      }
    }
  return null;
}

/** What a person sees of a page. */
export interface SeenPage {
  /** As rendered: what is hidden is not there. */
  readonly text: string;
  /** What `script` says, run in the page by the test. */
  readonly value: unknown;
  /** A PNG of the whole page. */
  readonly screenshot: Buffer;
  /** All that the page asked for. */
  readonly requests: readonly string[];
}

/** Opens a page in a real browser with a profile of its own, looks at it, and ends the browser. */
export async function seePage(input: {
  readonly browser: string;
  readonly url: string;
  readonly profile: string;
  readonly script: string;
}): Promise<SeenPage> {
  const child = spawn(
    input.browser,
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--remote-debugging-port=0',
      `--user-data-dir=${input.profile}`,
      '--window-size=1200,1600',
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  try {
    const browser = await Connection.open(await addressOf(child.stderr));
    const { targetId } = await browser.call<{ targetId: string }>('Target.createTarget', {
      url: 'about:blank',
    });
    const { sessionId } = await browser.call<{ sessionId: string }>('Target.attachToTarget', {
      targetId,
      flatten: true,
    });
    const requests: string[] = [];
    browser.on('Network.requestWillBeSent', ({ request }) => requests.push((request as { url: string }).url));
    const loaded = browser.once('Page.loadEventFired');
    for (const domain of ['Page', 'Network', 'Runtime'])
      await browser.call(`${domain}.enable`, {}, sessionId);
    await browser.call('Page.navigate', { url: input.url }, sessionId);
    await loaded;
    const evaluate = async (expression: string): Promise<unknown> => {
      const { result } = await browser.call<{ result: { value: unknown } }>(
        'Runtime.evaluate',
        { expression, returnByValue: true },
        sessionId,
      );
      return result.value;
    };
    const text = String(await evaluate('document.body.innerText'));
    const value = await evaluate(input.script);
    const { data } = await browser.call<{ data: string }>(
      'Page.captureScreenshot',
      { captureBeyondViewport: true },
      sessionId,
    );
    return { text, value, screenshot: Buffer.from(data, 'base64'), requests };
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    await gone;
  }
}

function addressOf(stderr: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString();
      const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    stderr.once('end', () => reject(new Error(`the browser ended: ${said.slice(-2000)}`)));
  });
}

/** The browser's debugging protocol: calls by number, and events. */
class Connection {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>();
  readonly #listeners = new Map<string, ((parameters: Record<string, unknown>) => void)[]>();
  #last = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as {
        id?: number;
        method?: string;
        params?: Record<string, unknown>;
        result?: unknown;
        error?: { message: string };
      };
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      for (const listener of this.#listeners.get(message.method ?? '') ?? []) listener(message.params ?? {});
    });
  }

  static open(address: string): Promise<Connection> {
    const socket = new WebSocket(address);
    return new Promise((resolve, reject) => {
      socket.addEventListener('open', () => resolve(new Connection(socket)));
      socket.addEventListener('error', () => reject(new Error(`no connection to ${address}`)));
    });
  }

  call<T>(method: string, params: object, sessionId?: string): Promise<T> {
    const id = (this.#last += 1);
    return new Promise((resolve, reject) => {
      this.#socket.addEventListener('close', () => reject(new Error(`the browser ended before ${method}`)));
      this.#waiting.set(id, ({ result, error }) =>
        error === undefined ? resolve(result as T) : reject(new Error(`${method}: ${error.message}`)),
      );
      this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  on(event: string, listener: (parameters: Record<string, unknown>) => void): void {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
  }

  once(event: string): Promise<void> {
    return new Promise((resolve) => this.on(event, () => resolve()));
  }
}
