import { readFileSync } from 'node:fs';

/** The version of this package, from its package.json: beside the sources, or one above dist/. */
export const version: string = readVersion();

function readVersion(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version: found } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as {
        name: string;
        version: string;
      };
      if (name === 'stillpoint') return found;
    } catch {
      // The other place has it.
    }
  }
  throw new Error('package.json of stillpoint not found');
}
