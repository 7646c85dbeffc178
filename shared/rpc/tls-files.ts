import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import * as z from 'zod';
import { StillpointError } from '../domain/errors.ts';

/** A file of certificates may hold a few; none is as long as this. */
const MOST_BYTES = 1024 * 1024;

/** Where the certificates of one side lie: absolute paths. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** The revocation lists of the CA, where there are any. */
  readonly crl?: string | undefined;
}

export interface TlsMaterial {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Each in PEM by itself: OpenSSL reads no second one in a text. */
  readonly crl?: string[];
}

const file = z.string().min(1).max(4096, 'must be a path of at most 4096 letters');

/** What the `tls` of an agent file or a grid file may say. */
export const tlsSchema = z.strictObject({ ca: file, cert: file, key: file, crl: file.optional() });

/** The same with absolute paths. */
export function absoluteTls(tls: TlsFiles, absolute: (relative: string) => string): TlsFiles {
  const { ca, cert, key, crl } = tls;
  return {
    ca: absolute(ca),
    cert: absolute(cert),
    key: absolute(key),
    ...(crl !== undefined && { crl: absolute(crl) }),
  };
}

/**
 * Reads them and looks whether they can be used together. Rejects `certificate-missing`, `certificate-unreadable`
 * (not PEM) or `key-differs` (the key of another certificate).
 */
export async function loadTls(files: TlsFiles): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all([read(files.ca), read(files.cert), read(files.key)]);
  parse(files.ca, () => new X509Certificate(ca));
  const certificate = parse(files.cert, () => new X509Certificate(cert));
  const privateKey = parse(files.key, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) throw keyDiffers(files);
  parse(files.cert, () => createSecureContext({ ca, cert, key }));
  if (files.crl === undefined) return { ca, cert, key };
  const crl = revocationLists((await read(files.crl)).toString());
  // An empty file would switch off what it was named for.
  parse(files.crl, () => createSecureContext({ crl: crl.length === 0 ? 'none' : crl }));
  return { ca, cert, key, crl };
}

function revocationLists(text: string): string[] {
  return text.match(/-----BEGIN X509 CRL-----[^]*?-----END X509 CRL-----/g) ?? [];
}

/** Certificates of a file, one after another: a CA that is being replaced stands beside the new one. */
function certificatesIn(pem: Buffer): X509Certificate[] {
  const texts = pem.toString().match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  return texts.map((text) => new X509Certificate(text));
}

/** When the certificate expires, and the first of its CAs to do so, in milliseconds of the wall clock. */
export function expiryOf({ ca, cert }: Pick<TlsMaterial, 'ca' | 'cert'>): { own: number; ca: number } {
  const times = certificatesIn(ca).map(({ validToDate }) => validToDate.getTime());
  return { own: new X509Certificate(cert).validToDate.getTime(), ca: Math.min(...times) };
}

const DAY_MS = 24 * 60 * 60 * 1000;
const WARNED_DAYS = 30;

/** What is said of a certificate that expires within thirty days, or has; null where it has longer. */
export function expiresSoon(expiresAt: number, now = Date.now()): string | null {
  const days = (expiresAt - now) / DAY_MS;
  if (days > WARNED_DAYS) return null;
  const at = new Date(expiresAt).toISOString();
  if (days < 0) return `expired at ${at}`;
  return `expires at ${at}, in ${Math.floor(days)} ${Math.floor(days) === 1 ? 'day' : 'days'}`;
}

/** Why a certificate cannot be used now, in words; null where its time is now. */
export function outOfTime(cert: Buffer, now = Date.now()): string | null {
  const { validFromDate, validToDate } = new X509Certificate(cert);
  if (now > validToDate.getTime()) return `it expired at ${validToDate.toISOString()}`;
  if (now < validFromDate.getTime()) return `it is not valid before ${validFromDate.toISOString()}`;
  return null;
}

/** A private key that others may read is no secret: refuses it. */
export async function checkPrivateKeyFile(path: string): Promise<void> {
  const { mode } = await stat(path).catch(() => {
    throw missing(path);
  });
  if ((mode & 0o077) === 0) return;
  throw new StillpointError({
    code: 'key-readable',
    message: `the private key ${path} can be read by others (mode ${(mode & 0o777).toString(8)})`,
    hint: `chmod 600 ${path}`,
  });
}

async function read(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size <= MOST_BYTES) return await readFile(path);
  } catch {
    throw missing(path);
  }
  throw unreadable(path);
}

function parse<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch {
    // What OpenSSL says of it helps nobody, and it may hold bytes of a key.
    throw unreadable(path);
  }
}

function unreadable(path: string): StillpointError {
  return new StillpointError({
    code: 'certificate-unreadable',
    message: `${path} is not what it should be in PEM`,
    hint: 'look at `tls` in the file: ca and cert are certificates, key is a private key without a passphrase, crl is what stillpoint pki revoke wrote',
  });
}

function keyDiffers(files: TlsFiles): StillpointError {
  return new StillpointError({
    code: 'key-differs',
    message: `the private key ${files.key} is not the key of the certificate ${files.cert}`,
    hint: 'name the two files that were issued together: stillpoint pki issue writes HOST.pem and HOST-key.pem',
  });
}

function missing(path: string): StillpointError {
  return new StillpointError({
    code: 'certificate-missing',
    message: `${path} cannot be read`,
    hint: 'make certificates with stillpoint pki init and stillpoint pki issue, and look at `tls` in the file',
  });
}
