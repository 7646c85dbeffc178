import type { CacheInfo, ContainerInfo } from '../server/answers.ts';

/** All that a look has seen, through the member's own server. */
export interface Seen {
  readonly container: ContainerInfo;
  /** Of the cluster: `HEALTHY`, … */
  readonly status: string;
  readonly caches: readonly CacheInfo[];
  readonly ignored: readonly string[];
  /** A fence of stillpoint stands, and no operation has the cluster. */
  readonly isLeft: boolean;
  readonly isZeroCapacity: boolean;
}
