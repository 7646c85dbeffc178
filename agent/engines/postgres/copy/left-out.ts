import { execFile } from 'node:child_process';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import { AnchoredDirectory, closing } from '../../../anchored-directory.ts';
import type { Owner } from '../../../foreign-files.ts';
import type { ArtifactSink } from '../../engine.ts';
import type { PostgresFacts } from './facts.ts';
import { once } from '../../once.ts';

// A base copy has no link but those of tablespaces. Where the owner keeps the configuration elsewhere, and links to it
// from the data directory, a server that is restored without it does not start.

const run = promisify(execFile);

/** What is larger is no configuration. */
const MOST_BYTES = 1024 * 1024;
const READ_MS = 5000;
/** Without these no server starts. */
const NEEDED = new Set(['postgresql.conf', 'pg_hba.conf']);

type LeftOut = PostgresFacts['leftOut'][number];

/** Stores the small files behind links of the data directory in the place of the links; tells the rest. */
export async function storeLeftOut(
  artifacts: ArtifactSink,
  { name, data }: { readonly name: string; readonly data: string },
  paths: Iterable<string>,
  owner: Owner | null,
): Promise<LeftOut[]> {
  const found: LeftOut[] = [];
  for (const path of paths) {
    const target = await linkAt(data, path);
    if (target === null) {
      // Nobody can tell a link from a socket where the agent may not look.
      if (NEEDED.has(path)) throw unreadable(name, join(data, path));
      continue;
    }
    const content = await readAs(owner, target);
    if (content === null && NEEDED.has(path)) throw unreadable(name, target);
    if (content !== null)
      await artifacts.file({ path: `base/${path}`, mode: 0o600, mtimeMs: Date.now() }, once(content));
    found.push({ path, target, stored: content !== null });
  }
  return found;
}

/** Where a link of the data directory leads; null where it is none, or the agent may not look. */
export async function linkAt(data: string, path: string): Promise<string | null> {
  const place = join(data, path);
  const directory = await AnchoredDirectory.openIfThere(dirname(place)).catch(() => null);
  if (directory === null) return null;
  const target = await closing(directory, (it) => it.readLink(basename(place)).catch(() => null));
  return target === null ? null : resolve(dirname(place), target);
}

/** By a process of the server's user: what that one cannot read is not read, wherever the link leads. */
async function readAs(owner: Owner | null, path: string): Promise<Buffer | null> {
  try {
    const found = await stat(await realpath(path));
    if (!found.isFile() || found.size > MOST_BYTES) return null;
    const { stdout } = await run('cat', ['--', path], {
      ...owner,
      cwd: '/',
      encoding: 'buffer',
      maxBuffer: MOST_BYTES,
      timeout: READ_MS,
    });
    return stdout;
  } catch {
    return null;
  }
}

function unreadable(member: string, path: string): StillpointError {
  return new StillpointError(
    {
      code: 'also-unreadable',
      message: `${member}: ${path} cannot be read, and no base copy has it: without it a restored server does not start`,
      hint: 'let the agent and the server read it: it goes with the checkpoint',
      member,
    },
    EXIT.aborted,
  );
}
