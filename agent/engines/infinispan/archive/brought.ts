import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import { readArchive, type ArchiveContent } from './archive.ts';
import { readProperties } from './properties.ts';
import { inZip, notRestorable } from './zip.ts';

/** So much every archive may unpack to; a larger one to no more than so many times what it is. */
const UNPACKED_BYTES = 256 * 1024 * 1024;
const UNPACKED_TIMES = 200;

/** The kinds that an archive lists when it is made of all, as it calls them and in our words. */
const KINDS: Readonly<Record<string, string>> = {
  caches: 'caches',
  counters: 'counters',
  templates: 'templates',
  'proto-schemas': 'schemas',
  tasks: 'tasks',
};

export interface Brought {
  readonly content: ArchiveContent;
  /** ISO 8601 UTC, by the clock of the server that wrote it; null where that does not say in which zone. */
  readonly writtenAt: string | null;
  /** Kinds that it was not asked to hold. Where it holds some of a kind, nothing tells whether these were all. */
  readonly leftOut: readonly string[];
}

/**
 * Reads every byte of an archive that anybody may have made. Rejects as `readArchive` does, and of one that unpacks to
 * more than is right before any of it is unpacked; also where nothing would be left of a cluster that was restored from it.
 */
export async function readBrought(
  file: string,
  signal: AbortSignal,
  progress: (bytesDone: number) => void,
): Promise<Brought> {
  try {
    const label = await readLabel(file, signal);
    const content = await readArchive(file, signal, progress);
    if (!/^\d+\.\d+/.test(content.version))
      throw notRestorable(file, new Error(`it does not say of which version it is: '${content.version}'`));
    const { caches, counters, templates, protoSchemas, tasks } = content;
    if ([caches, counters, templates, protoSchemas, tasks].every(({ length }) => length === 0))
      throw notRestorable(
        file,
        new Error('it holds nothing: a cluster that is restored from it would be empty'),
      );
    return { content, ...label };
  } catch (error) {
    // Where it lies for this is nobody's business.
    if (error instanceof StillpointError && error.cause instanceof Error)
      throw notRestorable('it', error.cause);
    throw error;
  }
}

async function readLabel(file: string, signal: AbortSignal): Promise<Omit<Brought, 'content'>> {
  return inZip(file, { signal }, async (zip) => {
    let packed = 0;
    let unpacked = 0;
    let writtenAt: string | null = null;
    const listed = new Set<string>();
    for await (const entry of zip.entries()) {
      packed += entry.compressedSize;
      unpacked += entry.uncompressedSize;
      if (entry.fileName === 'manifest.properties') writtenAt = timeIn(await zip.text(entry));
      if (/^containers\/[^/]+\/container\.properties$/.test(entry.fileName))
        for (const kind of readProperties(await zip.text(entry)).keys()) listed.add(kind);
    }
    if (packed > zip.fileSize) throw new Error('its files lie over one another');
    if (unpacked > Math.max(UNPACKED_BYTES, UNPACKED_TIMES * zip.fileSize))
      throw tooGreat(zip.fileSize, unpacked);
    const leftOut = Object.keys(KINDS).filter((kind) => !listed.has(kind));
    return { writtenAt, leftOut: leftOut.map((kind) => KINDS[kind] ?? kind) };
  });
}

function tooGreat(bytes: number, unpacked: number): StillpointError {
  return new StillpointError(
    {
      code: 'infinispan-archive',
      message: `it would unpack from ${bytes} bytes to ${unpacked}, which is more than any cluster's does`,
      hint: 'where it is right all the same, let a server restore it, and create a checkpoint of that',
    },
    EXIT.invalid,
  );
}

/** As Java writes it above properties: `#Mon Nov 30 09:51:06 UTC 2026`. Names of other zones mean several. */
function timeIn(text: string): string | null {
  const [, day, time, year] = /^#\w{3} (\w{3} \d\d) (\d\d:\d\d:\d\d) (?:UTC|GMT) (\d{4})$/m.exec(text) ?? [];
  const at = new Date(`${day} ${year} ${time} UTC`);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}
