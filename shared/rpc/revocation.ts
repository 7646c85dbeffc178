import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { ALGORITHM, BACKDATED_MS, type Authority } from './authority.ts';

/** The serial numbers, in lower case hex without leading zeros, of all that these lists (in PEM) have. */
export function revokedSerials(lists: readonly string[]): Set<string> {
  return new Set(lists.flatMap((pem) => entriesOf(pem).map(({ serialNumber }) => plainSerial(serialNumber))));
}

/** As Node writes it, in lower case: a number, without the zero that DER puts before it. */
export function plainSerial(serialNumber: string): string {
  return serialNumber.toLowerCase().replace(/^0+(?=.)/, '');
}

/**
 * A list in PEM that revokes these besides what the earlier list has. It is good for as long as its CA is: a list that
 * had expired would have everybody turned away.
 */
export async function revocationList(input: {
  readonly authority: Authority;
  readonly earlier: string | null;
  readonly serials: readonly string[];
}): Promise<string> {
  const { authority, earlier, serials } = input;
  const entries =
    earlier === null
      ? []
      : entriesOf(earlier).map(({ serialNumber, revocationDate }) => ({ serialNumber, revocationDate }));
  const known = new Set(entries.map(({ serialNumber }) => plainSerial(serialNumber)));
  const added = serials.filter((serial) => !known.has(plainSerial(serial)));
  const list = await x509.X509CrlGenerator.create({
    issuer: authority.certificate.subject,
    thisUpdate: new Date(Date.now() - BACKDATED_MS),
    nextUpdate: authority.certificate.notAfter,
    signingAlgorithm: ALGORITHM,
    signingKey: authority.keys.privateKey,
    // Two CAs of a grid have one name: the key tells whose list it is.
    extensions: [await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey)],
    entries: [...entries, ...added.map((serialNumber) => ({ serialNumber, revocationDate: new Date() }))],
  });
  // The name by which OpenSSL knows it; the library has another.
  return x509.PemConverter.encode(list.rawData, 'X509 CRL');
}

function entriesOf(pem: string): readonly x509.X509CrlEntry[] {
  return new x509.X509Crl(x509.PemConverter.decodeFirst(pem)).entries;
}
