import { expect } from 'chai';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { buffer } from 'node:stream/consumers';
import { ArchiveReceiver } from '../../agent/engines/postgres/copy/archive-receiver.ts';
import { checkBackupManifest } from '../../agent/engines/postgres/copy/backup-manifest.ts';
import { segmentName } from '../../agent/engines/postgres/journal/lsn.ts';
import {
  conninfoFor,
  formatSettings,
  parseSettings,
} from '../../agent/engines/postgres/restore/auto-conf.ts';
import { parseStandbyNames } from '../../agent/engines/postgres/fence/standby-names.ts';
import { parseStreamMessage, standbyStatus } from '../../agent/engines/postgres/journal/stream-messages.ts';
import {
  transactionRecords,
  type TransactionRecord,
} from '../../agent/engines/postgres/journal/wal-records.ts';
import { checkArtifactPath } from '../../shared/repository/layout.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { collect } from '../repository/samples.ts';
import { anyBytes, anyText, hurt } from './mutations.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: what comes from a server, or from a disk in between, is understood or refused, never believed beyond its size.

describe('a base copy from outside', () => {
  const files = {
    PG_VERSION: Buffer.from('18\n'),
    'global/pg_control': Buffer.alloc(8192, 7),
    'base/1/large': Buffer.alloc(40_000, 'x'),
  };
  let tar: Buffer;
  let manifest: Buffer;

  before(async () => {
    const archive = pack();
    archive.entry({ name: 'base/', type: 'directory' });
    archive.entry({ name: 'a-link', type: 'symlink', linkname: 'PG_VERSION' });
    for (const [name, bytes] of Object.entries(files)) archive.entry({ name }, bytes);
    archive.finalize();
    tar = await buffer(archive);
    const list = Object.entries(files).map(([Path, bytes]) => ({
      Path,
      Size: bytes.length,
      'Checksum-Algorithm': 'SHA256',
      Checksum: createHash('sha256').update(bytes).digest('hex'),
    }));
    const sealed = `{ "PostgreSQL-Backup-Manifest-Version": 2,\n"Files": ${JSON.stringify(list)},\n`;
    manifest = Buffer.from(
      `${sealed}"Manifest-Checksum": "${createHash('sha256').update(sealed).digest('hex')}"}\n`,
    );
  });

  const message = (kind: string, ...parts: Buffer[]): Buffer => Buffer.concat([Buffer.from(kind), ...parts]);
  const begin = (name: string): Buffer => message('n', Buffer.from(`${name}\0/srv/fast\0`));
  const pieces = (bytes: Buffer, size = 10_000): Buffer[] => {
    const all: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) all.push(message('d', bytes.subarray(at, at + size)));
    return all;
  };

  /** Resolves with the paths that were stored. */
  async function receive(messages: readonly Buffer[], rows: string[][]): Promise<string[]> {
    const stored: string[] = [];
    const receiver = new ArchiveReceiver({
      artifacts: {
        async file({ path, mode, mtimeMs }, content) {
          checkArtifactPath(path);
          expect(Number.isFinite(mtimeMs) && mode >= 0 && mode <= 0o7777).to.equal(true);
          const bytes = await collect(content);
          stored.push(path);
          return { sizeBytes: bytes.length, digest: createHash('sha256').update(bytes).digest('hex') };
        },
        directory: ({ path }) => checkArtifactPath(path),
        symlink: ({ path }) => checkArtifactPath(path),
      },
      progress: () => undefined,
    });
    try {
      for (const one of messages) await receiver.receive(one);
      await receiver.finish(rows);
    } finally {
      receiver.end();
    }
    return stored;
  }

  const rows = [
    ['0/3000028', '1'],
    ['16384', '/srv/fast', '1'],
    ['0/3000100', '1'],
  ];

  it('is stored file by file when it is sound', async () => {
    const stored = await receive(
      [begin('base.tar'), ...pieces(tar), message('p', Buffer.alloc(8)), message('m'), ...pieces(manifest)],
      rows,
    );
    expect(stored).to.have.members([
      ...Object.keys(files).map((name) => `base/${name}`),
      'base/backup_manifest',
    ]);
  });

  it('is refused when its archive or its manifest is hurt, or its messages are', async () => {
    const whole = [begin('base.tar'), ...pieces(tar), message('m'), ...pieces(manifest)];
    const streams = fc.oneof(
      hurt(fc.constant(tar)).map((bytes) => [
        begin('base.tar'),
        ...pieces(bytes),
        message('m'),
        ...pieces(manifest),
      ]),
      hurt(fc.constant(manifest)).map((bytes) => [
        begin('base.tar'),
        ...pieces(tar),
        message('m'),
        ...pieces(bytes),
      ]),
      fc.array(anyBytes, { maxLength: 6 }),
      fc.tuple(fc.nat(whole.length), anyBytes).map(([at, bytes]) => whole.toSpliced(at, 1, bytes)),
      fc.shuffledSubarray(whole),
    );
    const ends = fc.oneof(
      fc.constant(rows),
      fc.array(fc.array(fc.string({ maxLength: 12 }), { maxLength: 3 }), { maxLength: 4 }),
    );
    let refused = 0;
    await fuzz(fc.tuple(streams, ends), 400, async ([messages, end]) => {
      const stored = await accepted(() => receive(messages, end));
      if (stored === null) refused += 1;
    });
    expect(refused).to.be.greaterThan(200);
  });

  it('is refused when a directory in it says that it has bytes', async () => {
    const hurtTar = Buffer.from(tar);
    hurtTar.write('00000000777', 124, 'latin1');
    hurtTar.fill(' ', 148, 156);
    const sum = hurtTar.subarray(0, 512).reduce((all, byte) => all + byte, 0);
    hurtTar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    await fuzz(fc.constant(hurtTar), 1, async (bytes) => {
      expect(await accepted(() => receive([begin('base.tar'), ...pieces(bytes)], rows))).to.equal(null);
    });
  });

  it('has a manifest that fits, or is refused', async () => {
    const stored = new Map(
      Object.entries(files).map(([name, bytes]) => [
        name,
        { sizeBytes: bytes.length, digest: createHash('sha256').update(bytes).digest('hex') },
      ]),
    );
    checkBackupManifest(manifest.toString(), stored);
    await fuzz(
      fc.oneof(
        anyText,
        hurt(fc.constant(manifest)).map((bytes) => bytes.toString()),
      ),
      1000,
      async (text) => {
        await accepted(() => checkBackupManifest(text, stored));
      },
    );
  });
});

describe('a journal from outside', () => {
  const folder = temporaryFolder('fuzz');
  after(() => folder.remove());
  const segmentBytes = 1024 * 1024;

  it('comes in messages that are understood or refused', async () => {
    const data = Buffer.concat([Buffer.from('w'), Buffer.alloc(24, 1), Buffer.from('bytes')]);
    const keepalive = Buffer.concat([Buffer.from('k'), Buffer.alloc(17, 1)]);
    expect(parseStreamMessage(data)).to.have.property('bytes').that.deep.equals(Buffer.from('bytes'));
    await fuzz(
      fc.oneof(anyBytes, hurt(fc.constantFrom(data, keepalive, standbyStatus(1n, 1n, 1n)))),
      3000,
      async (bytes) => {
        const message = await accepted(() => parseStreamMessage(bytes));
        if (message?.type === 'data') expect(message.bytes.length).to.equal(bytes.length - 25);
      },
    );
  });

  /** A record of the transaction manager: header, then one block of main data. */
  function record(info: number, main: Buffer, length?: number): Buffer {
    const header = Buffer.alloc(24);
    const block = main.length < 256 ? Buffer.from([255, main.length]) : Buffer.alloc(5);
    if (main.length >= 256) {
      block[0] = 254;
      block.writeUInt32LE(main.length, 1);
    }
    header.writeUInt32LE(length ?? 24 + block.length + main.length, 0);
    header.writeUInt32LE(4711, 4);
    header[16] = info;
    header[17] = 1;
    const whole = Buffer.concat([header, block, main]);
    return Buffer.concat([whole, Buffer.alloc((8 - (whole.length % 8)) % 8)]);
  }

  function prepared(gid: string): Buffer {
    const main = Buffer.alloc(73 + gid.length);
    main.writeUInt16LE(gid.length + 1, 54);
    main.write(gid, 72);
    return main;
  }

  const commitPrepared = Buffer.alloc(16 + 4);
  commitPrepared.writeUInt32LE(0x10, 8);
  commitPrepared.writeUInt32LE(4712, 12);
  const SOUND = [
    record(0x00, Buffer.alloc(8)),
    record(0x10, prepared('a gid')),
    record(0xb0, commitPrepared),
    record(0x20, Buffer.alloc(8)),
    record(0x00, Buffer.alloc(900)),
  ];

  async function read(bytes: Buffer): Promise<TransactionRecord[]> {
    const file = Buffer.alloc(segmentBytes);
    bytes.copy(file, 40);
    mkdirSync(folder.path, { recursive: true });
    writeFileSync(join(folder.path, segmentName(1n, 1, segmentBytes)), file);
    const from = BigInt(segmentBytes);
    return recordsIn(from, from + 40n + BigInt(Math.min(bytes.length, 8000)));
  }

  async function recordsIn(from: bigint, to: bigint): Promise<TransactionRecord[]> {
    const where = { directory: folder.path, timeline: 1, segmentBytes, serverVersion: 180_000 };
    const found: TransactionRecord[] = [];
    for await (const one of transactionRecords({ ...where, from, to })) found.push(one);
    return found;
  }

  it('has the transactions that are in it', async () => {
    const found = await read(Buffer.concat(SOUND));
    expect(found.map(({ type, xid, prepared: one }) => [type, xid, one?.gid ?? null])).to.deep.equal([
      ['commit', 4711, null],
      ['prepare', 4711, 'a gid'],
      ['commitPrepared', 4712, null],
      ['abort', 4711, null],
      ['commit', 4711, null],
    ]);
  });

  it('is read as far as it goes, or refused, whatever its records say of their lengths', async () => {
    const records = fc.array(
      fc.oneof(
        fc.constantFrom(...SOUND),
        fc
          .tuple(fc.nat(255), fc.uint8Array({ maxLength: 300 }))
          .map(([info, main]) => record(info, Buffer.from(main))),
        fc
          .tuple(fc.nat(255), fc.constantFrom(0, 1, 23, 2 ** 20, 2 ** 31, 2 ** 32 - 1))
          .map(([info, length]) => record(info, Buffer.alloc(40, 255), length)),
      ),
      { minLength: 1, maxLength: 8 },
    );
    const journals = fc.oneof(
      anyBytes,
      records.map((all) => Buffer.concat(all)),
      hurt(records.map((all) => Buffer.concat(all))),
    );
    await fuzz(journals, 400, async (bytes) => {
      const found = await accepted(() => read(bytes));
      for (const { xid, prepared: one } of found ?? []) {
        expect(xid).to.be.within(0, 2 ** 32 - 1);
        if (one !== null) expect(one.gid.length).to.be.at.most(70_000);
      }
    });
  });

  it('that says four gibibytes is refused before there is room for them', async () => {
    await fuzz(fc.constantFrom(2 ** 30, 2 ** 32 - 1), 4, async (length) => {
      expect(await accepted(() => read(record(0x00, Buffer.alloc(40), length)))).to.equal(null);
    });
  });

  it('of which a file is missing is refused', async () => {
    const from = BigInt(segmentBytes) * 7n;
    expect(await accepted(() => recordsIn(from, from + 100n))).to.equal(null);
  });
});

describe('settings of a server from outside', () => {
  const texts = fc.oneof(
    anyText,
    fc
      .array(
        fc.constantFrom(
          "'",
          '"',
          '\\',
          ',',
          ' ',
          '=',
          '\n',
          '#',
          'a',
          '%',
          '%zz',
          '(',
          ')',
          'FIRST ',
          'ANY ',
          '2',
          '@',
          ':',
          '/',
          '?',
          '&',
          'postgres://',
          'host',
        ),
        { maxLength: 60 },
      )
      .map((parts) => parts.join('')),
    fc.constantFrom(
      "'".repeat(50_000),
      '"'.repeat(50_000),
      `${'a '.repeat(30_000)}=`,
      `ANY 1 (${','.repeat(50_000)}`,
      '\\'.repeat(50_000),
    ),
  );

  it('are read as far as they are any, and come back as they were', async () => {
    await fuzz(texts, 1000, (text) => {
      const settings = parseSettings(text);
      expect(parseSettings(formatSettings(settings))).to.deep.equal(settings);
      parseStandbyNames(text);
      conninfoFor(text, { host: 'h', port: 1 }, {});
    });
  });
});
