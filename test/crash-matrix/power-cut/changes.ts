import { readFileSync } from 'node:fs';

/**
 * One change of a file system as a process asked for it, and what a process told the world meanwhile. Only what
 * succeeded is recorded, each name of a removed tree for itself. Paths are absolute.
 */
export type Change =
  | { readonly call: 'mkdir' | 'create' | 'unlink' | 'sync'; readonly path: string }
  | { readonly call: 'link' | 'rename'; readonly path: string; readonly from: string }
  /** From this place in the file on; the whole file when it is null. The content is in base64. */
  | { readonly call: 'write'; readonly path: string; readonly at: number | null; readonly content: string }
  /** On stdout. From then on somebody may rely on it. */
  | { readonly call: 'said'; readonly text: string };

/** When it was asked for and when it was answered, in ns of the clock that all processes of a machine share. */
export type Recorded = Change & { readonly askedNs: bigint; readonly answeredNs: bigint };

export function toLine(change: Change, askedNs: bigint, answeredNs: bigint): string {
  return `${JSON.stringify({ ...change, askedNs: String(askedNs), answeredNs: String(answeredNs) })}\n`;
}

/** What all processes wrote into one log, each line at once. */
export function readLog(path: string): Recorded[] {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const { askedNs, answeredNs, ...change } = JSON.parse(line) as Change & {
      askedNs: string;
      answeredNs: string;
    };
    return { ...change, askedNs: BigInt(askedNs), answeredNs: BigInt(answeredNs) };
  });
}
