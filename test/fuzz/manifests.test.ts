import { expect } from 'chai';
import fc from 'fast-check';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { parseFacts, type PostgresFacts } from '../../agent/engines/postgres/copy/facts.ts';
import { metadataPlace } from '../../agent/engines/native/metadata.ts';
import type { GridManifest, MemberManifest } from '../../shared/domain/manifest.ts';
import {
  parseGridManifest,
  parseMemberManifest,
  sealGridManifest,
} from '../../shared/repository/manifest-schema.ts';
import { openRepository } from '../../shared/repository/open.ts';
import { madeRepository } from '../repository/made.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { GRID, gridManifest, gridMember, memberHead, checkpointId } from '../repository/samples.ts';
import { anyBytes, anyText, hurt, spoiled } from './mutations.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: whatever stands in a repository, reading it ends with what a writer could have written, or with a clear error.

const DESTINATION = '/srv/destination';
const digest = 'a'.repeat(64);
const member: MemberManifest = {
  ...memberHead(checkpointId(1), 'a'),
  artifacts: [
    { kind: 'directory', path: 'base', mode: 0o700 },
    {
      kind: 'file',
      path: 'base/1',
      mode: 0o600,
      mtimeMs: 1,
      sizeBytes: 7,
      digest,
      chunks: [{ key: digest, digest, sizeBytes: 7, storedDigest: digest, storedBytes: 7, codec: 'none' }],
    },
    { kind: 'symlink', path: 'base/link', target: 'elsewhere' },
  ],
};
const grid: GridManifest = gridManifest(checkpointId(1), [
  gridMember('a', { manifestDigest: digest, sizeBytes: 7, storedBytes: 7 }),
  gridMember('b', { manifestDigest: digest, sizeBytes: 7, storedBytes: 7 }),
]);
const facts: PostgresFacts = {
  kind: 'primary',
  serverVersion: 180_004,
  systemIdentifier: '7391',
  timeline: 1,
  walSegmentSizeBytes: 16 * 1024 * 1024,
  startPosition: '0/3000028',
  markPosition: '0/A3000188',
  restorePoint: 'stillpoint_7_1',
  synchronousStandbyNames: '',
  synchronousStandbyNamesInAutoConf: false,
  port: 5432,
  listenAddresses: '*',
  archiving: false,
  subscriptions: [{ database: 'd', name: 's', enabled: true }],
  tablespaces: [{ oid: '16384', location: '/srv/fast' }],
  outsideFiles: [],
  also: [],
  preparedAtMark: [],
  preparedEnded: [{ gid: 'g', outcome: 'committed' }],
  preparedReused: ['g'],
  configFile: null,
  needs: [],
  preload: [],
  leftOut: [],
  walLink: null,
  damagedPages: [],
  collations: [],
  locales: [],
  inForce: [],
  outbound: [],
};

function mustStayInside(path: string): void {
  expect(path).not.to.include('\0');
  expect(resolve(DESTINATION, path).startsWith(DESTINATION + sep), path).to.equal(true);
}

function checkMember(parsed: MemberManifest): void {
  mustStayInside(parsed.member.name);
  mustStayInside(metadataPlace({ name: parsed.member.name, role: parsed.member.role }, 'state'));
  for (const artifact of parsed.artifacts) {
    mustStayInside(artifact.path);
    if (artifact.kind !== 'file') continue;
    expect(artifact.sizeBytes).to.equal(artifact.chunks.reduce((sum, chunk) => sum + chunk.sizeBytes, 0));
    for (const { key, sizeBytes, storedBytes } of artifact.chunks) {
      expect(key).to.match(/^[0-9a-f]{64}(-\d+)?$/);
      expect(storedBytes).to.be.at.most(sizeBytes);
      expect(Number.isSafeInteger(sizeBytes)).to.equal(true);
    }
  }
  // What was accepted is read again as it is.
  const text = JSON.stringify(parsed);
  expect(JSON.stringify(parseMemberManifest(text, 'f'))).to.equal(text);
}

describe('a manifest from outside', () => {
  it('of a member is one that a writer could have written, or damaged', async () => {
    const texts = fc.oneof(
      anyText,
      hurt(fc.constant(Buffer.from(JSON.stringify(member)))).map((bytes) => bytes.toString()),
      spoiled(member).map((value) => JSON.stringify(value) ?? ''),
    );
    let read = 0;
    await fuzz(texts, 1000, async (text) => {
      const parsed = await accepted(() => parseMemberManifest(text, 'members/a.json'));
      if (parsed === null) return;
      read += 1;
      checkMember(parsed);
    });
    expect(read, 'some were accepted').to.be.greaterThan(0);
    expect(({} as { polluted?: unknown }).polluted).to.equal(undefined);
  });

  it('of a grid is refused when its text is not the one that was sealed', async () => {
    const sealed = sealGridManifest(grid);
    const texts = fc.oneof(
      anyText,
      hurt(fc.constant(Buffer.from(sealed))).map((bytes) => bytes.toString()),
    );
    await fuzz(texts, 1000, async (text) => {
      const parsed = await accepted(() => parseGridManifest(text, 'grid.json'));
      expect(parsed === null || text === sealed).to.equal(true);
    });
  });

  it('of a grid, sealed by who knows how, names only members that lie in the checkpoint', async () => {
    let read = 0;
    await fuzz(spoiled(grid), 800, async (value) => {
      const text = sealGridManifest(value as GridManifest);
      const parsed = await accepted(() => parseGridManifest(text, 'grid.json'));
      if (parsed === null) return;
      read += 1;
      for (const { name } of parsed.members) mustStayInside(name);
      expect(new Set(parsed.members.map(({ name }) => name)).size).to.equal(parsed.members.length);
      expect(Number.isFinite(parsed.windowMs)).to.equal(true);
      for (const { sizeBytes } of parsed.members) expect(Number.isSafeInteger(sizeBytes)).to.equal(true);
      expect(parseGridManifest(sealGridManifest(parsed), 'f')).to.deep.equal(parsed);
    });
    expect(read, 'some were accepted').to.be.greaterThan(0);
  });

  it('has facts of PostgreSQL that lead nowhere else, or is damaged', async () => {
    let read = 0;
    await fuzz(spoiled(facts), 800, async (engineFacts) => {
      const parsed = await accepted(() => parseFacts({ ...member, engineFacts }));
      if (parsed === null) return;
      read += 1;
      for (const { oid } of parsed.tablespaces) mustStayInside(oid);
      expect(parseFacts({ ...member, engineFacts: parsed })).to.deep.equal(parsed);
    });
    expect(read, 'some were accepted').to.be.greaterThan(0);
  });
});

describe('a repository with files from outside', () => {
  const folder = temporaryFolder('fuzz');
  after(() => folder.remove());

  it('has an id that can be relied on, or says what is wrong with repository.json', async () => {
    const id = '0f8fad5b-d9cb-469f-a165-70867728950e';
    const valid = Buffer.from(`${JSON.stringify({ format: 1, id })}\n`);
    const path = join(folder.path, 'repository.json');
    await fuzz(fc.oneof(anyBytes, hurt(fc.constant(valid))), 200, async (bytes) => {
      writeFileSync(path, bytes);
      const repository = await accepted(() => madeRepository(folder.path));
      if (repository === null) return;
      expect(repository.id).to.match(/^[0-9a-f-]{36}$/i);
      await repository.close();
    });
  });

  it('has decided a restore, or says that nobody can tell', async () => {
    writeFileSync(
      join(folder.path, 'repository.json'),
      `{"format":1,"id":"0f8fad5b-d9cb-469f-a165-70867728950e"}\n`,
    );
    const restores = join(folder.path, 'grids', GRID, 'restores');
    mkdirSync(restores, { recursive: true });
    const repository = await openRepository(folder.path);
    const valid = fc
      .constantFrom('restored', 'rolledBack')
      .map((outcome) => Buffer.from(`${JSON.stringify({ outcome })}\n`));
    await fuzz(fc.oneof(anyBytes, hurt(valid)), 300, async (bytes) => {
      writeFileSync(join(restores, 'one.json'), bytes);
      const decided = await accepted(() => repository.decideRestore(GRID, 'one', 'restored'));
      if (decided !== null) expect(bytes.toString()).to.include(`"${decided}"`);
    });
    await repository.close();
  });
});
