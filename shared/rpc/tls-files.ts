import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { StillpointError } from '../domain/errors.ts';

/** A file of certificates may hold a few; none is as long as this. */
const MOST_BYTES = 1024 * 1024;

/** Where the certificates of one side lie: absolute paths. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface TlsMaterial {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
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
  return { ca, cert, key };
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
    hint: 'look at `tls` in the file: ca and cert are certificates, key is a private key without a passphrase',
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
