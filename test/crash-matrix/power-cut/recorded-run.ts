import { readFileSync, writeFileSync } from 'node:fs';
import type { Files } from '../../repository/samples.ts';
import type { Recorded } from './changes.ts';

/** What was recorded of a repository. */
export interface RecordedRun {
  readonly changes: readonly Recorded[];
  /** Where it lay. */
  readonly repository: string;
  /** Files whose chunks are in it. */
  readonly shared: Files;
  /** Takes away what lies there, where anything still does. */
  remove(): void;
}

/** Writes all that a replay needs into one file: every record is another, so a broken cut is seen again by its own. */
export function saveRun({ changes, repository, shared }: RecordedRun, file: string): void {
  const inBase64 = Object.entries(shared).map(([path, bytes]) => [
    path,
    Buffer.from(bytes).toString('base64'),
  ]);
  const asText = (_key: string, value: unknown): unknown =>
    typeof value === 'bigint' ? String(value) : value;
  writeFileSync(file, JSON.stringify({ repository, shared: inBase64, changes }, asText));
}

export function loadRun(file: string): RecordedRun {
  const { repository, shared, changes } = JSON.parse(readFileSync(file, 'utf8')) as {
    repository: string;
    shared: [string, string][];
    changes: (Recorded & { askedNs: string; answeredNs: string })[];
  };
  return {
    repository,
    shared: Object.fromEntries(shared.map(([path, bytes]) => [path, Buffer.from(bytes, 'base64')])),
    changes: changes.map((change) => ({
      ...change,
      askedNs: BigInt(change.askedNs),
      answeredNs: BigInt(change.answeredNs),
    })),
    remove: () => undefined,
  };
}
