import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { StillpointError } from '../domain/errors.ts';
import { isThere } from '../runtime/is-there.ts';
import { writeWhole } from '../runtime/whole-file.ts';
import {
  ALGORITHM,
  CA_DAYS,
  generateKeys,
  issue,
  issuedDirectory,
  privatePem,
  readAuthority,
  newSerialNumber,
  validity,
} from './authority.ts';
import { GRID_URI, peerOf } from './peer.ts';
import { plainSerial, revocationList, revokedSerials } from './revocation.ts';

const LIST = 'crl.pem';
/** Names whose files are not those of a host. */
const RESERVED = /^(ca|coordinator|crl)(-key)?$/;

/** A grid's own certificates: a CA, one certificate for the coordinator, one for each agent, and what is revoked. */
export interface IssuedCertificate {
  readonly host: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * Makes ca.pem, ca-key.pem, crl.pem (with nothing in it yet), coordinator.pem and coordinator-key.pem in the directory.
 * With a grid, the coordinator's certificate is good for that grid only. Rejects `pki-exists` and changes nothing where one
 * of the files is there.
 */
export async function initializePki(directory: string, options: { grid?: string } = {}): Promise<string[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const paths = ['ca.pem', 'ca-key.pem', 'coordinator.pem', 'coordinator-key.pem', LIST].map((name) =>
    join(directory, name),
  );
  for (const path of paths)
    if (await isThere(path)) throw exists(path, 'use another directory: these keys may be in use');
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name: 'CN=stillpoint CA, O=stillpoint',
    ...validity(CA_DAYS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const authority = { certificate, keys };
  const [ca = '', caKey = '', cert = '', key = '', list = ''] = paths;
  await writeWhole(caKey, `${await privatePem(keys)}\n`, 0o600);
  await writeWhole(ca, `${certificate.toString('pem')}\n`, 0o644);
  await writeWhole(list, `${await revocationList({ authority, earlier: null, serials: [] })}\n`, 0o644);
  const names: x509.JsonGeneralNames =
    options.grid === undefined ? [] : [{ type: 'url', value: `${GRID_URI}${options.grid}` }];
  await issue({ authority, name: 'coordinator', role: 'coordinator', names, cert, key });
  return paths;
}

/**
 * Makes `<host>.pem` and `<host>-key.pem` for each host. A host may be `name,address,…`: one certificate with
 * all of them as names. Rejects `pki-exists` where a file is there, unless forced; checks all before the first.
 */
export async function issueAgentCertificates(
  directory: string,
  hosts: readonly string[],
  options: { force?: boolean } = {},
): Promise<IssuedCertificate[]> {
  const wanted = hosts.map((host) => plan(directory, host));
  for (const { cert, key } of wanted) {
    for (const path of [cert, key]) {
      if (options.force !== true && (await isThere(path))) throw exists(path, 'use --force to replace it');
    }
  }
  const authority = await readAuthority(directory);
  for (const { host, names, cert, key } of wanted) {
    await issue({ authority, name: host, role: 'agent', names, cert, key });
  }
  return wanted.map(({ host, cert, key }) => ({ host, cert, key }));
}

function plan(directory: string, text: string): IssuedCertificate & { names: x509.JsonGeneralNames } {
  const all = text.split(',').filter((name) => name !== '');
  const [host] = all;
  if (host !== undefined && RESERVED.test(host)) {
    throw new StillpointError({
      code: 'bad-host',
      message: `a host cannot be called '${host}' here: its files would be those of the CA or the coordinator`,
      hint: 'name it with its domain, or by its address',
    });
  }
  if (host === undefined || !all.every((name) => /^[A-Za-z0-9*][A-Za-z0-9.:-]{0,252}$/.test(name))) {
    throw new StillpointError({
      code: 'bad-host',
      message: `'${text}' is not a host name or address`,
      hint: 'name hosts as the grid file does: alpha.example, or alpha.example,10.0.0.7 for both in one certificate',
    });
  }
  return {
    host,
    names: all.map((name) => ({ type: isIP(name) === 0 ? 'dns' : 'ip', value: name })),
    cert: join(directory, `${host}.pem`),
    key: join(directory, `${host}-key.pem`),
  };
}

/**
 * Makes a new key and a new certificate with the same names for each of these (`coordinator` is one), in the same files;
 * with none named for all that the directory has and that are not revoked. The earlier ones stay good until they expire
 * or are revoked. Rejects `certificate-missing` before anything is changed.
 */
export async function renewCertificates(
  directory: string,
  hosts: readonly string[],
): Promise<IssuedCertificate[]> {
  const authority = await readAuthority(directory);
  const wanted = hosts.length === 0 ? await renewable(directory) : hosts;
  const current = await Promise.all(wanted.map((name) => currentOf(directory, name)));
  for (const { host, cert, key, certificate } of current) {
    const { role } = peerOf(certificate.raw);
    await issue({ authority, name: host, role: role ?? 'agent', names: namesIn(certificate), cert, key });
  }
  return current.map(({ host, cert, key }) => ({ host, cert, key }));
}

/**
 * Adds every certificate that was issued to these names to crl.pem. Rejects `certificate-missing` before anything is
 * changed, where one never had any.
 */
export async function revokeCertificates(
  directory: string,
  names: readonly string[],
): Promise<{ list: string; revoked: { host: string; serialNumber: string }[] }> {
  const authority = await readAuthority(directory);
  const issued = await issuedIn(directory);
  const revoked = names.flatMap((host) => {
    const own = issued.filter((certificate) => peerOf(certificate.raw).name === host);
    if (own.length === 0) throw missing(join(directory, `${host}.pem`));
    return own.map((certificate) => ({ host, serialNumber: certificate.serialNumber.toLowerCase() }));
  });
  const list = join(directory, LIST);
  const earlier = (await isThere(list)) ? await readFile(list, 'utf8') : null;
  const serials = revoked.map(({ serialNumber }) => serialNumber);
  await writeWhole(list, `${await revocationList({ authority, earlier, serials })}\n`, 0o644);
  return { list, revoked };
}

/** What has a certificate and a key, and is not revoked. */
async function renewable(directory: string): Promise<string[]> {
  const list = join(directory, LIST);
  const revoked = revokedSerials((await isThere(list)) ? [await readFile(list, 'utf8')] : []);
  const names = (await readdir(directory)).flatMap((name) => /^([^.].*)-key\.pem$/.exec(name)?.[1] ?? []);
  const found = await Promise.all(
    names.filter((name) => name !== 'ca').map((name) => currentOf(directory, name)),
  );
  return found
    .filter(({ certificate }) => !revoked.has(plainSerial(certificate.serialNumber)))
    .map(({ host }) => host);
}

async function currentOf(
  directory: string,
  host: string,
): Promise<IssuedCertificate & { certificate: X509Certificate }> {
  // It becomes part of a path.
  if (host.includes('/')) throw missing(join(directory, `${host}.pem`));
  const cert = join(directory, `${host}.pem`);
  const certificate = await readCertificate(cert);
  return { host, cert, key: join(directory, `${host}-key.pem`), certificate };
}

/** Also of what was issued before there was a record of it. */
async function issuedIn(directory: string): Promise<X509Certificate[]> {
  const paths = [];
  for (const room of [directory, issuedDirectory(directory)]) {
    const files = await readdir(room).catch(() => []);
    const names = files.filter((name) => /^[^.].*\.pem$/.test(name) && !/(-key|^ca|^crl)\.pem$/.test(name));
    paths.push(...names.map((name) => join(room, name)));
  }
  const all = await Promise.all(paths.map((path) => readCertificate(path)));
  return [...new Map(all.map((certificate) => [certificate.serialNumber, certificate])).values()];
}

async function readCertificate(path: string): Promise<X509Certificate> {
  try {
    return new X509Certificate(await readFile(path));
  } catch (error) {
    throw missing(path, error);
  }
}

function namesIn(certificate: X509Certificate): x509.JsonGeneralNames {
  const parsed = new x509.X509Certificate(certificate.raw);
  return parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
}

function missing(path: string, cause?: unknown): StillpointError {
  return new StillpointError(
    {
      code: 'certificate-missing',
      message: `there is no certificate ${path}`,
      hint: 'name hosts as they were named to stillpoint pki issue, or coordinator; those that the CA has issued lie in its directory',
    },
    2,
    { cause },
  );
}

function exists(path: string, hint: string): StillpointError {
  return new StillpointError({ code: 'pki-exists', message: `${path} is there already`, hint });
}
