import { randomInt } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { serverUser } from './server-user.ts';
import { keptRoot } from './temporary.ts';

export interface ClusterKind {
  /** How large its journal files are. */
  readonly walSegmentMb: number;
  /** With template0 and template1, which are two thirds of it. */
  readonly templates: boolean;
}

/**
 * Fills an empty data directory as initdb does. initdb runs once for each kind of server on this machine; what it made is
 * copied, and the copy gets a system identifier of its own: no two servers of tests may be taken for one.
 */
export function freshCluster(binaries: string, data: string, kind: ClusterKind): void {
  const copied = spawnSync('cp', ['-a', '--reflink=auto', `${made(binaries, kind)}/.`, data], {
    encoding: 'utf8',
  });
  if (copied.status !== 0) throw new Error(`a data directory is not copied: ${copied.stderr}`);
  nameAnew(data);
}

/** For a server that runs alone, one statement a line. */
const WITHOUT_TEMPLATES = `UPDATE pg_database SET datistemplate = false WHERE datname LIKE 'template_'
DROP DATABASE template0
DROP DATABASE template1
`;

/** The directory that initdb has made, kept for whoever comes with the same binaries. */
function made(binaries: string, { walSegmentMb, templates }: ClusterKind): string {
  const { mtimeMs, size } = statSync(join(binaries, 'postgres'));
  const build = `${Math.round(mtimeMs)}-${size}`;
  const kept = join(keptRoot(), `cluster-${build}-${walSegmentMb}${templates ? '' : '-without-templates'}`);
  if (existsSync(kept)) return kept;
  const folder = mkdtempSync(join(keptRoot(), 'new-cluster-'));
  if (serverUser !== null) chownSync(folder, serverUser.uid, serverUser.gid);
  const data = join(folder, 'data');
  const options = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  const run = (program: string, words: readonly string[], input = ''): void => {
    const { status, stdout, stderr } = spawnSync(join(binaries, program), words, {
      encoding: 'utf8',
      cwd: '/',
      input,
      ...serverUser,
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    });
    if (status !== 0) throw new Error(`${program} failed: ${stderr}${stdout}`);
  };
  run('initdb', ['-D', data, ...options, `--wal-segsize=${walSegmentMb}`]);
  if (!templates)
    run('postgres', ['--single', '-D', data, '-c', 'exit_on_error=true', 'postgres'], WITHOUT_TEMPLATES);
  try {
    renameSync(data, kept);
  } catch (error) {
    // Another process of the tests may have been faster.
    if (!existsSync(kept)) throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return kept;
}

/** Where the identifier is in the first, long header of a journal file. */
const IDENTIFIER_OF_FILE = 24;

/** Another system identifier in the control file and in the journal, made as initdb makes it: of the time and of chance. */
function nameAnew(data: string): void {
  const control = join(data, 'global/pg_control');
  const bytes = readFileSync(control);
  const before = bytes.readBigUInt64LE(0);
  const after = (BigInt(Math.floor(Date.now() / 1000)) << 32n) | BigInt(randomInt(2 ** 32));
  const end = checksumAt(bytes);
  bytes.writeBigUInt64LE(after, 0);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, end)), end);
  writeFileSync(control, bytes);
  for (const { name } of readdirSync(join(data, 'pg_wal'), { withFileTypes: true })) {
    if (!/^[0-9A-F]{24}$/.test(name)) continue;
    const path = join(data, 'pg_wal', name);
    const journal = readFileSync(path);
    if (journal.readBigUInt64LE(IDENTIFIER_OF_FILE) !== before) continue;
    journal.writeBigUInt64LE(after, IDENTIFIER_OF_FILE);
    writeFileSync(path, journal);
  }
}

/** The control file ends with the checksum of all before it; where that is depends on the version. */
function checksumAt(bytes: Buffer): number {
  for (let end = 64; end < 1024; end += 4)
    if (crc32c(bytes.subarray(0, end)) === bytes.readUInt32LE(end)) return end;
  throw new Error('the control file has no checksum where one is looked for');
}

/** Castagnoli's, which PostgreSQL uses; that of zlib is another. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
