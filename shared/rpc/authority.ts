import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { StillpointError } from '../domain/errors.ts';
import { writeWhole } from '../runtime/whole-file.ts';

/**
 * The CA of a grid, and what it signs. ECDSA P-256 with SHA-256. The CA lasts ten years, the others 825 days. A private
 * key is written with mode 0600.
 */
export const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
export const CA_DAYS = 3650;
const LEAF_DAYS = 825;
/** A clock that is a little behind must not find a certificate of the future. */
export const BACKDATED_MS = 60 * 60 * 1000;

type Keys = webcrypto.CryptoKeyPair;

export interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly keys: Keys;
}

/**
 * Makes a key and its certificate, each whole or not at all: what was there stays until its successor is. What was issued
 * is kept in `issued` beside it, for a revocation of all that a name ever had.
 */
export async function issue(input: {
  authority: Authority;
  name: string;
  role: 'agent' | 'coordinator';
  names: x509.JsonGeneralNames;
  cert: string;
  key: string;
}): Promise<void> {
  const keys = await generateKeys();
  const usages =
    input.role === 'agent'
      ? [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]
      : [x509.ExtendedKeyUsage.clientAuth];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerialNumber(),
    subject: [{ CN: [input.name] }, { O: ['stillpoint'] }, { OU: [input.role] }],
    issuer: input.authority.certificate.subject,
    ...validity(LEAF_DAYS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: input.authority.keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      ...(input.names.length > 0 ? [new x509.SubjectAlternativeNameExtension(input.names)] : []),
      await x509.AuthorityKeyIdentifierExtension.create(input.authority.certificate.publicKey),
    ],
  });
  const issued = issuedDirectory(dirname(input.cert));
  await mkdir(issued, { recursive: true, mode: 0o700 });
  const pem = certificate.toString('pem');
  await writeWhole(join(issued, `${certificate.serialNumber}.pem`), `${pem}\n`, 0o644);
  await writeWhole(input.key, `${await privatePem(keys)}\n`, 0o600);
  await writeWhole(input.cert, `${pem}\n`, 0o644);
}

/** The CA of a directory that pki init made. Rejects `pki-missing`. */
export async function readAuthority(directory: string): Promise<Authority> {
  try {
    const certificate = new x509.X509Certificate(await readFile(join(directory, 'ca.pem'), 'utf8'));
    const der = x509.PemConverter.decodeFirst(await readFile(join(directory, 'ca-key.pem'), 'utf8'));
    const privateKey = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
    const publicKey = (await certificate.publicKey.export(ALGORITHM, ['verify'])) as webcrypto.CryptoKey;
    return { certificate, keys: { privateKey, publicKey } };
  } catch (error) {
    throw new StillpointError(
      {
        code: 'pki-missing',
        message: `there is no CA in ${directory}: ${error instanceof Error ? error.message : String(error)}`,
        hint: `make one first: stillpoint pki init ${directory}`,
      },
      2,
      { cause: error },
    );
  }
}

export function generateKeys(): Promise<Keys> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

export async function privatePem(keys: Keys): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
}

export function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(now + days * DAY_MS) };
}

export function newSerialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return Buffer.from(bytes).toString('hex');
}

export function issuedDirectory(directory: string): string {
  return join(directory, 'issued');
}
