import { expect } from 'chai';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { checkDocuments } from '../../../agent/documents/check.ts';
import { documentsSchema } from '../../../agent/documents/settings.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { scriptedServer } from './scripted-server.ts';

// Goal: whatever would make documents fail each time is said by `stillpoint-agent --check`, with a remedy, and nothing is
// said of what is right.

describe('the check of what an agent file says of documents', () => {
  const folder = temporaryFolder('check-documents');
  const template = join(folder.path, 'template');
  const volumes = join(folder.path, 'volumes');
  const passwordFile = join(folder.path, 'password');
  const servers: Server[] = [];
  let url = '';
  let refusing = '';
  let foreign = '';

  before(async () => {
    for (const path of [join(template, 'conf'), volumes, join(folder.path, 'members')])
      mkdirSync(path, { recursive: true });
    writeFileSync(join(template, 'conf/infinispan.xml'), '<cache-container zero-capacity-node="true"/>');
    writeFileSync(join(folder.path, 'members/n1'), '');
    writeFileSync(passwordFile, 'right\n', { mode: 0o600 });
    const listen = async (server: Server): Promise<string> => {
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    };
    url = await listen(scriptedServer({ folder: folder.path, name: 'n1', stop: () => undefined }));
    refusing = await listen(createServer((_, response) => response.writeHead(401).end('who are you?')));
    foreign = await listen(createServer((_, response) => response.end('<html>a web shop</html>')));
  });

  after(() => {
    for (const server of servers) server.close();
    folder.remove();
  });

  async function check(keys: { cluster?: object; member?: object; classes?: object } = {}) {
    const settings = documentsSchema.parse({
      clusters: {
        'source-cluster': {
          url,
          ...keys.cluster,
          member: {
            template,
            command: [process.execPath, '{room}', '{name}'],
            url: 'http://127.0.0.1:1',
            ...keys.member,
          },
        },
        'cache-cluster': { service: 'Cache', url: 'http://127.0.0.1:1' },
      },
      storageClasses: keys.classes ?? { one: { directory: volumes } },
    });
    return checkDocuments(settings);
  }

  async function problem(keys: Parameters<typeof check>[0], message: RegExp, hint: string): Promise<void> {
    const { problems } = await check(keys);
    expect(problems.map((one) => one.message)).to.have.length(1);
    expect(problems[0]?.message).to.match(message);
    expect(problems[0]?.hint).to.include(hint);
  }

  async function note(keys: Parameters<typeof check>[0], words: RegExp): Promise<void> {
    const { problems, notes } = await check(keys);
    expect(problems).to.deep.equal([]);
    expect(notes).to.have.length(1);
    expect(notes[0]).to.match(words);
  }

  it('has nothing to say of what is right', async () => {
    expect(await check()).to.deep.equal({ problems: [], notes: [] });
  });

  it('asks the cluster: its credentials, its container, and whether it is one at all', async () => {
    await problem({ cluster: { url: refusing } }, /cluster source-cluster .*status 401: who are you/, 'auth');
    await problem({ cluster: { container: 'other' } }, /is called default, .* says other/, 'container');
    await problem({ cluster: { url: foreign } }, /what is not understood: it is no JSON/, 'version 16');
    await note(
      { cluster: { url: 'http://127.0.0.1:1' } },
      /source-cluster of documents cannot be asked: .*ECONNREFUSED/,
    );
    const auth = { type: 'basic', user: 'stillpoint', passwordFile: join(folder.path, 'no-such') };
    await problem({ cluster: { auth } }, /no-such cannot be read/, 'chmod 600');
  });

  it('looks at the secret of the cluster: it is for the agent alone', async () => {
    const auth = { type: 'basic', user: 'stillpoint', passwordFile };
    expect(await check({ cluster: { auth } })).to.deep.equal({ problems: [], notes: [] });
    chmodSync(passwordFile, 0o644);
    await problem(
      { cluster: { auth } },
      /password is open to every user of this host \(mode 644\)/,
      'chmod 600 ',
    );
    chmodSync(passwordFile, 0o640);
    expect((await check({ cluster: { auth } })).problems).to.deep.equal([]);
    chmodSync(passwordFile, 0o600);
  });

  it('looks at the member: its template, its program, its user, and its place', async () => {
    const bare = join(folder.path, 'bare');
    mkdirSync(join(bare, 'conf'), { recursive: true });
    writeFileSync(join(bare, 'conf/infinispan.xml'), '<cache-container/>');
    await problem(
      { member: { template: bare } },
      /makes no member without capacity/,
      'zero-capacity-node="true"',
    );
    await problem({ member: { template: '/no/such' } }, /\/no\/such cannot be read: ENOENT/, 'conf');
    for (const program of ['/no/such/program', passwordFile, volumes, 'no-such-program-on-the-path'])
      await problem(
        { member: { command: [program, '{room}', '{name}'] } },
        /is no program/,
        'member.command',
      );
    expect((await check({ member: { command: ['sh', '{room}', '{name}'] } })).problems).to.deep.equal([]);
    await problem({ member: { user: 'no-such-user' } }, /there is no user no-such-user/, 'member.user');
    await note({ member: { url } }, /something answers at http/);
  });

  it('looks at storage classes: their directories, their room, and which is the default', async () => {
    await problem({ classes: { one: { directory: '/no/such' } } }, /storage class one: .*ENOENT/, 'mounted');
    await problem({ classes: { one: { directory: passwordFile } } }, /it is no directory/, 'mounted');
    await note(
      { classes: { one: { directory: volumes, quota: '9999999TB' } } },
      /is more than the whole disk/,
    );
    await note({ classes: {} }, /no storageClasses/);
    const directory = volumes;
    await note({ classes: { one: { directory }, two: { directory } } }, /no storage class is the default/);
  });

  it('tries what a member needs as its user', async function () {
    if (process.getuid?.() !== 0) {
      // One user cannot become another: that is what is said.
      await problem({ member: { user: 'nobody' } }, /commands cannot be run as nobody/, 'root');
      return;
    }
    chmodSync(volumes, 0o700);
    await problem({ member: { user: 'nobody' } }, /nobody cannot come into .*volumes/, 'chmod o+x');
    chmodSync(volumes, 0o711);
    expect((await check({ member: { user: 'nobody' } })).problems).to.deep.equal([]);
    const program = join(folder.path, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o700 });
    await problem(
      { member: { user: 'nobody', command: [program, '{room}', '{name}'] } },
      /nobody may not start .*program/,
      'read and execute',
    );
  });
});
