import { readFileSync } from 'node:fs';

/** What a test has in the places of the guide: by the guide's words. */
type Places = Readonly<Record<string, string>>;

/** A recipe of the operator's guide, as a program for bash: the block of this number below the heading of a tool. */
export function recipeOf(tool: string, number: number, places: Places): string {
  return `set -e\n${blockOf('sh', tool, number, places)}`;
}

/** The settings of PostgreSQL that a recipe needs. */
export function settingsOf(tool: string, places: Places): string {
  return blockOf('ini', tool, 0, places);
}

function blockOf(language: string, tool: string, number: number, places: Places): string {
  const page = readFileSync(new URL('../../docs/sharded-cluster.md', import.meta.url), 'utf8');
  const section = page.split(/^### /m).find((part) => part.startsWith(`${tool}\n`)) ?? '';
  const blocks = [...section.matchAll(/^( *)```(\w+)\n([^]*?)^\1```/gm)].filter(
    (block) => block[2] === language,
  );
  let block = blocks[number]?.[3];
  if (block === undefined) throw new Error(`the guide has no block ${number} of ${language} for ${tool}`);
  for (const [said, here] of Object.entries(places)) {
    if (!block.includes(said)) throw new Error(`what the guide has for ${tool} has no ${said}`);
    block = block.replaceAll(said, here);
  }
  return block;
}
