import { appendFile, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readKept, KINDS, type KeptDocument, type Kind } from '../../shared/documents/document.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { syncDirectory, writeWhole } from '../../shared/runtime/whole-file.ts';
import { agentDiskError } from '../disk-error.ts';
import type { LogPart } from './documents.ts';

/** Of a log, in one answer. */
const PART_BYTES = 256 * 1024;

/** A document by its kind and name: `Backup/my-backup`. */
export type Reference = `${Kind}/${string}`;

export function referenceOf({ kind, metadata }: { kind: Kind; metadata: { name: string } }): Reference {
  return `${kind}/${metadata.name}`;
}

/**
 * The documents that an agent keeps, each in a file of its own in its state directory, with its log beside it:
 *
 *   documents/Backup/my-backup.json, my-backup.log
 *
 * A document is durable when `save` returns. A log is as durable as the system makes it.
 */
export class DocumentStore {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(state: string): Promise<DocumentStore> {
    const path = join(state, 'documents');
    for (const kind of KINDS) await mkdir(join(path, kind), { recursive: true, mode: 0o700 });
    return new DocumentStore(path);
  }

  /** Rejects `agent-state-damaged`. */
  async all(): Promise<KeptDocument[]> {
    const kept: KeptDocument[] = [];
    for (const kind of KINDS)
      for (const name of (await readdir(join(this.#path, kind))).sort()) {
        const file = join(this.#path, kind, name);
        // What a killed agent had begun to write.
        if (name.startsWith('.')) await rm(file, { force: true });
        else if (name.endsWith('.json')) kept.push(await read(file));
      }
    return kept;
  }

  async save(document: KeptDocument): Promise<void> {
    try {
      await writeWhole(this.#file(referenceOf(document), 'json'), JSON.stringify(document), 0o600);
    } catch (error) {
      throw agentDiskError(error, `${referenceOf(document)} cannot be written`);
    }
  }

  /** Durable on return. */
  async remove(reference: Reference): Promise<void> {
    await rm(this.#file(reference, 'log'), { force: true });
    await rm(this.#file(reference, 'json'), { force: true });
    await syncDirectory(join(this.#path, reference.slice(0, reference.indexOf('/'))));
  }

  logFile(reference: Reference): string {
    return this.#file(reference, 'log');
  }

  async append(reference: Reference, line: string): Promise<void> {
    await appendFile(this.logFile(reference), line, { mode: 0o600 });
  }

  /** All that was logged since this byte. */
  async logSince(reference: Reference, offset: number): Promise<string> {
    const bytes = await readFile(this.logFile(reference)).catch(() => Buffer.alloc(0));
    return bytes.subarray(offset).toString();
  }

  async logSize(reference: Reference): Promise<number> {
    return (await stat(this.logFile(reference)).catch(() => null))?.size ?? 0;
  }

  /** Whole lines, where there are any. */
  async logPart(reference: Reference, offset: number): Promise<Omit<LogPart, 'ended'> & { isLast: boolean }> {
    const file = await open(this.logFile(reference), 'r').catch(() => null);
    if (file === null) return { text: '', nextOffset: offset, isLast: true };
    try {
      const { size } = await file.stat();
      const buffer = Buffer.alloc(Math.min(PART_BYTES, Math.max(0, size - offset)));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      const bytes = buffer.subarray(0, bytesRead);
      const isLast = offset + bytesRead >= size;
      const end = bytes.lastIndexOf(0x0a) + 1;
      const whole = isLast || end === 0 ? bytes : bytes.subarray(0, end);
      return { text: whole.toString(), nextOffset: offset + whole.length, isLast };
    } finally {
      await file.close();
    }
  }

  #file(reference: Reference, ending: string): string {
    return join(this.#path, `${reference}.${ending}`);
  }
}

async function read(file: string): Promise<KeptDocument> {
  const text = await readFile(file, 'utf8');
  try {
    const kept = readKept(JSON.parse(text));
    if (kept !== null) return kept;
  } catch {
    // The same as what follows.
  }
  throw new StillpointError({
    code: 'agent-state-damaged',
    message: `${file} does not hold what the agent writes there`,
    hint: 'move it and the .log beside it away: the document is forgotten, and its archive stays where it is',
  });
}
