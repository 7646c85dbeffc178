import { dirname, join } from 'node:path';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import type { Owner } from '../../../foreign-files.ts';
import { refusalAs } from '../../restore/run-as.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';

/** Every build has it: where it lies, the others do. */
const KNOWN_LIBRARY = 'plpgsql.so';

/**
 * Throws where the configuration of the checkpoint names what is neither in the checkpoint nor on this host: its server
 * would be restored and proven, and not start. Of a configuration that is not in the checkpoint nothing is known.
 */
export async function mustMeetNeeds(input: {
  readonly member: string;
  readonly facts: Pick<PostgresFacts, 'needs' | 'preload' | 'also' | 'outsideFiles' | 'configFile'>;
  /** The host's own `postgres`. */
  readonly program: string;
  /** Whose the server is: null where the agent is that user. */
  readonly owner: Owner | null;
  /** What files of the configuration are links to. */
  readonly links: readonly string[];
}): Promise<void> {
  const { member, facts, program, owner, links } = input;
  const comesAlong = (path: string): boolean =>
    facts.also.some((directory) => path.startsWith(`${directory.replace(/\/+$/, '')}/`));
  const missing: string[] = [];
  const unreadable: string[] = [];
  const { configFile } = facts;
  const isUnknown = configFile !== null && facts.outsideFiles.includes(configFile) && !comesAlong(configFile);
  for (const path of [...links, ...(isUnknown ? [] : facts.needs)]) {
    if (comesAlong(path)) continue;
    if (!(await isThere(path))) missing.push(path);
    // With all groups that the server's user has on this host.
    else if ((await refusalAs(owner, ['test', '-r', path])) !== null) unreadable.push(path);
  }
  const libraries = isUnknown ? null : await libraryFolder(program);
  if (libraries !== null)
    for (const name of facts.preload) {
      const path = name.startsWith('/') ? name : join(libraries, name.replace(/^\$libdir\//, ''));
      if (!(await isThere(path)) && !(await isThere(`${path}.so`))) missing.push(`the library ${name}`);
    }
  if (missing.length === 0 && unreadable.length > 0) throw unreadableFiles(member, unreadable);
  if (missing.length === 0) return;
  throw new StillpointError({
    code: 'configuration-missing',
    message: `${member}: the configuration in the checkpoint names what is not on this host: ${missing.join(', ')}`,
    hint: "bring it to this host before the restore, or take checkpoints with its directory in 'also' of the agent file",
    member,
  });
}

function unreadableFiles(member: string, paths: readonly string[]): StillpointError {
  return new StillpointError({
    code: 'configuration-missing',
    message: `${member}: the configuration in the checkpoint names what the server's user cannot read on this host: ${paths.join(', ')}`,
    hint: 'give that user the right to it, or make it a member of the group that has it (on Debian: adduser postgres ssl-cert)',
    member,
  });
}

/** What recovery may need: the libraries that were in force, not those that the files say since. As one setting. */
export function preloadOf({ preload }: Pick<PostgresFacts, 'preload'>, configured: string): string {
  if (preload.length === 0) return configured;
  return preload.map((name) => (/^[\w./$-]+$/.test(name) ? name : `"${name}"`)).join(', ');
}

/** Null where it is not known: nothing is said of libraries then. */
async function libraryFolder(program: string): Promise<string | null> {
  const home = dirname(dirname(program));
  for (const folder of ['lib', 'lib/postgresql', 'lib64', 'lib64/postgresql'])
    if (await isThere(join(home, folder, KNOWN_LIBRARY))) return join(home, folder);
  return null;
}
