import { roleName } from '../look/privileges.ts';

/** Whence the agent comes: over TCP from an address, or from the server's own host, or over the server's socket. */
export type Whence = 'samehost' | 'socket' | (string & {});

/** What pg_hba.conf must have for the agent's role: one line for statements, one for the journal and base copies. */
export function accessLines(role: string, whence: Whence): string[] {
  const [kind, address] = whence === 'socket' ? ['local', ''] : ['host ', whence];
  return ['all', 'replication'].map((database) =>
    `${kind} ${database.padEnd(11)}  ${roleName(role)}  ${address.padEnd(address === '' ? 0 : address.length + 2)}scram-sha-256`.trimEnd(),
  );
}

/**
 * The text of pg_hba.conf with a block of these lines at its head, for the first line that fits is the one that counts.
 * A block of the same role that is there already is replaced by it; everything else stays as it is.
 */
export function withAccessBlock(text: string, role: string, lines: readonly string[]): string {
  const begin = `# BEGIN stillpoint, role ${roleName(role)} (made by stillpoint-agent init --apply)`;
  const end = `# END stillpoint, role ${roleName(role)}`;
  const block = [begin, ...lines, end, ''].join('\n');
  const from = text.indexOf(`${begin}\n`);
  const to = text.indexOf(`${end}\n`, from);
  if (from < 0 || to < 0) return block + text;
  return text.slice(0, from) + block + text.slice(to + end.length + 1);
}
