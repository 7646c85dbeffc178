import type { AgentMember } from './agent-member.ts';
import { NOBODY_LISTENS, type Happenings } from './happenings.ts';
import { LastLook } from './last-look.ts';
import type { AgentFigures } from './metrics.ts';

export interface OpenMetrics {
  readonly happenings: Happenings;
  close(): void;
}

type Asked = Omit<AgentFigures, 'members' | 'isRunning' | 'spoolBytes' | 'certificates'> & {
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly statePath: string;
  /** A member is held, or may be at any moment. */
  mayHold(): boolean;
  /** Null before anything is served with them. */
  expiry(): { readonly own: number; readonly ca: number } | null;
};

/**
 * Serves metrics at this address; without one nothing is served, counted or loaded: the library takes memory. Rejects
 * `cannot-listen`.
 */
export async function openMetrics(address: string | undefined, asked: Asked): Promise<OpenMetrics> {
  if (address === undefined) return { happenings: NOBODY_LISTENS, close: () => undefined };
  const [{ AgentMetrics }, { serveMetrics }] = await Promise.all([
    import('./metrics.ts'),
    import('./metrics-server.ts'),
  ]);
  const look = new LastLook(asked);
  const metrics = new AgentMetrics({
    ...asked,
    members: [...asked.members.keys()],
    isRunning: (member) => look.isRunning(member),
    spoolBytes: () => look.spoolBytes(),
    certificates() {
      const expiry = asked.expiry();
      return expiry === null ? {} : { agent: expiry.own, ca: expiry.ca };
    },
  });
  const close = await serveMetrics({
    address,
    metrics,
    mayHold: () => asked.mayHold(),
    refresh: () => look.refresh(),
  });
  return { happenings: metrics, close };
}
