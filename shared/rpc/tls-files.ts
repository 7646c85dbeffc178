import { readFile, stat } from 'node:fs/promises';
import { StillpointError } from '../domain/errors.ts';

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
  return { ca, cert, key };
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
    return await readFile(path);
  } catch {
    throw missing(path);
  }
}

function missing(path: string): StillpointError {
  return new StillpointError({
    code: 'certificate-missing',
    message: `${path} cannot be read`,
    hint: 'make certificates with stillpoint pki init and stillpoint pki issue, and look at `tls` in the file',
  });
}
