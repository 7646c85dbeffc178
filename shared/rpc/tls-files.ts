import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { EXIT, StillpointError } from '../domain/errors.ts';

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

export async function loadTls(files: TlsFiles): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all([read(files.ca), read(files.cert), read(files.key)]);
  checkCertificate(files.ca, ca);
  checkCertificate(files.cert, cert);
  try {
    createSecureContext({ ca, cert, key });
  } catch (error) {
    throw damaged(files.key, `it is not the private key of ${files.cert}`, error);
  }
  return { ca, cert, key };
}

function checkCertificate(path: string, pem: Buffer): void {
  try {
    void new X509Certificate(pem);
  } catch (error) {
    throw damaged(path, 'it is not a certificate', error);
  }
}

function damaged(path: string, why: string, cause: unknown): StillpointError {
  return new StillpointError(
    {
      code: 'certificate-damaged',
      message: `${path} cannot be used: ${why}`,
      hint: 'bring the file back, or make it anew with stillpoint pki issue; look at `tls` in the file',
    },
    EXIT.usage,
    { cause },
  );
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
  throw damaged(path, `it is longer than ${MOST_BYTES} bytes`, null);
}

function missing(path: string): StillpointError {
  return new StillpointError({
    code: 'certificate-missing',
    message: `${path} cannot be read`,
    hint: 'make certificates with stillpoint pki init and stillpoint pki issue, and look at `tls` in the file',
  });
}
