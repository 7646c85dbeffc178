import { createHash } from 'node:crypto';

/** What a server asks for in a `WWW-Authenticate` line (RFC 7235): a scheme, and what it says with it. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** The algorithms of RFC 7616 that Node has, by their names in OpenSSL, the strongest first. */
const HASHES: readonly (readonly [algorithm: string, hash: string])[] = [
  ['sha-512-256', 'sha512-256'],
  ['sha-256', 'sha256'],
  ['md5', 'md5'],
];

/** The challenges of all lines in their order. What is no challenge is passed over. */
export function readChallenges(lines: readonly string[]): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  // A parameter, or the scheme that begins the next challenge: a line may hold several of them.
  const part = /\s*,?\s*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?/gy;
  for (const line of lines) {
    part.lastIndex = 0;
    for (let found = part.exec(line); found !== null; found = part.exec(line)) {
      const [, name = '', inQuotes, token] = found;
      const value = inQuotes?.replaceAll(/\\(.)/g, '$1') ?? token;
      if (value === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: new Map() });
      else challenges.at(-1)?.parameters.set(name.toLowerCase(), value);
    }
  }
  return challenges;
}

/** The challenge of the strongest digest that can be answered; null where there is none. */
export function digestChallenge(challenges: readonly Challenge[]): Challenge | null {
  const answerable = challenges.filter(
    ({ scheme, parameters }) =>
      scheme === 'digest' &&
      parameters.has('nonce') &&
      (parameters.get('qop') ?? '').split(',').some((qop) => qop.trim() === 'auth'),
  );
  for (const [algorithm] of HASHES) {
    const found = answerable.find((challenge) => algorithmOf(challenge).name === algorithm);
    if (found !== undefined) return found;
  }
  return null;
}

function algorithmOf({ parameters }: Challenge): { name: string; isSession: boolean } {
  const said = (parameters.get('algorithm') ?? 'MD5').toLowerCase();
  return { name: said.replace(/-sess$/, ''), isSession: said.endsWith('-sess') };
}

/** The `Authorization` of one request: RFC 7616, `qop=auth`. `count`: how often the nonce has been used, with this. */
export function answerDigest(
  challenge: Challenge,
  request: { user: string; password: string; method: string; path: string; count: number; cnonce: string },
): string {
  const { parameters } = challenge;
  const { name, isSession } = algorithmOf(challenge);
  const openssl = HASHES.find(([algorithm]) => algorithm === name)?.[1] ?? 'md5';
  const hash = (...parts: string[]) => createHash(openssl).update(parts.join(':')).digest('hex');
  const realm = parameters.get('realm') ?? '';
  const nonce = parameters.get('nonce') ?? '';
  const opaque = parameters.get('opaque');
  const algorithm = parameters.get('algorithm');
  const { user, password, method, path, cnonce } = request;
  const count = request.count.toString(16).padStart(8, '0');
  const secret = hash(user, realm, password);
  const response = hash(
    isSession ? hash(secret, nonce, cnonce) : secret,
    nonce,
    count,
    cnonce,
    'auth',
    hash(method, path),
  );
  return [
    `Digest username=${quoted(user)}`,
    `realm=${quoted(realm)}`,
    `nonce=${quoted(nonce)}`,
    `uri=${quoted(path)}`,
    ...(algorithm === undefined ? [] : [`algorithm=${algorithm}`]),
    'qop=auth',
    `nc=${count}`,
    `cnonce=${quoted(cnonce)}`,
    `response="${response}"`,
    ...(opaque === undefined ? [] : [`opaque=${quoted(opaque)}`]),
  ].join(', ');
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
