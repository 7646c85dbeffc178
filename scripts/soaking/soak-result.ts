import type { Growth, Totals } from './figures.ts';

export interface SoakResult {
  readonly totals: Totals;
  readonly growths: readonly Growth[];
  readonly lastingHost: string;
  /** What the repository held after each prune, in bytes. */
  readonly repositoryBytes: readonly number[];
}
