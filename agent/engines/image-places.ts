import { resolve } from 'node:path';
import * as z from 'zod';
import { StillpointError } from '../../shared/domain/errors.ts';

/** The keys of a member of which operators make copies with tools of their own. */
export const imagePlaces = {
  /** Where the operator's own copies of it lie, each in a directory. */
  images: z.string().startsWith('/', 'must be an absolute path').optional(),
  /** Where the journal files lie that the operator keeps. */
  journals: z.string().startsWith('/', 'must be an absolute path').optional(),
} as const;

interface ImagePlaces {
  readonly images?: string | undefined;
  readonly journals?: string | undefined;
}

/** For `refine`. */
export const journalsWithImages: [(member: ImagePlaces) => boolean, { path: string[]; message: string }] = [
  ({ images, journals }) => journals === undefined || images !== undefined,
  { path: ['journals'], message: 'goes with images: without an image there is nothing to bring journals to' },
];

/**
 * A restore replaces `directories`, and tools copy them: they and the places of images and journals lie apart. Throws
 * `unsafe-directories`.
 */
export function mustKeepApart(
  member: ImagePlaces & { readonly name: string },
  directories: readonly string[],
): void {
  const { name, images, journals } = member;
  for (const [key, path] of Object.entries({ images, journals }))
    for (const directory of directories) {
      if (path === undefined || (!isWithin(path, directory) && !isWithin(directory, path))) continue;
      throw new StillpointError({
        code: 'unsafe-directories',
        message: `${key} of ${name} (${path}) and its directory ${directory} lie in one another`,
        hint: 'give each a directory of its own, best on another disk',
      });
    }
}

function isWithin(path: string, folder: string): boolean {
  const outer = resolve(folder);
  return outer === '/' || `${resolve(path)}/`.startsWith(`${outer}/`);
}
