import { expect } from 'chai';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { ArtifactSource } from '../../../../agent/engines/engine.ts';
import { segmentName } from '../../../../agent/engines/postgres/journal/lsn.ts';
import type { ImageManifest } from '../../../../shared/domain/backup-set.ts';
import type { MemberManifest } from '../../../../shared/domain/manifest.ts';
import { baseBackup, ofServerUser } from '../../../lab/base-backup.ts';
import { failureOf } from '../../../repository/samples.ts';
import { postgresServer } from '../../../lab/postgres.ts';
import { postgresLab, until } from '../lab.ts';
import { copy, copyWhileTold, imagesLab, imagesOf, NO_SIGNAL, type ImagesLab } from './images-lab.ts';

// Goal: an image, or an archive, that cannot bring a server to the mark is refused before anything is written, with the
// file that is the matter. Method: good ones of a real server, each spoilt in one way.

const SEGMENT = 1024 * 1024;
/** In seconds. */
const LONG_AGO = 1_000_000_000;

describe('an image of PostgreSQL that is none, or not of this member', function () {
  this.timeout(120_000);
  let place: ImagesLab;
  before(async () => {
    place = await imagesLab('18');
    await place.insert(1);
    await baseBackup(place.server, join(place.images, 'good'));
  });
  after(() => place?.remove());

  /** A copy of the good one, spoilt. */
  async function refusal(name: string, spoil: (image: string) => void): Promise<string> {
    const image = join(place.images, name);
    cpSync(join(place.images, 'good'), image, {
      recursive: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
    });
    spoil(image);
    ofServerUser(place.images);
    const { code, message } = await failureOf(place.read(name));
    return `${code}: ${message}`;
  }

  it('is good as it was made, and says what it is', async () => {
    const image = await place.read('good');
    const [row] = await place.server.query<{ id: string }>(
      'SELECT system_identifier::text AS id FROM pg_control_system()',
    );

    expect([image.member, image.image, image.engine]).to.deep.equal(['orders-1a', 'good', 'postgres']);
    expect(image.dataIdentity).to.equal(row?.id);
    expect(image.journalFiles[0]).to.equal(image.firstJournalFile);
    expect(image.engineFacts).to.include({ kind: 'backup', majorVersion: 18, timeline: 1 });
    const files = image.entries.filter((entry) => entry.kind === 'file');
    expect(files.every(({ digest }) => /^[0-9a-f]{64}$/.test(digest))).to.equal(true);
    expect(files.map(({ path }) => path)).to.include.members(['global/pg_control', 'backup_label']);
  });

  it('may be of a server that was itself brought up from one, and keeps its list and its label [S61]', async () => {
    const data = join(place.lab.folder, 'born', 'data');
    cpSync(join(place.images, 'good'), data, { recursive: true, verbatimSymlinks: true });
    chmodSync(data, 0o700);
    ofServerUser(dirname(data));
    const born = await postgresServer({ version: '18', data, host: '127.0.0.1', existing: true });
    born.configure([`port = ${born.port}`, 'archive_mode = off']);
    await born.start();
    try {
      await baseBackup(born, join(place.images, 'base-backup'));
      await copyWhileTold(born, join(place.images, 'told'), { journal: true });
      born.kill();
      await until('it to be dead', () => born.postmasterPid() === null);
      copy(data, join(place.images, 'snapshot'));
      await born.start();
    } finally {
      born.stop();
    }
    copy(data, join(place.images, 'cold'));
    ofServerUser(place.images);
    const kinds = { 'base-backup': 'backup', told: 'backup', snapshot: 'snapshot', cold: 'stopped' };

    for (const [image, kind] of Object.entries(kinds))
      expect((await place.read(image)).engineFacts, image).to.include({ kind });
  });

  it('is missing', async () => {
    for (const name of ['nothing', '../images/good', '', '/etc', 'good/PG_VERSION'])
      expect((await failureOf(place.read(name))).code, name).to.equal('image-missing');
  });

  it('is no data directory, or one of a server that is not supported', async () => {
    expect(await refusal('empty', (image) => rmSync(join(image, 'PG_VERSION')))).to.match(
      /^image-unfit: .*no data directory/,
    );
    expect(await refusal('old', (image) => writeFileSync(join(image, 'PG_VERSION'), '9.6\n'))).to.match(
      /^image-unfit: .*of PostgreSQL 9\.6/,
    );
  });

  it('has a control file that was cut, or is of another kind', async () => {
    expect(await refusal('cut', (image) => truncateSync(join(image, 'global/pg_control'), 100))).to.match(
      /^image-unfit: .*pg_control/,
    );
    expect(
      await refusal('torn', (image) => {
        const path = join(image, 'global/pg_control');
        const bytes = readFileSync(path);
        bytes.writeUInt8(bytes.readUInt8(44) ^ 1, 44);
        writeFileSync(path, bytes);
      }),
    ).to.match(/^image-unfit: .*pg_control/);
  });

  it('was made without a label while its server ran, and has not its journal', async () => {
    const said = await refusal('unlabelled', (image) => {
      rmSync(join(image, 'backup_label'));
      rmSync(join(image, 'backup_manifest'));
      for (const name of readdirSync(join(image, 'pg_wal')))
        rmSync(join(image, 'pg_wal', name), { recursive: true });
    });
    expect(said).to.match(/^image-unfit: .*no backup_label/);
    // A link to another disk leads to the journal of the living server, which is none of the copy's.
    const linked = await refusal('linked', (image) => {
      rmSync(join(image, 'backup_label'));
      rmSync(join(image, 'backup_manifest'));
      const elsewhere = join(place.lab.folder, 'journal-disk');
      renameSync(join(image, 'pg_wal'), elsewhere);
      symlinkSync(elsewhere, join(image, 'pg_wal'));
    });
    expect(linked).to.match(/^image-unfit: .*no backup_label/);
  });

  it('is an incremental backup', async () => {
    const said = await refusal('part', (image) =>
      appendFileSync(join(image, 'backup_label'), 'INCREMENTAL FROM LSN: 0/1000000\n'),
    );
    expect(said).to.match(/^image-unfit: .*incremental/);
  });

  it('is not what its own list says', async () => {
    const said = await refusal('damaged', (image) => {
      const path = join(image, 'base/5/1259');
      const bytes = readFileSync(path);
      bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100);
      writeFileSync(path, bytes);
    });
    expect(said).to.match(/^image-unfit: .*backup_manifest says: base\/5\/1259 does not have its checksum/);
    expect(await refusal('unlabelled-base', (image) => rmSync(join(image, 'backup_label')))).to.match(
      /backup_label is not there/,
    );
    expect(await refusal('less', (image) => rmSync(join(image, 'base/5/1259')))).to.match(
      /base\/5\/1259 is not there/,
    );
  });

  it('has a tablespace that lies somewhere else', async () => {
    const said = await refusal('linked', (image) => symlinkSync('/srv/fast', join(image, 'pg_tblspc/16999')));
    expect(said).to.match(/^image-unfit: .*pg_tblspc\/16999, which leads to \/srv\/fast/);
  });

  it('is of another server', async () => {
    const other = await postgresLab('18');
    await baseBackup(other.server, join(place.images, 'other'));
    other.remove();

    const failure = await failureOf(place.read('other'));

    expect(failure.code).to.equal('image-unfit');
    expect(failure.message).to.match(/is of the server \d+, and orders-1a is \d+/);
  });
});

describe('the journals of an image of PostgreSQL', function () {
  this.timeout(120_000);
  let place: ImagesLab;
  let image: ImageManifest;
  let mark: MemberManifest;
  let needed: readonly string[];
  before(async () => {
    place = await imagesLab('18');
    await place.insert(1);
    await copyWhileTold(place.server, join(place.images, 'good'), { journal: false });
    utimesSync(join(place.images, 'good', 'base/5/1259'), LONG_AGO, LONG_AGO);
    image = await place.read('good');
    for (const id of [2, 3, 4]) {
      await place.insert(id);
      await place.server.query('SELECT pg_switch_wal()');
    }
    mark = await place.mark();
    const first = Number.parseInt((image.firstJournalFile ?? '').slice(16), 16);
    const last = Number.parseInt((mark.mark?.journalFile ?? '').slice(16), 16);
    needed = Array.from({ length: last - first + 1 }, (_, index) =>
      segmentName(BigInt(first + index), 1, SEGMENT),
    );
    expect(needed.length).to.be.greaterThan(3);
  });
  after(() => place?.remove());

  const open = (signal = NO_SIGNAL): Promise<ArtifactSource> =>
    imagesOf(place.engine).open(image, mark, 'journals', signal);

  /** With one file of the archive spoilt, and right again afterwards. */
  async function refusal(name: string, spoil: (path: string) => void): Promise<string> {
    const path = join(place.archive, name);
    renameSync(path, `${place.archive}.kept`);
    cpSync(`${place.archive}.kept`, path);
    try {
      spoil(path);
      ofServerUser(place.archive);
      const { code, message } = await failureOf(open());
      return `${code}: ${message}`;
    } finally {
      rmSync(path, { force: true });
      renameSync(`${place.archive}.kept`, path);
    }
  }

  it('are read no further when the restore is given up', async () => {
    const over = AbortSignal.abort(new Error('given up'));
    expect(await open(over).catch((error: unknown) => error)).to.equal(over.reason);
  });

  it('are all there, and each is given, the last cut at the mark', async () => {
    const source = await open();

    const journal = source.manifest.artifacts.filter(({ path }) => path.startsWith('journal/'));
    expect(journal.map(({ path }) => path)).to.deep.equal(needed.map((name) => `journal/${name}`));
    const parts: Uint8Array[] = [];
    for await (const part of source.read(`journal/${needed.at(-1) ?? ''}`)) parts.push(part);
    const bytes = Buffer.concat(parts);
    const at = Number.parseInt((mark.mark?.position ?? '').split('/')[1] ?? '', 16) % SEGMENT;
    expect(bytes.length).to.equal(SEGMENT);
    expect(bytes.subarray(at).every((byte) => byte === 0)).to.equal(true);
    expect(bytes.subarray(at - 72, at).every((byte) => byte === 0)).to.equal(false);
  });

  it('lack one, wherever: it is named [S59]', async () => {
    for (const name of needed)
      expect(await refusal(name, (path) => rmSync(path))).to.match(
        new RegExp(`^journal-missing: .*${name}$`),
      );
  });

  it('have one that is cut, partial or packed', async () => {
    const [, name = ''] = needed;
    expect(await refusal(name, (path) => truncateSync(path, 4096))).to.match(
      new RegExp(`^journal-missing: .*${name} \\(it has 4096 bytes\\)`),
    );
    const renamed = `${name}.partial`;
    expect(await refusal(name, (path) => renameSync(path, join(place.archive, renamed)))).to.match(
      new RegExp(`^journal-missing: .*${name} \\(there is ${renamed}\\)`),
    );
    rmSync(join(place.archive, renamed));
    expect(await refusal(name, (path) => writeFileSync(path, Buffer.alloc(SEGMENT)))).to.match(
      /^journal-missing: .*does not begin as one/,
    );
  });

  it('have one under the name of another', async () => {
    const [, name = '', other = ''] = needed;
    const said = await refusal(name, (path) => cpSync(join(place.archive, other), path));
    expect(said).to.match(/^journal-missing: .*not the journal file of that name/);
  });

  it('have one of another server', async () => {
    const [, name = ''] = needed;
    const said = await refusal(name, (path) => {
      const bytes = readFileSync(path);
      bytes.writeBigUInt64LE(7n, 24);
      writeFileSync(path, bytes);
    });
    expect(said).to.match(/^journal-foreign: .*is of the server 7/);
  });

  it('break off before the mark', async () => {
    const said = await refusal(needed.at(-1) ?? '', (path) => {
      const bytes = readFileSync(path);
      bytes.fill(0, 200);
      writeFileSync(path, bytes);
    });
    expect(said).to.match(/^journal-missing: .*breaks off at 0\//);
  });

  it('are of a server that went another way, where no such restore point is', async () => {
    const other = {
      ...mark,
      engineFacts: { ...(mark.engineFacts as object), restorePoint: 'of_another_day' },
    };
    const failure = await failureOf(imagesOf(place.engine).open(image, other, 'journals', NO_SIGNAL));

    expect(failure.code).to.equal('journal-foreign');
  });

  it('do not help an image whose backup ended after the mark [S58]', async () => {
    const early = await place.mark();
    await copyWhileTold(place.server, join(place.images, 'late'), { journal: false });
    await place.mark();
    const late = await place.read('late');
    // One that had begun before the mark, and ended behind it.
    const begun = await place.server.connect();
    await begun.query("SELECT pg_backup_start('copy', true)");
    const between = await place.mark();
    const { rows } = await begun.query<{ label: string }>(
      'SELECT labelfile AS label FROM pg_backup_stop(false)',
    );
    await begun.end();
    cpSync(join(place.images, 'late'), join(place.images, 'across'), {
      recursive: true,
      verbatimSymlinks: true,
    });
    writeFileSync(join(place.images, 'across', 'backup_label'), rows[0]?.label ?? '');
    ofServerUser(place.images);
    const across = await place.read('across');

    const failures = [
      await failureOf(imagesOf(place.engine).open(late, early, 'journals', NO_SIGNAL)),
      await failureOf(imagesOf(place.engine).open(across, between, 'journals', NO_SIGNAL)),
    ];

    expect(failures.map(({ code }) => code)).to.deep.equal(['image-unfit', 'image-unfit']);
    expect(failures[1]?.message).to.include('had not ended at the mark');
    expect(failures[1]?.hint).to.include('journal-checkpoint');
  });

  it('are not read where the image is not what it was', async () => {
    const path = join(place.images, 'good', 'base/5/1259');
    const kept = readFileSync(path);
    const spoilt = Buffer.from(kept);
    spoilt.writeUInt8(spoilt.readUInt8(50) ^ 1, 50);

    writeFileSync(path, spoilt);
    const changed = await failureOf(open());
    // Nothing shows until it is read.
    utimesSync(path, LONG_AGO, LONG_AGO);
    const source = await open();
    const read = await failureOf(
      (async () => {
        for await (const _ of source.read('base/base/5/1259'));
      })(),
    );
    writeFileSync(path, kept);
    mkdirSync(join(place.images, 'good', 'more'));
    ofServerUser(place.images);
    const more = await failureOf(open());
    rmSync(join(place.images, 'good', 'more'), { recursive: true });

    expect([changed, read, more].map(({ code }) => code)).to.deep.equal([
      'image-changed',
      'image-changed',
      'image-changed',
    ]);
    expect(changed.message).to.include('base/5/1259');
    await open();
  });
});
