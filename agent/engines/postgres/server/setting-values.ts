/**
 * Whether a value as somebody writes it in a file is the one that is in force, as pg_settings shows it: `1GB` and
 * `131072` of 8 kB, `yes` and `on` (https://www.postgresql.org/docs/current/config-setting.html).
 */
export interface SettingInForce {
  readonly setting: string;
  readonly type: string;
  /** `8kB`, `ms` …; null where numbers have none. */
  readonly unit: string | null;
}

const MEMORY: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
};
const TIME: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const NUMBER = /^\s*([+-]?(?:0x[0-9a-f]+|\d*\.?\d+(?:e[+-]?\d+)?|\d+\.))\s*([a-z]*)\s*$/i;

export function sameValue(written: string, inForce: SettingInForce): boolean {
  if (written === inForce.setting) return true;
  switch (inForce.type) {
    case 'bool':
      return asBoolean(written) === asBoolean(inForce.setting);
    case 'integer':
    case 'real':
      return sameNumber(written, inForce);
    default:
      // Names of enumerations, time zones and date styles are shown in the server's own spelling.
      return plain(written) === plain(inForce.setting);
  }
}

function asBoolean(text: string): string {
  const word = text.trim().toLowerCase();
  if (word === '1' || word === 'on' || (word !== '' && ('true'.startsWith(word) || 'yes'.startsWith(word))))
    return 'on';
  if (
    word === '0' ||
    word === 'of' ||
    word === 'off' ||
    (word !== '' && ('false'.startsWith(word) || 'no'.startsWith(word)))
  )
    return 'off';
  return word;
}

function plain(text: string): string {
  return asBoolean(text.replaceAll(/\s+/g, '').toLowerCase());
}

function sameNumber(written: string, { setting, type, unit }: SettingInForce): boolean {
  const value = inBaseUnit(written, unit);
  if (value === null) return false;
  const shown = numberOf(setting);
  if (type === 'integer') return Math.round(value) === shown;
  return Math.abs(value - shown) <= 1e-6 * Math.max(1, Math.abs(shown));
}

function inBaseUnit(written: string, unit: string | null): number | null {
  const [, digits = '', suffix = ''] = NUMBER.exec(written) ?? [];
  if (digits === '') return null;
  const value = numberOf(digits);
  if (suffix === '') return value;
  const [, count = '', base = ''] = /^(\d*)(.+)$/.exec(unit ?? '') ?? [];
  for (const units of [MEMORY, TIME]) {
    const [from, to] = [units[suffix], units[base]];
    if (from !== undefined && to !== undefined) return (value * from) / (to * Number(count || 1));
  }
  return null;
}

/** A leading zero means octal, as in modes of files. */
function numberOf(text: string): number {
  const digits = text.trim();
  return /^[+-]?0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
}
