import { join, resolve } from 'node:path';
import { z } from 'zod';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { tlsSchema } from '../../../shared/rpc/tls-files.ts';
import { memberShape, oneSupervisor, supervisionShape } from '../member-schema.ts';

const absolute = z.string().startsWith('/', 'must be an absolute path');

/** The keys of a `native` member in the agent's file. Documented in docs/engines/native.md. */
export const nativeMemberSchema = z
  .strictObject({
    ...memberShape,
    engine: z.literal('native'),
    /** The data directory, absolute; `live/`, `checkpoints/` and `backups/` lie below it. */
    data: absolute,
    /** Where the process serves the participant contract: `unix:/path`, or `host:port` with `tls`. */
    participant: z.string().regex(/^(unix:\/.+|[^/\s]+:\d{1,5})$/, 'must be unix:/path or host:port'),
    tls: tlsSchema.omit({ crl: true }).optional(),
    ...supervisionShape,
    /** How long a restored process may take to become healthy, in seconds. */
    startSeconds: z.number().positive().max(86_400).default(60),
    /** Nodes: where the operator's own copies of it lie, each in a directory. */
    images: absolute.optional(),
    /** Where the journal files lie that the operator keeps. */
    journals: absolute.optional(),
  })
  .refine(...oneSupervisor)
  .refine(({ participant, tls }) => participant.startsWith('unix:') || tls !== undefined, {
    path: ['tls'],
    message: 'an address needs tls: { ca, cert, key }; there is no plain text',
  })
  .refine(({ role, images }) => images === undefined || role === 'node', {
    path: ['images'],
    message: 'is for nodes: nothing else has files that an operator copies',
  })
  .refine(({ images, journals }) => journals === undefined || images !== undefined, {
    path: ['journals'],
    message: 'goes with images: without an image there is nothing to bring journals to',
  });

export type NativeSettings = z.infer<typeof nativeMemberSchema>;

export function liveOf(settings: { readonly data: string }): string {
  return join(settings.data, 'live');
}

/** A restore, or a tool that copies the data directory, must meet neither images nor journals in it. */
export function mustKeepApart({ name, data, images, journals }: NativeSettings): void {
  for (const [key, path] of Object.entries({ images, journals })) {
    if (path === undefined || (!isWithin(path, data) && !isWithin(data, path))) continue;
    throw new StillpointError({
      code: 'unsafe-directories',
      message: `${key} of ${name} (${path}) and its data directory (${data}) lie in one another`,
      hint: 'give each a directory of its own, best on another disk',
    });
  }
}

function isWithin(path: string, folder: string): boolean {
  return `${resolve(path)}/`.startsWith(`${resolve(folder)}/`);
}
