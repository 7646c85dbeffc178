import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import * as https from 'node:https';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { BACKUP, RESTORE } from '../../documents/documents.ts';
import { documented, DocumentsLab, membersOf } from '../../lab/documents-lab.ts';
import { certificateOf, Secured } from '../../lab/infinispan-secured.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { initializePki } from '../../../shared/rpc/pki.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: documents of a cluster that is reached by TLS, with a user or with a token, are carried out; and where the secret,
// the name or the CA is wrong, of the cluster or of the member that is started, they fail with the server's own words, and
// nothing is left. Method: one real server, which the agent's file names many times, each time with other keys.

const ENTRIES = 50;

interface Wrong {
  readonly name: string;
  /** What is wrong, in words for the title. */
  readonly what: string;
  readonly reason: RegExp;
  readonly hint: string;
  /** The member was started before it was seen. */
  readonly isStarted: boolean;
}

const WRONG: readonly Wrong[] = [
  {
    name: 'wrong-password',
    what: 'its password is wrong',
    reason: /refuses user stillpoint with status 401/,
    hint: 'write the password of that user, alone, into',
    isStarted: false,
  },
  {
    name: 'no-admin',
    what: 'its user may only read',
    reason: /refuses user reader with status 403: .*ADMIN/,
    hint: 'give it the role admin',
    isStarted: false,
  },
  {
    name: 'expired-token',
    what: 'its token has expired',
    reason: /refuses the token in .*expired-token with status 401/,
    hint: 'it has expired, or is of another realm',
    isStarted: false,
  },
  {
    name: 'foreign-token',
    what: 'its token is of another issuer',
    reason: /refuses the token in .*foreign-token with status 401/,
    hint: 'it has expired, or is of another realm',
    isStarted: false,
  },
  {
    name: 'no-password-file',
    what: 'the file of its password is not there',
    reason: /no-such-file cannot be read/,
    hint: 'write the secret into it',
    isStarted: false,
  },
  {
    name: 'wrong-name',
    what: "its name is not in the server's certificate",
    reason: /certificate of the server at .* is not accepted: .*does not match certificate's altnames/,
    hint: 'tls.serverName the name in it',
    isStarted: false,
  },
  {
    name: 'wrong-ca',
    what: "another CA signed the server's certificate",
    reason:
      /certificate of the server at .* is not accepted: .*(self-signed|unable to verify|certificate signature failure)/i,
    hint: 'tls.ca names the CA that signed it',
    isStarted: false,
  },
  {
    name: 'member-password',
    what: 'the member that is started has other users',
    reason: /refuses user stillpoint with status 401/,
    hint: 'write the password of that user, alone, into',
    isStarted: true,
  },
  {
    name: 'member-ca',
    what: 'another CA signed the certificate of the member that is started',
    reason: /certificate of the server at .* is not accepted/,
    hint: 'tls.ca names the CA that signed it',
    isStarted: true,
  },
];

describe('documents of a cluster with TLS, users and tokens', () => {
  const folder = temporaryFolder('secured');
  let cluster: InfinispanCluster;
  let secured: Secured;
  let lab: DocumentsLab;

  before(async function () {
    needsInfinispan(this);
    for (const name of ['other', 'members']) mkdirSync(join(folder.path, name));
    secured = await Secured.make(folder.path);
    const other = await Secured.make(join(folder.path, 'other'));
    cluster = await InfinispanCluster.start({
      name: 'secured',
      nodes: 1,
      container: '<security><authorization/></security><distributed-cache name="orders" mode="SYNC"/>',
      heapMB: 192,
      ...secured.options,
    });
    const passwordFile = file('password-wrong', 'wrong');
    const user = { type: 'basic', user: 'stillpoint' };
    const right = { ...user, passwordFile: secured.passwordFile };
    const { tls } = secured;
    const own = async (name: string, keys: object, files: Record<string, string> = {}) => {
      const one = await documented(name, cluster, {
        options: { files: { ...secured.options.files, ...files } },
        keys: { url: url(), auth: right, tls, ...keys },
      });
      return { ...one, memberKeys: { url: `https://${one.member.hostport}` } };
    };
    const token = (name: string, content: string): object => ({
      auth: { type: 'token', tokenFile: file(name, content) },
    });
    await initializePki(join(folder.path, 'unknown'));
    lab = await DocumentsLab.start({
      host: '127.0.83.1',
      memberKeys: { readyWithinSeconds: 60 },
      clusters: await Promise.all([
        own('source-cluster', {}),
        own('target-cluster', token('token', secured.token(3600))),
        own('wrong-password', { auth: { ...user, passwordFile } }),
        own('no-admin', { auth: { ...right, user: 'reader' } }),
        own('expired-token', token('expired-token', secured.token(-600))),
        own('foreign-token', token('foreign-token', other.token(3600))),
        own('no-password-file', { auth: { ...user, passwordFile: join(folder.path, 'no-such-file') } }),
        own('wrong-name', { tls: { ca: tls.ca } }),
        own('wrong-ca', { tls: { ...tls, ca: join(folder.path, 'unknown/ca.pem') } }),
        own('member-password', {}, { 'users.properties': 'stillpoint=another\n' }),
        own('member-ca', {}, { 'server.pem': await certificateOf(join(folder.path, 'members/pki')) }),
      ]),
    });
    await lab.restartAgent();
    for (let at = 0; at < ENTRIES; at += 1) await put(`k${at}`, `v${at}`);
  });

  after(async () => {
    await lab?.grid.close();
    await cluster?.remove();
    folder.remove();
  });

  function file(name: string, content: string): string {
    const path = join(folder.path, name);
    writeFileSync(path, `${content}\n`, { mode: 0o600 });
    return path;
  }

  function url(): string {
    return `https://${cluster.nodes[0]?.hostport}`;
  }

  async function rest(path: string, init: { method?: string; body?: string } = {}): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const request = https.request(
      `${url()}/rest/v2/${path}`,
      {
        method: init.method ?? 'GET',
        ca: readFileSync(secured.tls.ca),
        servername: secured.tls.serverName,
        headers: { authorization: `Bearer ${secured.token(600)}`, 'content-type': 'text/plain' },
        timeout: 20_000,
      },
      (response) => {
        text(response).then((words) => {
          if ((response.statusCode ?? 0) < 300) resolve(words);
          else reject(new Error(`${path}: ${response.statusCode} ${words}`));
        }, reject);
      },
    );
    request.on('error', reject);
    request.end(init.body);
    return promise;
  }

  const put = (key: string, value: string): Promise<string> =>
    rest(`caches/orders/${key}`, { method: 'PUT', body: value });

  async function nothingIsLeft(uid: string): Promise<void> {
    expect(await membersOf(uid)).to.deep.equal([]);
    const rooms = join(lab.volumes, '.stillpoint');
    expect(existsSync(rooms) ? readdirSync(rooms) : []).to.deep.equal([]);
    expect(JSON.parse(await rest('container'))).to.have.deep.property('cluster_members', ['n1']);
  }

  it('are carried out, a Backup with a password and a Restore with a token [S98] [S109] [S111]', async () => {
    const backup = await lab.apply(BACKUP, '--wait');
    expect(backup.code, backup.stderr + (await lab.log('backup', 'my-backup'))).to.equal(0);
    await put('k7', 'newer');
    const restore = await lab.apply(RESTORE, '--wait');
    expect(restore.code, restore.stderr + (await lab.log('restore', 'my-restore'))).to.equal(0);
    expect(await rest('caches/orders/k7')).to.equal('v7');
    expect(Number(await rest('caches/orders?action=size'))).to.equal(ENTRIES);
    for (const kind of ['backup', 'restore'] as const)
      await nothingIsLeft((await lab.get(kind, `my-${kind}`)).metadata.uid);
  }).timeout(400_000);

  for (const { name, what, reason, hint, isStarted } of WRONG)
    it(`fail where ${what}, in the words of the server, and nothing is left [S97] [S113]`, async () => {
      const document = BACKUP.replace('source-cluster', name).replace('my-backup', name);
      const begun = performance.now();
      const { code, stderr } = await lab.apply(document, '--wait');
      expect(code, stderr).to.equal(4);
      const { metadata, status } = await lab.get('backup', name);
      expect(status.phase).to.equal('Failed');
      expect(status.reason).to.match(reason);
      const log = await lab.log('backup', name);
      expect(log).to.include(`; hint: `).and.include(hint);
      expect(log.includes('ISPN080000'), log).to.equal(isStarted);
      // What is refused for good is not asked until its time is over, which is a minute.
      expect(performance.now() - begun).to.be.lessThan(50_000);
      await nothingIsLeft(metadata.uid);
      expect(existsSync(join(lab.volumes, 'backups', name))).to.equal(false);
    }).timeout(240_000);

  it('fail as a Restore does too, and no copy of the archive is left in a room [S97] [S113]', async () => {
    const document = RESTORE.replace('target-cluster', 'member-password').replace('my-restore', 'refused');
    const { code, stderr } = await lab.apply(document, '--wait');
    expect(code, stderr).to.equal(4);
    const { metadata, status } = await lab.get('restore', 'refused');
    expect(status.reason).to.match(/refuses user stillpoint with status 401/);
    await nothingIsLeft(metadata.uid);
    expect(existsSync(join(lab.volumes, 'backups/my-backup/my-backup.zip'))).to.equal(true);
  }).timeout(240_000);
});
