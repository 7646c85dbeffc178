/** `10MB`, `1GB` → bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(MB|GB)$/i.exec(text);
  if (match === null) throw new Error(`--size ${text}: write 10MB or 1GB`);
  return Number(match[1]) * (match[2]?.toUpperCase() === 'GB' ? 1e9 : 1e6);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

export function medianAndMax(values: readonly number[]): { median: number; max: number } {
  return { median: quantile(values, 0.5), max: quantile(values, 1) };
}

export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
