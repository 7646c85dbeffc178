import * as z from 'zod';
import { memberShape, oneSupervisor, supervisionShape } from '../member-schema.ts';
import {
  secretsAreCovered,
  serverShape,
  serverUrlSchema,
  tlsIsUsed,
  type ServerSettings,
} from './server/settings.ts';

/** Clients are refused for so long, and every request that is refused is one that they see. */
const HOLD_SECONDS = 5;

/** The keys of an `infinispan` member in the agent's file. Documented in docs/engines/infinispan.md. */
export const infinispanMemberSchema = z
  .strictObject({
    ...memberShape,
    engine: z.literal('infinispan'),
    /** The servers of one cluster: the members that are held and copied once. */
    copyset: z.string().min(1),
    /** The server's root: the directory with `conf` and `data`. */
    root: z.string().startsWith('/', 'must be an absolute path'),
    ...serverShape,
    /**
     * Where the other servers of the cluster are asked, as `url`: with the same user and the same CA. Through them a hold
     * ends when this server is down, and a cluster that has come apart is seen.
     */
    peers: z.array(serverUrlSchema).default([]),
    /** How long the clients of the cluster may be refused for a checkpoint. One that would take longer is refused. */
    maxHoldSeconds: z.number().positive().max(3600).default(HOLD_SECONDS),
    ...supervisionShape,
  })
  .refine(...oneSupervisor)
  .refine(...secretsAreCovered)
  .refine(...tlsIsUsed)
  .refine(({ url, peers }) => peers.every((peer) => new URL(peer).protocol === new URL(url).protocol), {
    path: ['peers'],
    message: 'are asked as url is: all by https, or all by http',
  })
  .refine(({ role }) => role === 'node', { path: ['role'], message: 'of an Infinispan server is node' })
  .refine(({ url, peers }) => !peers.includes(url), {
    path: ['peers'],
    message: 'are the other servers of the cluster: without the one of url',
  });

export type InfinispanSettings = z.infer<typeof infinispanMemberSchema>;

/** How the owner of a server starts it, in words for a shell; null where the agent's file does not say. */
export function startOf({ unit, run }: Pick<InfinispanSettings, 'unit' | 'run'>): string | null {
  return unit === undefined ? (run?.start?.join(' ') ?? null) : `systemctl start ${unit}`;
}

/** The servers through which the cluster can be asked, the member's own first. */
export function serversOf({
  container,
  auth,
  tls,
  url,
  peers,
}: ServerSettings & { readonly peers: readonly string[] }): readonly ServerSettings[] {
  return [url, ...peers].map((one) => ({ url: one, container, auth, tls }));
}

/** What a restore needs of them. */
export type RestoreSettings = ServerSettings &
  Pick<InfinispanSettings, 'name' | 'peers' | 'unit' | 'run'> & { readonly root: string };
