import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const ITERATIONS = 4096;

/** Of letters, digits, dashes and underscores: it means the same in a file, a URL and SASL's preparation. */
export function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

/**
 * What a server keeps of a password (RFC 5803), so that it is told that and not the password: statements may stand in
 * its log. ASCII only.
 */
export function scramVerifier(password: string, salt = randomBytes(16)): string {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const keyed = (words: string): Buffer => createHmac('sha256', salted).update(words).digest();
  const stored = createHash('sha256').update(keyed('Client Key')).digest('base64');
  const server = keyed('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${server}`;
}
