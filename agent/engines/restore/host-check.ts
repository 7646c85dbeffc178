import { access, constants, stat, statfs } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import type { RestoreRoom } from '../../../shared/domain/wire.ts';
import { isThere } from '../../../shared/runtime/is-there.ts';

// What a restore needs of its host, looked at before anything is stopped or written.

/** Throws unless a directory can be made, or replaced, at this path. */
export async function mustBeMakeable(member: string, path: string): Promise<void> {
  const parent = await existingAbove(dirname(path));
  const isDirectory = (await stat(parent)).isDirectory();
  const mayWrite = await access(parent, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (isDirectory && mayWrite) return;
  throw new StillpointError({
    code: 'directory-not-makeable',
    message: `${member}: the agent cannot make ${path}: ${isDirectory ? `it may not write in ${parent}` : `${parent} is no directory`}`,
    hint: 'let the agent run as root or as the owner of the directory, and look at read-only mounts',
  });
}

/** Throws unless the first word of the command is a program that can be run. */
export async function mustBeProgram(member: string, what: string, command: readonly string[]): Promise<void> {
  const [program = ''] = command;
  if (await (isAbsolute(program) ? isProgram(program) : isInPath(program))) return;
  throw new StillpointError({
    code: 'command-missing',
    message: `${member}: ${what} in the agent file names ${program}, which is no program that can be run here`,
    hint: 'install it, or correct the command in the agent file',
  });
}

/** Whether a program of this name is found when a command begins with it. */
export async function isInPath(name: string): Promise<boolean> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter))
    if (await isProgram(join(folder, name))) return true;
  return false;
}

export async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** What the files of these rooms of a checkpoint need in the file system of `path`. */
export async function roomFor(
  path: string,
  manifest: MemberManifest,
  rooms: readonly string[],
): Promise<RestoreRoom> {
  let neededBytes = 0;
  for (const artifact of manifest.artifacts) {
    const isInside = rooms.some((room) => artifact.path === room || artifact.path.startsWith(`${room}/`));
    if (isInside && artifact.kind === 'file') neededBytes += artifact.sizeBytes;
  }
  return { ...(await freeAt(path)), path, neededBytes };
}

/** The file system in which a path is, or will be. */
export async function freeAt(path: string): Promise<Pick<RestoreRoom, 'fileSystem' | 'freeBytes'>> {
  const place = await existingAbove(path);
  const [{ dev }, { bavail, bsize }] = await Promise.all([stat(place), statfs(place)]);
  return { fileSystem: String(dev), freeBytes: bavail * bsize };
}

async function existingAbove(path: string): Promise<string> {
  let at = path;
  while (at !== dirname(at) && !(await isThere(at))) at = dirname(at);
  return at;
}
