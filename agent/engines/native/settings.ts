import { join } from 'node:path';
import * as z from 'zod';
import { tlsSchema } from '../../../shared/rpc/tls-files.ts';
import { imagePlaces, journalsWithImages } from '../image-places.ts';
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
    ...imagePlaces,
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
  .refine(...journalsWithImages);

export type NativeSettings = z.infer<typeof nativeMemberSchema>;

export function liveOf(settings: { readonly data: string }): string {
  return join(settings.data, 'live');
}
