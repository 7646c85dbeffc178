import { X509Certificate } from 'node:crypto';

/** Who a certificate says its holder is. Roles are in the subject's OU, the grid in a URI name. */
export interface Peer {
  readonly name: string;
  readonly role: 'agent' | 'coordinator' | null;
  /** The only grid that it may speak for; null: every grid that trusts its CA. */
  readonly grid: string | null;
}

export const GRID_URI = 'stillpoint:grid:';

export function peerOf(raw: Buffer | undefined): Peer {
  if (raw === undefined) return { name: 'unknown', role: null, grid: null };
  const certificate = parsed(raw);
  if (certificate === null) return { name: 'unknown', role: null, grid: null };
  // Undefined where a certificate has none, whatever its type says.
  const own = certificate.subject as string | undefined;
  const subject = new Map(
    (own ?? '').split('\n').map((line) => {
      const [key, ...value] = line.split('=');
      return [key ?? '', value.join('=')];
    }),
  );
  const unit = subject.get('OU');
  const uri = (certificate.subjectAltName ?? '')
    .split(', ')
    .find((name) => name.startsWith(`URI:${GRID_URI}`));
  return {
    name: subject.get('CN') ?? 'unknown',
    role: unit === 'agent' || unit === 'coordinator' ? unit : null,
    grid: uri === undefined ? null : uri.slice(`URI:${GRID_URI}`.length),
  };
}

function parsed(raw: Buffer): X509Certificate | null {
  try {
    return new X509Certificate(raw);
  } catch {
    return null;
  }
}
