import { expect } from 'chai';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeNative } from '../../../agent/engines/native/describe.ts';
import type { NativeSettings } from '../../../agent/engines/native/settings.ts';
import { DescribeResponse } from '../../../shared/rpc/generated/participant.ts';
import { freePort } from '../../lab/ports.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: whose files a stopped process has is known from them, and what they say is never trusted further than that.

describe('a process that does not run', () => {
  const folder = temporaryFolder('stopped');
  const data = join(folder.path, 'realm');
  const file = join(data, 'described.json');
  const description = DescribeResponse.fromPartial({
    contractVersion: 1,
    name: 'realm',
    role: 1,
    incarnation: 'i',
    version: '7',
    dataDirectory: data,
    dataIdentity: 'theirs',
    held: {},
    definition: { grid: 'payroll', foreign: ['process audit'] },
  });
  const said = JSON.stringify(DescribeResponse.toJSON(description));
  let settings: NativeSettings;

  before(async () => {
    settings = {
      name: 'realm',
      role: 'realm-service',
      engine: 'native',
      address: `127.0.0.1:${await freePort('127.0.0.1')}`,
      data,
      participant: `unix:${join(folder.path, 'none.sock')}`,
      startSeconds: 1,
    };
  });

  beforeEach(() => {
    rmSync(data, { recursive: true, force: true });
    mkdirSync(join(data, 'live/database'), { recursive: true });
  });

  after(() => folder.remove());

  it('is described by what it last said, with all that is in its realm [S6] [S7]', async () => {
    writeFileSync(file, said);
    const { running, dataIdentity, realm, version } = await describeNative(settings, false);
    expect({ running, dataIdentity, version }).to.deep.equal({
      running: false,
      dataIdentity: 'theirs',
      version: '7',
    });
    expect(realm).to.deep.include({ grid: 'payroll', foreign: ['process audit'] });
  });

  it('is nobody where its live/ is gone', async () => {
    writeFileSync(file, said);
    rmSync(join(data, 'live'), { recursive: true });
    expect(await describeNative(settings, false)).to.include({ dataIdentity: '', realm: null });
  });

  const unknown: Record<string, () => void> = {
    'it says nothing': () => undefined,
    'another process says it': () => writeFileSync(file, said.replace('"realm"', '"k1"')),
    'it is cut short': () => writeFileSync(file, said.slice(0, -9)),
    'it is a link': () => {
      writeFileSync(`${file}.real`, said);
      symlinkSync(`${file}.real`, file);
    },
    'it is too long': () => writeFileSync(file, said.padEnd(5 * 1024 * 1024)),
  };
  for (const [what, prepare] of Object.entries(unknown)) {
    it(`is unknown where ${what}`, async () => {
      prepare();
      expect(await describeNative(settings, false)).to.include({ dataIdentity: '', realm: null });
    });
  }
});
