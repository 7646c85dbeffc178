import { hostname } from 'node:os';

/** Who this command is, for logs and for the other coordinator that is refused meanwhile. */
export function holderName(): string {
  const user = process.env['USER'] ?? process.env['LOGNAME'] ?? `uid ${process.getuid?.() ?? '?'}`;
  return `${user}@${hostname()} pid ${process.pid}`;
}
