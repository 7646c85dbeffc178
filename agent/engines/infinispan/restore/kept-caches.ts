import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const CACHES = 'caches.xml';

/**
 * The caches that a server keeps in its state, because clients or operators made them while it ran. All others are
 * defined in its configuration file, or end with it. A server whose state has a cache that its file defines, too, does
 * not start again ("defined more than once"): so what is made anew is made as what it was.
 */
export async function keptCaches(stateDirectory: string): Promise<ReadonlySet<string>> {
  let xml: string;
  try {
    xml = await readFile(join(stateDirectory, CACHES), 'utf8');
  } catch (error) {
    // It is written with the first cache.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set();
    throw error;
  }
  const elements = xml.matchAll(/<[a-z]+-cache\s(?:[^>]*?\s)?name=(?:"([^"]*)"|'([^']*)')/g);
  return new Set(Array.from(elements, ([, double, single]) => unescaped(double ?? single ?? '')));
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replaceAll(
    /&(?:#x([0-9a-fA-F]+)|#(\d+)|(\w+));/g,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      if (decimal !== undefined) return String.fromCodePoint(Number.parseInt(decimal, 10));
      return NAMED[name ?? ''] ?? whole;
    },
  );
}
