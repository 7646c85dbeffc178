import { expect } from 'chai';
import fc from 'fast-check';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readRecord } from '../../agent/engines/restore/directory-switch.ts';
import { openStateDirectory } from '../../agent/state-directory.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { anyBytes, hurt, spoiled } from './mutations.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: what an agent finds of its predecessor is what that one wrote, or an error that names the file.

describe('the state of an agent, damaged', () => {
  const folder = temporaryFolder('fuzz');
  after(() => folder.remove());

  const FILES = [
    { name: 'token.json', value: { epoch: 0, counter: 7, attempt: 1 } },
    { name: 'freezes/aa.json', value: { member: 'aa', undo: { kind: 'observer', wasPaused: false } } },
    {
      name: 'restores/aa.json',
      value: { member: 'aa', grid: 'orders', restoreId: 'r', repositoryId: 'id', switched: true },
    },
  ] as const;

  for (const { name, value } of FILES) {
    it(`has a ${name} that can be relied on, or says that it has not`, async () => {
      const path = join(folder.path, 'state');
      rmSync(path, { recursive: true, force: true });
      for (const room of ['', 'freezes', 'restores']) mkdirSync(join(path, room), { recursive: true });
      const bytes = fc.oneof(
        anyBytes,
        hurt(fc.constant(Buffer.from(JSON.stringify(value)))),
        spoiled(value).map((one) => Buffer.from(JSON.stringify(one) ?? '')),
      );
      let read = 0;
      await fuzz(bytes, 400, async (content) => {
        writeFileSync(join(path, name), content);
        const found = await accepted(async () => {
          const state = await openStateDirectory(path);
          return {
            token: state.highestToken(),
            records: [...(await state.freezeRecords()), ...(await state.restoreRecords())],
          };
        });
        if (found === null) return;
        read += 1;
        const { token, records } = found;
        if (token !== null)
          for (const part of [token.epoch, token.counter, token.attempt])
            expect(Number.isSafeInteger(part) && part >= 0, JSON.stringify(token)).to.equal(true);
        for (const { member } of records) expect(member).to.be.a('string').that.is.not.equal('');
      });
      expect(read, 'some were accepted').to.be.greaterThan(0);
    });
  }

  it('has a spool nowhere else, whatever an operation calls itself', async () => {
    const path = join(folder.path, 'own');
    const precious = join(folder.path, 'precious');
    mkdirSync(precious, { recursive: true });
    writeFileSync(join(precious, 'file'), 'precious');
    const state = await openStateDirectory(path);
    for (const operation of ['../../precious/x', '../..', '..', '/etc', '', 'a/b', 'a\0b']) {
      const made = await state.makeSpool(operation, '../../precious').then(
        () => true,
        () => false,
      );
      expect(made, operation).to.equal(false);
    }
    rmSync(join(precious, 'file'));
  });

  it('has a record of a restore that can be taken up, or says that it has not', async () => {
    const data = join(folder.path, 'data');
    const room = join(folder.path, '.stillpoint-data');
    mkdirSync(room);
    const value = {
      format: 1,
      checkpoint: 'c',
      directories: [{ path: data, existed: true }],
      made: [`${data}.tablespaces/1/16384`],
    };
    const bytes = fc.oneof(
      anyBytes,
      hurt(fc.constant(Buffer.from(JSON.stringify(value)))),
      spoiled(value).map((one) => Buffer.from(JSON.stringify(one) ?? '')),
    );
    await fuzz(bytes, 400, async (content) => {
      writeFileSync(join(room, 'restore.json'), content);
      const record = await accepted(() => readRecord(data));
      for (const { path } of record?.directories ?? []) expect(path).to.be.a('string');
    });
  });
});
