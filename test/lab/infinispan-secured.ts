import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import type { InfinispanOptions } from './infinispan.ts';

/** In the certificate of every server; their addresses do not stand in it. */
const SERVER_NAME = 'grid.example.com';
const ISSUER = 'https://issuer.example.com';
const AUDIENCE = 'grid';

/** What a cluster needs that is reached by TLS alone, by users with a password or by who has a token. */
export class Secured {
  readonly pki: string;
  readonly passwordFile: string;
  /** Of each server of the cluster. */
  readonly options: Pick<InfinispanOptions, 'security' | 'endpoints' | 'files'>;
  readonly #key: KeyObject;

  private constructor(folder: string, certificate: string) {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    this.#key = privateKey;
    this.pki = join(folder, 'pki');
    this.passwordFile = join(folder, 'password');
    writeFileSync(this.passwordFile, 'right\n', { mode: 0o600 });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString().trim().replaceAll('\n', '&#10;');
    this.options = {
      security: `<security-realms><security-realm name="default" default-realm="either">
        <server-identities><ssl><keystore path="server.pem" password="none"/></ssl></server-identities>
        <token-realm name="tokens" auth-server-url="${ISSUER}" client-id="${AUDIENCE}">
          <jwt issuer="${ISSUER}" audience="${AUDIENCE}" public-key="${pem}"/>
        </token-realm>
        <properties-realm groups-attribute="Roles">
          <user-properties path="users.properties" plain-text="true"/><group-properties path="groups.properties"/>
        </properties-realm>
        <distributed-realm name="either"/>
      </security-realm></security-realms>`,
      endpoints: `<endpoints><endpoint socket-binding="default" security-realm="default">
        <hotrod-connector/><rest-connector><authentication mechanisms="BEARER_TOKEN DIGEST BASIC"/></rest-connector><resp-connector/>
      </endpoint></endpoints>`,
      files: {
        'server.pem': certificate,
        'users.properties': 'stillpoint=right\nreader=right\n',
        'groups.properties': 'stillpoint=admin\nreader=observer\n',
      },
    };
  }

  static async make(folder: string): Promise<Secured> {
    return new Secured(folder, await certificateOf(join(folder, 'pki')));
  }

  /** By which a client knows the servers. */
  get tls(): { readonly ca: string; readonly serverName: string } {
    return { ca: join(this.pki, 'ca.pem'), serverName: SERVER_NAME };
  }

  /** Of the user that may do everything; the issuer's own. `forSeconds`: from now, negative for one that has expired. */
  token(forSeconds: number): string {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: ISSUER,
      aud: AUDIENCE,
      username: 'stillpoint',
      Roles: ['admin'],
      nbf: now - 3600,
      exp: now + forSeconds,
    };
    const [head, body] = [{ alg: 'RS256', typ: 'JWT' }, claims].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    );
    const signed = sign('RSA-SHA256', Buffer.from(`${head}.${body}`), this.#key).toString('base64url');
    return `${head}.${body}.${signed}`;
  }
}

/** Makes a CA in this directory, and by it what a server shows to clients: its key and its certificate. */
export async function certificateOf(pki: string): Promise<string> {
  await initializePki(pki);
  const [issued] = await issueAgentCertificates(pki, [`${SERVER_NAME},alpha.example`]);
  if (issued === undefined) throw new Error('no certificate was issued');
  return `${readFileSync(issued.key, 'utf8')}\n${readFileSync(issued.cert, 'utf8')}`;
}
