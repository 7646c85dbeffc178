import { readFileSync } from 'node:fs';

/**
 * A recipe of the operator's guide, as a program for bash: the block of this number below the heading of a tool. What
 * the guide calls a place, by the keys, is called by the values in the test.
 */
export function recipeOf(tool: string, number: number, places: Readonly<Record<string, string>>): string {
  const page = readFileSync(new URL('../../docs/sharded-cluster.md', import.meta.url), 'utf8');
  const section = page.split(/^### /m).find((part) => part.startsWith(`${tool}\n`)) ?? '';
  const block = [...section.matchAll(/^```sh\n([^]*?)^```/gm)][number]?.[1];
  if (block === undefined) throw new Error(`the guide has no recipe ${number} for ${tool}`);
  let program = `set -e\n${block}`;
  for (const [said, here] of Object.entries(places)) {
    if (!program.includes(said)) throw new Error(`recipe ${number} for ${tool} has no ${said}`);
    program = program.replaceAll(said, here);
  }
  return program;
}
