import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../shared/runtime/whole-file.ts';
import type { MemberMemory } from './engines/engine.ts';

/**
 * What engines learned of their members, `members/<member>.json` in the agent's state directory. It is a help and no
 * promise: what cannot be read or written is learned again.
 */
export function memberMemory(stateDirectory: string, member: string): MemberMemory {
  const directory = join(stateDirectory, 'members');
  const path = join(directory, `${member}.json`);
  return {
    async read() {
      try {
        return JSON.parse(await readFile(path, 'utf8')) as unknown;
      } catch {
        return null;
      }
    },
    async write(learned) {
      try {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await writeWhole(path, JSON.stringify(learned), 0o600, { durable: false });
      } catch {
        // A disk that is full is said by what must be kept there.
      }
    },
  };
}
