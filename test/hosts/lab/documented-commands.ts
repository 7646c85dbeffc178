import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../lab/processes.ts';

/** The commands of a section of a page: one list for each block of them, in order. */
export function documentedCommands(page: string, section: string): string[][] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  const begin = text.indexOf(`\n## ${section}\n`);
  if (begin < 0) throw new Error(`${page} has no section ${section}`);
  const end = text.indexOf('\n## ', begin + 1);
  const blocks = [...text.slice(begin, end < 0 ? undefined : end).matchAll(/\n```\n([\s\S]*?)\n```/g)];
  return blocks.map(([, lines = '']) => lines.split('\n').filter((line) => line !== ''));
}
