import type { CatalogueEntry, Retained, Retention } from '../shared/repository/repository.ts';

/** What is said of a checkpoint of the catalogue that is kept for good; null of any other. */
export function retentionOf(entry: CatalogueEntry, retained: readonly Retained[]): Retention | null {
  return (
    retained.find(({ grid, checkpoint }) => grid === entry.grid && checkpoint === entry.checkpoint) ?? null
  );
}

/** As commands print it in JSON. */
export function inFields({ reason, by, sinceMs }: Retention): object {
  return { reason, by, since: new Date(sinceMs).toISOString() };
}
