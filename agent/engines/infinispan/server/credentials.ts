import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { beside } from '../../../safe-files.ts';
import { answerDigest, digestChallenge, readChallenges, type Challenge } from './challenge.ts';
import { secretUnreadable } from './failures.ts';
import type { ServerSettings } from './settings.ts';

interface Asked {
  readonly method: string;
  readonly path: string;
}

/**
 * Who we are to a server. Secrets are read from their files for every request and kept nowhere, so that one that was
 * renewed counts from the next request on.
 */
export class Credentials {
  readonly #auth: ServerSettings['auth'];
  /** The server's last challenge, and how often it has been answered: a digest then needs no second request. */
  #challenge: Challenge | null = null;
  #count = 0;

  constructor(auth: ServerSettings['auth']) {
    this.#auth = auth;
  }

  /** The `Authorization` of the next request; null where there is none yet, or none at all. */
  async authorization({ method, path }: Asked): Promise<string | null> {
    const auth = this.#auth;
    if (auth === undefined) return null;
    if (auth.type === 'token') return `Bearer ${await readSecret(auth.tokenFile)}`;
    const { user } = auth;
    if (auth.type === 'basic') {
      const password = await readSecret(auth.passwordFile);
      return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    }
    if (this.#challenge === null) return null;
    const password = await readSecret(auth.passwordFile);
    // Between reading and now another request may have been challenged anew.
    const challenge = this.#challenge;
    this.#count += 1;
    const cnonce = randomBytes(16).toString('hex');
    return answerDigest(challenge, { user, password, method, path, count: this.#count, cnonce });
  }

  /**
   * The server refused a request with these lines of `WWW-Authenticate`. True where another try with the next
   * `authorization` may do: the nonce was old, or there had been none.
   */
  challenged(lines: readonly string[], sent: string | null): boolean {
    if (this.#auth?.type !== 'digest') return false;
    const challenge = digestChallenge(readChallenges(lines));
    if (challenge === null) return false;
    const isStale = challenge.parameters.get('stale')?.toLowerCase() === 'true';
    this.#challenge = challenge;
    this.#count = 0;
    // Some servers forget a nonce and do not call it stale: an answer to an older one is tried once more, too.
    return sent === null || isStale || !sent.includes(`nonce="${challenge.parameters.get('nonce') ?? ''}"`);
  }
}

export interface TlsFilesRead {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly servername?: string;
}

export async function readTls(tls: ServerSettings['tls']): Promise<TlsFilesRead> {
  if (tls === undefined) return {};
  const [ca, cert, key] = await Promise.all(
    [tls.ca, tls.cert, tls.key].map(async (path) =>
      path === undefined ? undefined : readFile(path).catch((error: unknown) => cannotRead(path, error)),
    ),
  );
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(tls.serverName !== undefined && { servername: tls.serverName }),
  };
}

/** What stands in it goes to the server: never a file that another user's link leads to. */
async function readSecret(path: string): Promise<string> {
  try {
    const bytes = await beside(path, (directory, name) => directory.read(name));
    if (bytes === null) throw new Error('it is not there');
    const secret = bytes.toString('utf8').trim();
    if (secret === '') throw new Error('it is empty');
    // A header is one line: the rest would be another header.
    if (/[\r\n\0]/.test(secret)) throw new Error('it has more than one line');
    return secret;
  } catch (error) {
    return cannotRead(path, error);
  }
}

function cannotRead(path: string, error: unknown): never {
  if (error instanceof StillpointError) throw error;
  throw secretUnreadable(path, error instanceof Error ? error.message : String(error));
}
