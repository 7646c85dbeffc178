import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './programs.ts';

/** The blocks of a section of a page, in order: those without a language, which are commands, or those of one. */
export function documentedBlocks(page: string, section: string, language = ''): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  const begin = text.indexOf(`\n## ${section}\n`);
  if (begin < 0) throw new Error(`${page} has no section ${section}`);
  const end = text.indexOf('\n## ', begin + 1);
  // Also those of other languages are matched: the end of one would begin the next.
  const blocks = [...text.slice(begin, end < 0 ? undefined : end).matchAll(/^```(\w*)\n([^]*?)\n```$/gm)];
  return blocks.flatMap(([, name, lines = '']) => (name === language ? [lines] : []));
}

/** The commands of such a section: one list for each block of them. */
export function documentedCommands(page: string, section: string): string[][] {
  return documentedBlocks(page, section).map((block) => block.split('\n').filter((line) => line !== ''));
}
