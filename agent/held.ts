import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readAgentFile } from './agent-file.ts';

const WORDS = { freezes: 'is held for a checkpoint', restores: 'is being restored' };

/**
 * The members of this host that a freeze or a restore has not let go of yet, in words: for whoever is about to stop or
 * restart the agent, also where none runs. Only names are read, and nothing is touched.
 */
export async function membersHeld(configuration: string): Promise<string[]> {
  const { state } = await readAgentFile(configuration);
  const held = await Promise.all(
    Object.entries(WORDS).map(async ([directory, words]) =>
      (await namesIn(join(state, directory))).map((name) => `${name} ${words}`),
    ),
  );
  return held.flat().sort();
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names.filter((name) => /^[^.].*\.json$/.test(name)).map((name) => name.slice(0, -'.json'.length));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
