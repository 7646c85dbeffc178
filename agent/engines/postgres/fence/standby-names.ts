/**
 * The server's setting `synchronous_standby_names`
 * (https://www.postgresql.org/docs/current/runtime-config-replication.html; grammar: syncrep_gram.y): `a, b`,
 * `2 (a, b)`, `FIRST 2 (a, b)` or `ANY 2 (a, b)`; a name may be quoted, `*` stands for every standby. Only
 * what the server has accepted is read here, so mistakes need no good messages.
 */
export type StandbyNames =
  | { readonly method: 'none' }
  /** Names as they were written, quotes and all. */
  | { readonly method: 'first' | 'any'; readonly count: number; readonly names: readonly string[] };

export function parseStandbyNames(setting: string): StandbyNames {
  if (setting.trim() === '') return { method: 'none' };
  const list = /^\s*(?:(first|any)\s+)?(\d+)\s*\(([\s\S]*)\)\s*$/i.exec(setting);
  if (list === null) return { method: 'first', count: 1, names: splitNames(setting) };
  const method = list[1]?.toLowerCase() === 'any' ? 'any' : 'first';
  return { method, count: Number(list[2]), names: splitNames(list[3] ?? '') };
}

/**
 * The setting in which a commit waits for our standby too, and for all it waited for before. Null for a
 * quorum list: its other members could satisfy it without us.
 */
export function withStandby(setting: string, name: string): string | null {
  const parsed = parseStandbyNames(setting);
  if (parsed.method === 'none') return `FIRST 1 (${name})`;
  if (parsed.method === 'any') return null;
  return `FIRST ${parsed.count + 1} (${[name, ...parsed.names].join(', ')})`;
}

/** Whether a standby of this name counts, by its name or because any does. */
export function mentionsStandby(setting: string, name: string): boolean {
  return priorityOf(setting, name) > 0;
}

/** Whether the list says this very name, which `*` does not. */
export function namesStandby(setting: string, name: string): boolean {
  const parsed = parseStandbyNames(setting);
  return parsed.method !== 'none' && parsed.names.some((one) => plainName(one).toLowerCase() === name);
}

/** As the server counts (SyncRepGetStandbyPriority): 0 where it does not take part; all of a quorum are 1. */
export function priorityOf(setting: string, name: string): number {
  const parsed = parseStandbyNames(setting);
  if (parsed.method === 'none') return 0;
  const index = parsed.names
    .map(plainName)
    .findIndex((one) => one === '*' || one.toLowerCase() === name.toLowerCase());
  return parsed.method === 'any' ? Math.min(1, index + 1) : index + 1;
}

export function plainName(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** Splits at commas outside of quotes. */
function splitNames(list: string): string[] {
  return (list.match(/(?:"(?:[^"]|"")*"|[^,"])+/g) ?? [])
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
