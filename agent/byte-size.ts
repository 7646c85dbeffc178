import * as z from 'zod';

const UNITS: Readonly<Record<string, number>> = {
  kB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
};

/** `512MB` as PostgreSQL writes sizes, a unit being 1024 of the one before; in bytes. */
export const byteSizeSchema = z
  .string()
  .regex(/^\d{1,7}\s*(kB|MB|GB|TB)$/, 'must be a size: a number with kB, MB, GB or TB')
  .transform(bytesOf);

/** `50MB/s`; in bytes a second. */
export const byteRateSchema = z
  .string()
  .regex(/^\d{1,7}\s*(kB|MB|GB)\/s$/, 'must be a rate: a number with kB/s, MB/s or GB/s')
  .transform((text) => bytesOf(text.slice(0, -2)));

function bytesOf(text: string): number {
  return Number.parseInt(text, 10) * (UNITS[text.slice(-2)] ?? Number.NaN);
}

export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MB`;
}
