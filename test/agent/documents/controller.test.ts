import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { until } from '../../lab/processes.ts';
import { ROOT } from '../../lab/programs.ts';
import { BACKUP, RESTORE } from '../../documents/documents.ts';
import { Controlled } from './controlled.ts';

// Goal: whatever happens while a document is carried out, it ends in the phase that is the truth, and its member is gone.
// Method: the real controller with processes of its own; the servers are scripted. test/e2e/documents does it with real ones.

const SOURCE = 'source-cluster';

/** The list of connections of a cluster on which this one of us works, through another agent. */
function atWork(words: string): string {
  return JSON.stringify([
    {
      'server-node-name': 'n2',
      created: '2026-11-30T10:20:13.932Z',
      'remote-address': '/10.0.0.8:4000',
      'client-library': `stillpoint at-work ${words}`,
      'protocol-version': 'HTTP/1.1',
    },
  ]);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StillpointError) return error.failure.code;
    throw error;
  }
  return 'none';
}

describe('a document that an agent keeps', () => {
  let host: Controlled;
  beforeEach(async () => (host = await Controlled.make()));
  afterEach(() => host.close());

  const nothingIsLeft = async (): Promise<void> => {
    expect(await host.members()).to.deep.equal([]);
    const rooms = join(host.volumes, '.stillpoint');
    expect(existsSync(rooms) ? readdirSync(rooms) : []).to.deep.equal([]);
    expect(readdirSync(join(host.cluster(SOURCE), 'members'))).to.deep.equal(['n1']);
  };

  it('succeeds when its archive is at its place and its member is gone [S97] [S98] [S113] [S115]', async () => {
    const agent = await host.open();
    host.holds.add('documentEnded');
    await host.apply(agent, BACKUP);
    await host.comesTo('documentEnded', 'my-backup');
    await nothingIsLeft();
    expect(host.document(agent, 'my-backup').status.phase).to.equal('Running');
    host.release('documentEnded');
    const { status } = await host.becomes(agent, 'my-backup', 'Succeeded');
    const archive = readFileSync(join(host.volumes, 'backups/my-backup/my-backup.zip'));
    expect(status.archive?.sizeBytes).to.equal(archive.byteLength);
    expect(await host.logOf(agent, 'Backup', 'my-backup')).to.include(
      "ISPN005044: Backup file created 'my-backup.zip'",
    );
  });

  it('is durable before apply answers, and goes on with the next agent [S112]', async () => {
    const first = await host.open();
    host.holds.add('documentInitialized');
    await host.apply(first, BACKUP);
    const file = join(host.state, 'documents/Backup/my-backup.json');
    expect(JSON.parse(readFileSync(file, 'utf8'))).to.have.nested.property('metadata.name', 'my-backup');
    await host.comesTo('documentInitialized', 'my-backup');
    expect(host.document(first, 'my-backup').status.phase).to.equal('Initialized');
    // The first one is dead to the world: it is held for ever.
    host.holds.delete('documentInitialized');
    const second = await host.open();
    await host.becomes(second, 'my-backup', 'Succeeded');
  });

  it('names its resources to the server: one kind is no other [S103] [S104]', async () => {
    const agent = await host.open();
    await host.apply(agent, `${BACKUP}  resources: { caches: ["*"], protoSchemas: [a.proto] }\n`);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    expect(host.asked(SOURCE)).to.deep.equal([
      'my-backup backups my-backup {"resources":{"caches":["*"],"proto-schemas":["a.proto"]}}',
    ]);
  });

  it('is the work of its member, and of no other server [S95] [S96]', async () => {
    const agent = await host.open();
    host.holds.add('documentRunning');
    await host.apply(agent, BACKUP);
    await host.comesTo('documentRunning', 'my-backup');
    expect(readdirSync(join(host.cluster(SOURCE), 'members'))).to.have.members(['n1', 'my-backup']);
    host.release('documentRunning');
    await host.becomes(agent, 'my-backup', 'Succeeded');
    expect(host.asked(SOURCE).map((line) => line.split(' ')[0])).to.deep.equal(['my-backup']);
  });

  it('changes nothing at the servers that clients use [S94]', async () => {
    host.says(SOURCE, 'has-cache');
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    expect(host.asked(SOURCE, 'changes')).to.deep.equal(['my-backup POST server?action=stop']);
  });

  it('is done all the same where a server that was killed has left its lock: the rejection takes it away [S113]', async () => {
    host.says(SOURCE, 'lock-left');
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    expect(host.asked(SOURCE)).to.have.length(2);
    expect(await host.logOf(agent, 'Backup', 'my-backup')).to.include('it is asked again');
  });

  it('is refused with a template that would take data [S95]', async () => {
    writeFileSync(
      join(host.template, 'conf/infinispan.xml'),
      '<!-- zero-capacity-node="true" --><cache-container/>',
    );
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    const { status } = await host.becomes(agent, 'my-backup', 'Failed');
    expect(status.reason).to.include('zero-capacity-node="true"');
    expect(await host.members()).to.deep.equal([]);
    expect(host.reached.has('documentStarted my-backup')).to.equal(false);
  });

  it('tells who was connected before its member is started [S108] [S107]', async () => {
    const connection = {
      'server-node-name': 'n1',
      'remote-address': '/10.0.0.9:5000',
      'client-library': 'curl',
      'protocol-version': 'HTTP/1.1',
    };
    host.says(SOURCE, 'connections.json', JSON.stringify([connection]));
    const agent = await host.open();
    host.holds.add('documentStarted');
    await host.apply(agent, BACKUP);
    await host.comesTo('documentStarted', 'my-backup');
    const [condition] = host.document(agent, 'my-backup').status.conditions ?? [];
    expect(condition).to.include({ type: 'ClientsConnected', status: 'True' });
    expect(condition?.message).to.include('10.0.0.9:5000').and.include('of no one moment');
    host.saysNot(SOURCE, 'connections.json');
    host.release('documentStarted');
    const { status } = await host.becomes(agent, 'my-backup', 'Succeeded');
    // Those of the beginning are not forgotten when they have gone.
    expect(status.conditions?.[0]).to.include({ status: 'True' });
  });

  it('waits for a checkpoint that is at work on its cluster, with a word, and touches nothing until then [S112]', async () => {
    host.says(SOURCE, 'connections.json', atWork('checkpoint 7_nightly 7_nightly'));
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await until('it to wait', () => host.document(agent, 'my-backup').status.reason !== undefined);
    expect(host.document(agent, 'my-backup').status).to.include({
      phase: 'Initializing',
      reason: 'waits for checkpoint 7_nightly',
    });
    expect(existsSync(join(host.volumes, 'backups'))).to.equal(false);
    host.saysNot(SOURCE, 'connections.json');
    const { status } = await host.becomes(agent, 'my-backup', 'Succeeded');
    expect(status.reason).to.equal(undefined);
    expect(await host.logOf(agent, 'Backup', 'my-backup')).to.include('waits for checkpoint 7_nightly');
  });

  it('fails where that lasts longer than the file allows, and nothing was begun [S113]', async () => {
    host.says(SOURCE, 'connections.json', atWork('restore 9 9'));
    host.clusterKeys['turnWithinSeconds'] = 1;
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    const { status } = await host.becomes(agent, 'my-backup', 'Failed');
    expect(status.reason).to.include('the cluster is at work for restore 9, still after 1 s');
    expect(host.reached.has('documentStarted my-backup')).to.equal(false);
    expect(existsSync(join(host.volumes, 'backups'))).to.equal(false);
  });

  it('happens once: applied again nothing is asked of any server [S105]', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    const asked = host.asked(SOURCE).length;
    expect((await host.apply(agent, BACKUP)).unchanged).to.equal(true);
    expect(await codeOf(host.apply(agent, BACKUP.replace('1Gi', '2Gi')))).to.equal('document-immutable');
    expect(host.document(agent, 'my-backup').status.phase).to.equal('Succeeded');
    expect(host.asked(SOURCE).length).to.equal(asked);
  });

  it('is not tried again after it has failed: another attempt needs a new name [S106]', async () => {
    host.says(SOURCE, 'fail-job');
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Failed');
    host.saysNot(SOURCE, 'fail-job');
    expect((await host.apply(agent, BACKUP)).unchanged).to.equal(true);
    expect(host.document(agent, 'my-backup').status.phase).to.equal('Failed');
    await host.apply(agent, BACKUP.replace('my-backup', 'second'));
    await host.becomes(agent, 'second', 'Succeeded');
    expect(host.asked(SOURCE).map((line) => line.split(' ')[2])).to.deep.equal(['my-backup', 'second']);
  });

  it('of a cluster of another service type is refused with that reason [S100]', async () => {
    host.service = 'Cache';
    const agent = await host.open();
    try {
      await host.apply(agent, BACKUP);
      expect.fail('it was taken');
    } catch (error) {
      if (!(error instanceof StillpointError)) throw error;
      expect(error.failure.code).to.equal('service-type');
      expect(error.failure.message).to.include('spec.service.type is Cache').and.include('DataGrid');
    }
    expect(agent.page('').documents).to.deep.equal([]);
  });

  it('of a cluster, a storage class or a backup that nobody knows is refused, and not kept', async () => {
    const agent = await host.open();
    const code = (text: string): Promise<string> => codeOf(host.apply(agent, text));
    expect(await code(BACKUP.replace('source-cluster', 'none'))).to.equal('cluster-unknown');
    expect(await code(BACKUP.replace('my-storage-class', 'none'))).to.equal('storage-class-unknown');
    expect(await code(RESTORE)).to.equal('backup-unknown');
    expect(agent.page('').documents).to.deep.equal([]);
  });

  it('waits its turn: of a cluster one at a time', async () => {
    const agent = await host.open();
    host.holds.add('documentRunning');
    await host.apply(agent, BACKUP);
    await host.apply(agent, BACKUP.replace('my-backup', 'second'));
    await host.apply(agent, BACKUP.replace('my-backup', 'third'));
    await host.comesTo('documentRunning', 'my-backup');
    expect(host.document(agent, 'second').status).to.include({
      phase: 'Initializing',
      reason: 'waits for Backup/my-backup',
    });
    // One that goes away does not let the next one in.
    await agent.delete('Backup', 'second');
    expect((await host.members()).length).to.equal(1);
    expect(host.document(agent, 'third').status.phase).to.equal('Initializing');
    host.release('documentRunning');
    await host.becomes(agent, 'third', 'Succeeded');
    expect(host.document(agent, 'my-backup').status.phase).to.equal('Succeeded');
  });
});

describe('a document that cannot be carried out', () => {
  let host: Controlled;
  beforeEach(async () => (host = await Controlled.make([SOURCE])));
  afterEach(() => host.close());

  const fails = async (reason: string): Promise<void> => {
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    const { status } = await host.becomes(agent, 'my-backup', 'Failed');
    expect(status.reason).to.include(reason);
    expect(await host.members()).to.deep.equal([]);
    expect(existsSync(join(host.volumes, 'backups/my-backup'))).to.equal(false);
    expect(await host.logOf(agent, 'Backup', 'my-backup')).to.include(reason);
  };

  it('fails with the words of the server, its member gone, and its log stays [S113] [S97] [S117]', async () => {
    host.says(SOURCE, 'fail-job');
    await fails('the disk of the server is full');
    const later = await host.open();
    expect(await host.logOf(later, 'Backup', 'my-backup')).to.include('member my-backup started');
    await later.delete('Backup', 'my-backup');
    expect(readdirSync(join(host.state, 'documents/Backup'))).to.deep.equal([]);
  });

  it('fails when its member dies', async () => {
    host.says(SOURCE, 'die-at-job');
    await fails('the member ended with exit code 3');
  });

  it('fails when its member does not come into the cluster, which is bounded', async () => {
    host.says(SOURCE, 'never-join');
    host.memberKeys['readyWithinSeconds'] = 3;
    await fails('the cluster does not have it yet');
  });

  it('fails at once when its member does not let us in [S113] [S97]', async () => {
    host.says(SOURCE, 'refuse');
    await fails('with status 401: the token has expired');
  });

  it('fails where the agent may not become the user of its member, which is said plainly before anything is there', () => {
    const isRoot = process.getuid?.() === 0;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [join(ROOT, 'test/agent/documents/as-nobody.ts')],
      {
        encoding: 'utf8',
        ...(isRoot && { uid: 65534, gid: 65534 }),
        env: { PATH: process.env['PATH'] },
        timeout: 60_000,
      },
    );
    expect(stdout, stderr).to.not.equal('');
    const { reason, log, isStarted } = JSON.parse(stdout) as {
      reason: string;
      log: string;
      isStarted: boolean;
    };
    expect(reason).to.match(/^commands cannot be run as daemon here/);
    expect(log).to.include('hint: let the agent run as root');
    expect(isStarted).to.equal(false);
  });

  it('fails where the cluster does not let us in, before its member is started, and succeeds where it was done by then [S113]', async () => {
    const agent = await host.open();
    host.holds.add('documentDone');
    await host.apply(agent, BACKUP);
    await host.comesTo('documentDone', 'my-backup');
    host.says(SOURCE, 'refuse-servers');
    host.release('documentDone');
    const { status } = await host.becomes(agent, 'my-backup', 'Succeeded');
    expect(status.conditions?.[0]?.status).to.equal('Unknown');
    expect(await host.logOf(agent, 'Backup', 'my-backup')).to.include('could not be seen');
    await host.apply(agent, BACKUP.replace('my-backup', 'second'));
    await host.becomes(agent, 'second', 'Failed');
    expect(host.reached.has('documentStarted second')).to.equal(false);
  });

  it('fails when its command is none', async () => {
    host.memberKeys['command'] = ['/no/such/program', '{room}', '{name}'];
    await fails('ENOENT');
  });

  it('fails where the cluster may not have all entries', async () => {
    host.says(SOURCE, 'degraded');
    await fails('DEGRADED');
  });

  it('fails where the archive has none of the entries of a replicated cache', async () => {
    host.says(SOURCE, 'has-cache', '3');
    await fails('cache a is replicated and has 3 entries');
  });

  it('fails when the archive is larger than its volume', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP.replace('1Gi', '"100"'));
    const { status } = await host.becomes(agent, 'my-backup', 'Failed');
    expect(status.reason).to.include('larger than spec.volume.storage');
    expect(existsSync(join(host.volumes, 'backups/my-backup'))).to.equal(false);
  });

  it('fails when the archive that the server gives is no whole archive', async () => {
    host.says(SOURCE, 'archive.zip', 'PK\u0003\u0004 cut off');
    await fails('my-backup.zip');
  });

  it('fails where the disk has less than what it asks for', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP.replace('1Gi', '1000Pi'));
    expect((await host.becomes(agent, 'my-backup', 'Failed')).status.reason).to.include('free');
  });

  it('fails before its member is started where the user of that may not come to its room', async function () {
    // Only root can give a member another user.
    if (process.getuid?.() !== 0) this.skip();
    host.memberKeys['user'] = 'nobody';
    chmodSync(host.volumes, 0o700);
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    const { reason } = (await host.becomes(agent, 'my-backup', 'Failed')).status;
    expect(reason).to.include('user nobody may not go there');
    expect(host.reached.has('documentStarted my-backup')).to.equal(false);
  });

  it('leaves an archive alone that no document is kept for', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    const archive = join(host.volumes, 'backups/my-backup/my-backup.zip');
    const bytes = readFileSync(archive);
    await agent.delete('Backup', 'my-backup');
    mkdirSync(join(host.volumes, 'backups/my-backup'), { recursive: true });
    writeFileSync(archive, bytes);
    await host.apply(agent, BACKUP);
    expect((await host.becomes(agent, 'my-backup', 'Failed')).status.reason).to.include('is there already');
    expect(readFileSync(archive)).to.deep.equal(bytes);
    await agent.delete('Backup', 'my-backup');
    expect(readFileSync(archive)).to.deep.equal(bytes);
  });

  it('is refused beyond the quota of its class, of which one that has failed has nothing [S98]', async () => {
    host.classKeys['quota'] = '1GB';
    const agent = await host.open();
    host.says(SOURCE, 'fail-job');
    await host.apply(agent, BACKUP.replace('my-backup', 'failed'));
    await host.becomes(agent, 'failed', 'Failed');
    host.saysNot(SOURCE, 'fail-job');
    await host.apply(agent, BACKUP);
    expect(await codeOf(host.apply(agent, BACKUP.replace('my-backup', 'second')))).to.equal('storage-quota');
    await host.becomes(agent, 'my-backup', 'Succeeded');
    await agent.delete('Backup', 'my-backup');
    expect(await codeOf(host.apply(agent, BACKUP.replace('my-backup', 'second')))).to.equal('none');
  });

  it('ends a member that is deaf, to the last of its processes [S97]', async () => {
    host.says(SOURCE, 'deaf');
    host.says(SOURCE, 'fail-job');
    await fails('the disk of the server is full');
  });
});

describe('a document whose member is not heard', () => {
  let host: Controlled;
  beforeEach(async () => (host = await Controlled.make([SOURCE])));
  afterEach(() => host.close());

  it('is Unknown, which is no end: it comes back, and succeeds [S114]', async () => {
    host.says(SOURCE, 'hold-job');
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await until('the job to have begun', () => host.asked(SOURCE).length === 1);
    const [pid = 0] = await host.members();
    process.kill(pid, 'SIGSTOP');
    const unknown = await host.becomes(agent, 'my-backup', 'Unknown');
    expect(unknown.status.reason).to.be.a('string').and.not.equal('');
    process.kill(pid, 'SIGCONT');
    await host.becomes(agent, 'my-backup', 'Running');
    host.saysNot(SOURCE, 'hold-job');
    await host.becomes(agent, 'my-backup', 'Succeeded');
  }).timeout(60_000);

  it('is Unknown while its member does not let us in any more, and comes back when it does [S114]', async () => {
    host.says(SOURCE, 'hold-job');
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await until('the job to have begun', () => host.asked(SOURCE).length === 1);
    host.says(SOURCE, 'refuse');
    const unknown = await host.becomes(agent, 'my-backup', 'Unknown');
    expect(unknown.status.reason).to.include('with status 401');
    host.saysNot(SOURCE, 'refuse');
    await host.becomes(agent, 'my-backup', 'Running');
    host.saysNot(SOURCE, 'hold-job');
    await host.becomes(agent, 'my-backup', 'Succeeded');
  });

  it('fails when it is not heard for as long as the file says, and is ended [S114] [S97]', async () => {
    host.says(SOURCE, 'hold-job');
    host.memberKeys['silentSeconds'] = 1;
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await until('the job to have begun', () => host.asked(SOURCE).length === 1);
    const [pid = 0] = await host.members();
    process.kill(pid, 'SIGSTOP');
    const { status } = await host.becomes(agent, 'my-backup', 'Failed');
    expect(status.reason).to.include('has not answered');
    expect(await host.members()).to.deep.equal([]);
  }).timeout(60_000);
});

describe('a document of an agent that was killed', () => {
  let host: Controlled;
  beforeEach(async () => (host = await Controlled.make()));
  afterEach(() => host.close());

  /** An agent that is held at a moment for ever is as good as killed; its member lives on. */
  async function killedAt(moment: string, text = BACKUP): Promise<void> {
    const agent = await host.open();
    host.holds.add(moment);
    await host.apply(agent, text);
    await host.comesTo(moment, 'my-backup');
    host.holds.delete(moment);
    host.reached.clear();
  }

  for (const moment of ['documentInitialized', 'documentStarted', 'documentRunning', 'documentDone'])
    it(`at ${moment} is brought to its end by the next one, with one member at most [S114]`, async () => {
      await killedAt(moment);
      const next = await host.open();
      await host.becomes(next, 'my-backup', 'Succeeded');
      expect(await host.members()).to.deep.equal([]);
    });

  it('has failed where its member ended with it, and nobody saw it done [S114] [S113]', async () => {
    host.says(SOURCE, 'hold-job');
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await until('the job to have begun', () => host.asked(SOURCE).length === 1);
    await agent.end();
    const [pid = 0] = await host.members();
    expect(host.document(agent, 'my-backup').status.phase).to.equal('Running');
    process.kill(pid, 'SIGKILL');
    await until('it to be gone', async () => (await host.members()).length === 0);
    const next = await host.open();
    const { status } = await host.becomes(next, 'my-backup', 'Failed');
    expect(status.reason).to.include('the agent ended while the backup ran');
  });

  it('has succeeded where the archive was at its place already', async () => {
    await killedAt('documentDone');
    for (const pid of await host.members()) process.kill(pid, 'SIGKILL');
    await until('it to be gone', async () => (await host.members()).length === 0);
    const next = await host.open();
    const { status } = await host.becomes(next, 'my-backup', 'Succeeded');
    expect(status.archive?.sizeBytes).to.be.greaterThan(0);
  });

  it('is deleted by the next agent where the first had begun to', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    const file = join(host.state, 'documents/Backup/my-backup.json');
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { metadata: object };
    const metadata = { ...kept.metadata, deletionTimestamp: new Date().toISOString() };
    writeFileSync(file, JSON.stringify({ ...kept, metadata }));
    const next = await host.open();
    await until('it to be gone', () => next.page('').documents.length === 0);
    expect(existsSync(join(host.volumes, 'backups/my-backup'))).to.equal(false);
  });
});

describe('a Restore', () => {
  let host: Controlled;
  beforeEach(async () => (host = await Controlled.make()));
  afterEach(() => host.close());

  it('is of a Backup that has succeeded, into another cluster, and has the line of the source in its log [S109] [S116]', async () => {
    const agent = await host.open();
    host.holds.add('documentRunning');
    await host.apply(agent, BACKUP);
    expect(await codeOf(host.apply(agent, RESTORE))).to.equal('backup-not-ready');
    await host.comesTo('documentRunning', 'my-backup');
    host.release('documentRunning');
    await host.becomes(agent, 'my-backup', 'Succeeded');
    await host.apply(agent, RESTORE);
    await host.becomes(agent, 'my-restore', 'Succeeded');
    expect(host.asked('target-cluster').join()).to.match(
      /^my-restore restores my-restore \{"location":".*my-backup\.zip"\}$/,
    );
    const log = await host.logOf(agent, 'Restore', 'my-restore');
    expect(log).to.include("[stillpoint] ISPN005045: Restore 'my-backup' complete");
  });

  it('leaves a cache that exists as it is, and has all of the backup put into it [S110] [S111]', async () => {
    host.says('target-cluster', 'has-cache');
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    host.holds.add('documentStarted');
    await host.apply(agent, RESTORE);
    await host.comesTo('documentStarted', 'my-restore');
    // Said before anything is changed.
    expect(await host.logOf(agent, 'Restore', 'my-restore')).to.include(
      'cache a exists: it keeps its configuration, and entries of the backup overwrite its own, newer ones too',
    );
    expect(host.asked('target-cluster', 'changes')).to.deep.equal([]);
    host.release('documentStarted');
    await host.becomes(agent, 'my-restore', 'Succeeded');
    expect(host.asked('target-cluster', 'changes')).to.deep.equal(['my-restore POST server?action=stop']);
    expect(host.asked('target-cluster').join()).not.to.include('resources');
  });

  it('has a cache that is not there made by a server of the cluster, before its member comes', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    host.holds.add('documentStarted');
    await host.apply(agent, RESTORE);
    await host.comesTo('documentStarted', 'my-restore');
    expect(host.asked('target-cluster', 'changes')).to.deep.equal(['n1 POST caches/a']);
    host.release('documentStarted');
    await host.becomes(agent, 'my-restore', 'Succeeded');
  });

  it('fails where the archive is not what the backup wrote, before any server is started', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    const archive = join(host.volumes, 'backups/my-backup/my-backup.zip');
    const bytes = readFileSync(archive);
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    writeFileSync(archive, bytes);
    await host.apply(agent, RESTORE);
    const { status } = await host.becomes(agent, 'my-restore', 'Failed');
    expect(status.reason).to.include('its digest is another');
    expect(host.asked('target-cluster')).to.deep.equal([]);
    expect(host.reached.has('documentStarted my-restore')).to.equal(false);
  });

  it('keeps its Backup from being deleted as long as it reads it', async () => {
    const agent = await host.open();
    await host.apply(agent, BACKUP);
    await host.becomes(agent, 'my-backup', 'Succeeded');
    host.says('target-cluster', 'hold-job');
    await host.apply(agent, RESTORE);
    expect(await codeOf(agent.delete('Backup', 'my-backup'))).to.equal('backup-in-use');
    host.saysNot('target-cluster', 'hold-job');
    await host.becomes(agent, 'my-restore', 'Succeeded');
    await agent.delete('Backup', 'my-backup');
  });

  for (const [how, phase] of [
    ['had not ended', 'Failed'],
    ['had ended', 'Succeeded'],
  ] as const)
    it(`of an agent and a member that were killed has ${phase}: its server ${how}, as its log says [S114] [S116]`, async () => {
      const agent = await host.open();
      await host.apply(agent, BACKUP);
      await host.becomes(agent, 'my-backup', 'Succeeded');
      if (phase === 'Failed') host.says('target-cluster', 'hold-job');
      host.holds.add('documentDone');
      await host.apply(agent, RESTORE);
      await until('the job to have begun', () => host.asked('target-cluster').length === 1);
      if (phase === 'Succeeded') await host.comesTo('documentDone', 'my-restore');
      for (const pid of await host.members()) process.kill(pid, 'SIGSTOP');
      // Held where it is, it ends with the test.
      void agent.end();
      for (const pid of await host.members()) process.kill(pid, 'SIGKILL');
      await until('it to be gone', async () => (await host.members()).length === 0);
      host.holds.delete('documentDone');
      const next = await host.open();
      await host.becomes(next, 'my-restore', phase);
    });
});

describe('a document that is deleted while it runs', () => {
  it('is ended first, its member with it, and then nothing of it is left', async () => {
    const host = await Controlled.make([SOURCE]);
    try {
      host.says(SOURCE, 'hold-job');
      const agent = await host.open();
      await host.apply(agent, BACKUP);
      await until('the job to have begun', () => host.asked(SOURCE).length === 1);
      await agent.delete('Backup', 'my-backup');
      expect(await host.members()).to.deep.equal([]);
      expect(agent.page('').documents).to.deep.equal([]);
      expect(readdirSync(join(host.state, 'documents/Backup'))).to.deep.equal([]);
      expect(existsSync(join(host.volumes, 'backups/my-backup'))).to.equal(false);
      expect(await codeOf(agent.log('Backup', 'my-backup', 0))).to.equal('document-missing');
    } finally {
      await host.close();
    }
  });
});
