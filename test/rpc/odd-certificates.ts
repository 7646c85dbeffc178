import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { GRID_URI } from '../../shared/rpc/peer.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 24 * 60 * 60 * 1000;

export interface OddCertificate {
  /** Directory of the CA that signs it; null: it signs itself. */
  readonly authority: string | null;
  /** What stands in the subject's OU; null: nothing. */
  readonly role: string | null;
  readonly hosts?: readonly string[];
  readonly grid?: string;
  /** Days from now, negative for the past. */
  readonly validFromDays?: number;
  readonly validToDays?: number;
}

/** Makes certificates that `stillpoint pki` never would. What it trusts itself is the CA of `trusts`. */
export async function makeOddCertificate(
  directory: string,
  name: string,
  trusts: string,
  { authority, role, hosts = [], grid, validFromDays = -1, validToDays = 1 }: OddCertificate,
): Promise<TlsFiles> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const names: x509.JsonGeneralNames = [
    ...hosts.map((host) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host })),
    ...(grid === undefined ? [] : [{ type: 'url' as const, value: `${GRID_URI}${grid}` }]),
  ];
  const subject = [{ CN: [name] }, { O: ['stillpoint'] }, ...(role === null ? [] : [{ OU: [role] }])];
  const signer = authority === null ? null : await readAuthority(authority);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex'),
    subject,
    issuer: signer?.subject ?? subject,
    notBefore: new Date(Date.now() + validFromDays * DAY_MS),
    notAfter: new Date(Date.now() + validToDays * DAY_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: signer?.key ?? keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  const files = {
    ca: join(trusts, 'ca.pem'),
    cert: join(directory, `${name}.pem`),
    key: join(directory, `${name}-key.pem`),
  };
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  writeFileSync(files.cert, certificate.toString('pem'));
  writeFileSync(files.key, x509.PemConverter.encode(key, 'PRIVATE KEY'), { mode: 0o600 });
  return files;
}

async function readAuthority(directory: string): Promise<{ subject: string; key: webcrypto.CryptoKey }> {
  const { subject } = new x509.X509Certificate(readFileSync(join(directory, 'ca.pem'), 'utf8'));
  const der = x509.PemConverter.decodeFirst(readFileSync(join(directory, 'ca-key.pem'), 'utf8'));
  return { subject, key: await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']) };
}
