const QUANTITY = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(n|u|m|k|Ki|[MGTPE]i?|[eE][+-]?\d+)?$/;

const DECIMAL: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
};
const BINARY = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

export const QUANTITY_RULE = 'must be a quantity, a number with a unit or without: 512Mi, 1Gi, 1.5G';

/** What `1Gi` stands for, rounded up to a whole number as Kubernetes does; null where it is no quantity. */
export function readQuantity(text: string): number | null {
  const [matched, sign, digits = '', unit = ''] = QUANTITY.exec(text) ?? [];
  if (matched === undefined) return null;
  const value = Number(digits) * factorOf(unit);
  if (!Number.isFinite(value)) return null;
  return Math.ceil(sign === '-' ? -value : value);
}

function factorOf(unit: string): number {
  if (unit === '') return 1;
  if (/^[eE][+-]?\d/.test(unit)) return Number(`1${unit}`);
  const power = BINARY.indexOf(unit);
  return power === -1 ? (DECIMAL[unit] ?? Number.NaN) : 1024 ** (power + 1);
}

/** In the largest binary unit that it has at least one of: 1.5Gi. */
export function quantityOf(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), BINARY.length);
  if (power === 0) return String(bytes);
  const value = bytes / 1024 ** power;
  return `${Number(value.toFixed(1))}${BINARY[power - 1] ?? ''}`;
}
