import { whyNotHere } from './machine.ts';

/** Why suites that boot hosts are skipped: what scripts/lab has found, or what is seen now. Null where they are not. */
export function whyNoLab(): string | null {
  return process.env['STILLPOINT_NO_LAB'] ?? whyNotHere();
}
