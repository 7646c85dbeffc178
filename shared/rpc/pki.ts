import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { chmod, mkdir, open, readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { StillpointError } from '../domain/errors.ts';
import { GRID_URI } from './peer.ts';

/**
 * A grid's own certificates: a CA, one certificate for the coordinator, one for each agent. ECDSA P-256 with
 * SHA-256. The CA lasts ten years, the others 825 days. A private key is written with mode 0600.
 */
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
const CA_DAYS = 3650;
const LEAF_DAYS = 825;
/** A clock that is a little behind must not find a certificate of the future. */
const BACKDATED_MS = 60 * 60 * 1000;

export interface IssuedCertificate {
  readonly host: string;
  readonly cert: string;
  readonly key: string;
}

type Keys = webcrypto.CryptoKeyPair;

/**
 * Makes ca.pem, ca-key.pem, coordinator.pem and coordinator-key.pem in the directory. With a grid, the
 * coordinator's certificate is good for that grid only. Rejects `pki-exists` and changes nothing where one
 * of the files is there.
 */
export async function initializePki(directory: string, options: { grid?: string } = {}): Promise<string[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const paths = ['ca.pem', 'ca-key.pem', 'coordinator.pem', 'coordinator-key.pem'].map((name) =>
    join(directory, name),
  );
  for (const path of paths)
    if (await isThere(path)) throw exists(path, 'use another directory: these keys may be in use');
  const keys = await generateKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
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
  const [ca = '', caKey = '', cert = '', key = ''] = paths;
  await writeNew(caKey, await privatePem(keys), 0o600);
  await writeNew(ca, authority.toString('pem'), 0o644);
  const names: x509.JsonGeneralNames =
    options.grid === undefined ? [] : [{ type: 'url', value: `${GRID_URI}${options.grid}` }];
  await issue({ authority, caKeys: keys, name: 'coordinator', role: 'coordinator', names, cert, key });
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
  const { authority, caKeys } = await readAuthority(directory);
  for (const { host, names, cert, key } of wanted) {
    await issue({ authority, caKeys, name: host, role: 'agent', names, cert, key });
  }
  return wanted.map(({ host, cert, key }) => ({ host, cert, key }));
}

function plan(directory: string, text: string): IssuedCertificate & { names: x509.JsonGeneralNames } {
  const all = text.split(',').filter((name) => name !== '');
  const [host] = all;
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

async function issue(input: {
  authority: x509.X509Certificate;
  caKeys: Keys;
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
    serialNumber: serialNumber(),
    subject: [{ CN: [input.name] }, { O: ['stillpoint'] }, { OU: [input.role] }],
    issuer: input.authority.subject,
    ...validity(LEAF_DAYS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: input.caKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      ...(input.names.length > 0 ? [new x509.SubjectAlternativeNameExtension(input.names)] : []),
      await x509.AuthorityKeyIdentifierExtension.create(input.authority.publicKey),
    ],
  });
  await writeNew(input.key, await privatePem(keys), 0o600);
  await writeNew(input.cert, certificate.toString('pem'), 0o644);
}

async function readAuthority(directory: string): Promise<{ authority: x509.X509Certificate; caKeys: Keys }> {
  try {
    const authority = new x509.X509Certificate(await readFile(join(directory, 'ca.pem'), 'utf8'));
    const der = x509.PemConverter.decodeFirst(await readFile(join(directory, 'ca-key.pem'), 'utf8'));
    const privateKey = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
    const publicKey = (await authority.publicKey.export(ALGORITHM, ['verify'])) as webcrypto.CryptoKey;
    return { authority, caKeys: { privateKey, publicKey } };
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

function generateKeys(): Promise<Keys> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function privatePem(keys: Keys): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(now + days * DAY_MS) };
}

function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return Buffer.from(bytes).toString('hex');
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'w', mode);
  try {
    await chmod(path, mode);
    await file.writeFile(`${text}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function exists(path: string, hint: string): StillpointError {
  return new StillpointError({ code: 'pki-exists', message: `${path} is there already`, hint });
}
