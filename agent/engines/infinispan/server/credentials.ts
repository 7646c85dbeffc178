import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { beside } from '../../../safe-files.ts';
import { answerDigest, digestChallenge, readChallenges, type Challenge } from './challenge.ts';
import { secretUnreadable, tlsFileUnreadable } from './failures.ts';
import type { ServerSettings } from './settings.ts';

interface Asked {
  readonly method: string;
  readonly path: string;
}

/** A challenge of the server, and how often it has been answered. */
export interface Nonce {
  readonly challenge: Challenge;
  count: number;
  /** It was given for the request that is under way, and not for an earlier one. */
  isFresh: boolean;
}

/**
 * Who we are to a server. Secrets are read from their files for every request and kept nowhere, so that one that was
 * renewed counts from the next request on.
 *
 * A nonce that has been answered is good for the next request too, which then needs no challenge of its own. Servers want
 * its count to grow, and requests that are under way at once may arrive in any order: so each has a nonce for itself.
 */
export class Credentials {
  readonly #auth: ServerSettings['auth'];
  readonly #free: Nonce[] = [];

  constructor(auth: ServerSettings['auth']) {
    this.#auth = auth;
  }

  /** For one request; null where none is free: then the server will challenge it. */
  takeNonce(): Nonce | null {
    return this.#free.pop() ?? null;
  }

  /** After a request that was let in. */
  giveBack(nonce: Nonce | null): void {
    if (nonce !== null) this.#free.push({ ...nonce, isFresh: false });
  }

  /** The `Authorization` of the next request; null where there is none yet, or none at all. */
  async authorization({ method, path }: Asked, nonce: Nonce | null): Promise<string | null> {
    const auth = this.#auth;
    if (auth === undefined) return null;
    if (auth.type === 'token') return `Bearer ${await readSecret(auth.tokenFile)}`;
    const { user } = auth;
    if (auth.type === 'basic') {
      const password = await readSecret(auth.passwordFile);
      return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    }
    if (nonce === null) return null;
    const password = await readSecret(auth.passwordFile);
    nonce.count += 1;
    const cnonce = randomBytes(16).toString('hex');
    return answerDigest(nonce.challenge, { user, password, method, path, count: nonce.count, cnonce });
  }

  /**
   * The server refused a request, which was sent with `nonce`, with these lines of `WWW-Authenticate`. Returns the
   * nonce with which another try may do; null where it would be refused again.
   */
  challenged(lines: readonly string[], nonce: Nonce | null): Nonce | null {
    if (this.#auth?.type !== 'digest') return null;
    const challenge = digestChallenge(readChallenges(lines));
    if (challenge === null) return null;
    const isStale = challenge.parameters.get('stale')?.toLowerCase() === 'true';
    // A server that has forgotten an earlier nonce need not call it stale.
    return nonce?.isFresh === true && !isStale ? null : { challenge, count: 0, isFresh: true };
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
    (['ca', 'cert', 'key'] as const).map(async (name) => {
      const path = tls[name];
      if (path === undefined) return undefined;
      return readFile(path).catch((error: unknown) => {
        throw tlsFileUnreadable(name, path, error instanceof Error ? error.message : String(error));
      });
    }),
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
