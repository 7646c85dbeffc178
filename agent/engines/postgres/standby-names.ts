/**
 * The server's setting `synchronous_standby_names`
 * (https://www.postgresql.org/docs/current/runtime-config-replication.html): `a, b`, `2 (a, b)`,
 * `FIRST 2 (a, b)` or `ANY 2 (a, b)`; a name may be quoted, `*` stands for every standby.
 */
export type StandbyNames =
  | { readonly method: 'none' }
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

/** Whether any standby, whatever its name, counts: then ours must not be there outside its fence. */
export function takesAnyStandby(setting: string): boolean {
  const parsed = parseStandbyNames(setting);
  return parsed.method !== 'none' && parsed.names.some((name) => name === '*' || name === '"*"');
}

export function mentionsStandby(setting: string, name: string): boolean {
  const parsed = parseStandbyNames(setting);
  return (
    parsed.method !== 'none' && parsed.names.some((one) => one.replace(/^"|"$/g, '').toLowerCase() === name)
  );
}

/** Splits at commas outside of quotes; names stay as they were written. */
function splitNames(list: string): string[] {
  return (list.match(/(?:"(?:[^"]|"")*"|[^,"])+/g) ?? [])
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
