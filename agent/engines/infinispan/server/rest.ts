import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import { text as readText } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { Credentials, readTls } from './credentials.ts';
import { certificateRefused, misread, refused, unexpected, unreachable } from './failures.ts';
import type { ServerSettings } from './settings.ts';

/** How long a server may be silent, in an answer too. */
const SILENT_MS = 10_000;
/** The longest answer that is read as a whole. Configurations of some thousand caches have it. */
const MOST_ANSWER_BYTES = 64 * 1024 * 1024;
/** How often a request is sent again because a challenge was new or a kept connection had ended. */
const MOST_TRIES = 3;

/** As what we stand in the server's list of connections, with the asker behind it where it has a name of its own. */
const OUR_CLIENT_NAME = 'stillpoint';

export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/rest/v2`, with what is odd in names encoded already. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: { readonly type: string; readonly bytes: Uint8Array };
  /** A form with one file, and with fields before it. */
  readonly upload?: {
    readonly field: string;
    readonly file: string;
    readonly fields: Readonly<Record<string, string>>;
  };
  /** The answers that mean what was asked for. All others reject. */
  readonly expected: readonly number[];
  /** Asked twice it does what it does once: it may be sent again when a kept connection breaks. */
  readonly isIdempotent?: boolean;
  /** How long the server may be silent, in milliseconds. */
  readonly silentMs?: number;
}

export function clientName(asker?: string): string {
  return asker === undefined ? OUR_CLIENT_NAME : `${OUR_CLIENT_NAME} ${asker}`;
}

export function isOurClient(name: string | null): boolean {
  return name === OUR_CLIENT_NAME || name?.startsWith(`${OUR_CLIENT_NAME} `) === true;
}

interface Answered {
  readonly status: number;
  readonly text: string;
}

interface Response {
  readonly status: number;
  readonly body: http.IncomingMessage;
}

/**
 * The REST endpoint of one server. Every request ends: with `signal`, or when the server is silent for too long. Every
 * rejection is a `StillpointError` with a code `infinispan-…`, or the reason of the signal.
 */
export class Rest {
  readonly #settings: ServerSettings;
  readonly #credentials: Credentials;
  readonly #agent: http.Agent;

  constructor(settings: ServerSettings) {
    this.#settings = settings;
    this.#credentials = new Credentials(settings.auth);
    const isTls = settings.url.startsWith('https:');
    this.#agent = new (isTls ? https.Agent : http.Agent)({ keepAlive: true, maxSockets: 8 });
  }

  async ask(asked: Ask): Promise<Answered> {
    const { status, body } = await this.#open(asked);
    const text = await this.#whole(body, asked);
    if (asked.expected.includes(status)) return { status, text };
    throw this.#failure(asked, status, text);
  }

  /** As `ask`, with an answer of any length: it must be read to its end or destroyed. */
  async stream(asked: Ask): Promise<Readable> {
    const { status, body } = await this.#open(asked);
    if (asked.expected.includes(status)) return body;
    throw this.#failure(asked, status, await this.#whole(body, asked));
  }

  /** What is under way rejects. */
  close(): void {
    this.#agent.destroy();
  }

  #failure(asked: Ask, status: number, text: string): StillpointError {
    const words = text.startsWith('<') ? '' : text;
    if (status === 401 || status === 403) return refused(this.#settings, status, words);
    return unexpected(this.#settings, said(asked), status, words);
  }

  async #open(asked: Ask): Promise<Response> {
    const path = `/rest/v2/${asked.path}`;
    let nonce = this.#credentials.takeNonce();
    for (let tries = 1; ; tries += 1) {
      asked.signal.throwIfAborted();
      const authorization = await this.#credentials.authorization({ method: asked.method, path }, nonce);
      let response: Response;
      try {
        response = await this.#send(asked, path, authorization);
      } catch (error) {
        if (error instanceof BrokeKept && mayRepeat(asked) && tries < MOST_TRIES) continue;
        throw this.explained(asked, error);
      }
      const { status, body } = response;
      if (status !== 401) {
        this.#credentials.giveBack(nonce);
        return response;
      }
      const lines = body.headersDistinct['www-authenticate'] ?? [];
      const next = tries === MOST_TRIES ? null : this.#credentials.challenged(lines, nonce);
      if (next === null) return response;
      nonce = next;
      await this.#whole(body, asked);
    }
  }

  async #send(asked: Ask, path: string, authorization: string | null): Promise<Response> {
    const { signal, method, silentMs = SILENT_MS } = asked;
    const form = asked.upload === undefined ? null : await formOf(asked.upload);
    const bytes = asked.json === undefined ? asked.body?.bytes : Buffer.from(JSON.stringify(asked.json));
    const type = asked.json === undefined ? (form?.type ?? asked.body?.type) : 'application/json';
    const length = form?.length ?? bytes?.byteLength ?? (method === 'POST' || method === 'PUT' ? 0 : null);
    const isTls = this.#settings.url.startsWith('https:');
    const request = (isTls ? https : http).request(`${this.#settings.url}${path}`, {
      method,
      agent: this.#agent,
      signal,
      timeout: silentMs,
      headers: {
        accept: 'application/json, */*;q=0.5',
        'user-agent': clientName(this.#settings.asker),
        ...asked.headers,
        ...(type !== undefined && { 'content-type': type }),
        ...(length !== null && { 'content-length': String(length) }),
        ...(authorization !== null && { authorization }),
      },
      ...(isTls && (await readTls(this.#settings.tls))),
    });
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    request.on('timeout', () => request.destroy(new Silent(silentMs)));
    request.on('response', (body) => resolve({ status: body.statusCode ?? 0, body }));
    request.on('error', (error) => reject(request.reusedSocket && isReset(error) ? new BrokeKept() : error));
    if (form === null) request.end(bytes);
    else pipeline(form.content(), request).catch(reject);
    return promise;
  }

  async #whole(body: http.IncomingMessage, asked: Ask): Promise<string> {
    let length = 0;
    body.on('data', (chunk: Buffer) => {
      length += chunk.byteLength;
      if (length > MOST_ANSWER_BYTES) body.destroy(new Error('the answer is too long'));
    });
    try {
      return await readText(body);
    } catch (error) {
      throw this.explained(asked, error);
    }
  }

  /** What the network, TLS or a file said. Nothing of the request goes with it: it holds what must not be told. */
  explained(asked: Ask, error: unknown): unknown {
    if (asked.signal.aborted) return asked.signal.reason;
    if (error instanceof StillpointError) return error;
    const { code = '', message } =
      error instanceof Error ? (error as NodeJS.ErrnoException) : { message: '' };
    if (/CERT|SELF_SIGNED|VERIFY|ISSUER|ERR_TLS|ERR_SSL/.test(code))
      return certificateRefused(this.#settings, message);
    if (code.startsWith('HPE_')) return misread(this.#settings, said(asked), 'it is no HTTP');
    return unreachable(this.#settings, message === '' ? code : message);
  }
}

class Silent extends Error {
  constructor(silentMs: number) {
    super(`it has been silent for ${silentMs / 1000} s`);
  }
}

/** A connection that was kept from an earlier request had ended at the server's side. */
class BrokeKept extends Error {
  constructor() {
    super('the connection broke');
  }
}

function isReset(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ECONNRESET' || error.code === 'EPIPE';
}

function mayRepeat({ method, isIdempotent = method === 'GET' || method === 'HEAD' }: Ask): boolean {
  return isIdempotent;
}

function said({ method, path }: Ask): string {
  return `${method} ${path}`;
}

/** A `multipart/form-data` body whose file is read as it is sent. */
async function formOf({ field, file, fields }: NonNullable<Ask['upload']>): Promise<{
  readonly type: string;
  readonly length: number;
  content(): AsyncGenerator<Uint8Array>;
}> {
  const boundary = `stillpoint-${crypto.randomUUID()}`;
  const named = (name: string, more: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${more}\r\n`;
  const head = Buffer.from(
    Object.entries(fields)
      .map(([name, json]) => `${named(name, '')}Content-Type: application/json\r\n\r\n${json}\r\n`)
      .join('') + `${named(field, '; filename="backup.zip"')}Content-Type: application/octet-stream\r\n\r\n`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const { size } = await stat(file);
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    length: head.byteLength + size + tail.byteLength,
    async *content() {
      yield head;
      // A file that grows meanwhile would break the form.
      if (size > 0) yield* createReadStream(file, { end: size - 1 }) as AsyncIterable<Uint8Array>;
      yield tail;
    },
  };
}
