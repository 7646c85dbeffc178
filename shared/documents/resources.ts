/** What a document can name, in the document's own words. */
export const RESOURCE_KINDS = ['templates', 'caches', 'counters', 'protoSchemas', 'tasks'] as const;

export type ResourceKind = (typeof RESOURCE_KINDS)[number];

export type NamedResources = { readonly [Kind in ResourceKind]?: readonly string[] | undefined };

/** Names of what is meant, or one star; a kind that is not there is left out. */
type SelectedResources = { readonly [Kind in ResourceKind]?: readonly string[] };

export const ALL = '*';

/**
 * What is to be backed up or restored: null is everything, which is what a document without any field of
 * `spec.resources` asks for. With one it is these alone: a kind that is not named is left out. `*` among the names of a
 * kind stands for all of that kind, whatever else is named beside it.
 */
export function selectedResources(named: NamedResources | undefined): SelectedResources | null {
  const selected = RESOURCE_KINDS.flatMap((kind): [ResourceKind, readonly string[]][] => {
    const names = named?.[kind];
    if (names === undefined) return [];
    return [[kind, names.includes(ALL) ? [ALL] : [...new Set(names)]]];
  });
  return selected.length === 0 ? null : Object.fromEntries(selected);
}

/** For a line of a table or of a log. */
export function resourcesInWords(named: NamedResources | undefined): string {
  const selected = selectedResources(named);
  if (selected === null) return 'all';
  return Object.entries(selected)
    .map(([kind, names]) => `${kind}: ${names.join(', ')}`)
    .join('; ');
}
