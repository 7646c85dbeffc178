import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';

// What a server answers over REST, as much as documents ask of it, in a tenth of a second instead of ten. Real ones are
// asked in test/e2e/documents. Servers of one folder are one cluster. What stands in the folder says how they behave:
//
//   archive.zip        what a backup is
//   hold-job           jobs go on as long as it is there
//   fail-job           jobs fail
//   lock-left          the next job is rejected, as after one whose server was killed
//   deaf               a member does not stop when it is asked, nor at SIGTERM
//   die-at-job         a member ends when a job is begun
//   refuse             members let nobody in
//   refuse-servers     the others let nobody in
//   never-join         a member is not in the cluster
//   connections.json   who is connected
//   degraded           the cluster has lost entries
//   has-cache          it has the cache that is in the archive, replicated, with as many entries as stands there
//   asked              every request for a job, one a line
//   changes            every other request that is no question, one a line

const CACHE = {
  name: 'a',
  status: 'RUNNING',
  type: 'replicated-cache',
  transactional: false,
  persistent: false,
  bounded: false,
  indexed: false,
  secured: false,
  has_remote_backup: false,
};

interface Behaviour {
  readonly folder: string;
  readonly name: string;
  readonly stop: () => void;
}

interface Jobs {
  readonly begun: Set<string>;
  readonly failed: Set<string>;
}

export function scriptedServer(behaviour: Behaviour): Server {
  const jobs: Jobs = { begun: new Set(), failed: new Set() };
  return createServer((request, response) => {
    void answer(behaviour, jobs, request, response).catch(() => response.destroy());
  });
}

async function answer(
  { folder, name, stop }: Behaviour,
  { begun, failed }: Jobs,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const has = (file: string): boolean => existsSync(join(folder, file));
  const say = (status: number, body: unknown = ''): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(request.method === 'HEAD' ? '' : typeof body === 'string' ? body : JSON.stringify(body));
  };
  const path = (request.url ?? '').replace('/rest/v2/', '');
  if (has(name === 'n1' ? 'refuse-servers' : 'refuse')) return say(401, 'the token has expired');
  const members = readdirSync(join(folder, 'members')).sort();
  if (path === 'container')
    return say(200, {
      version: '16.0.5',
      name: 'default',
      cluster_name: basename(folder),
      cache_manager_status: 'RUNNING',
      node_address: name,
      coordinator_address: 'n1',
      cluster_members: members,
      cluster_members_physical_addresses: members.map(() => '127.0.0.1:7800'),
    });
  if (path === 'container/health')
    return say(200, {
      cluster_health: {
        cluster_name: basename(folder),
        health_status: has('degraded') ? 'DEGRADED' : 'HEALTHY',
        node_names: members,
      },
      cache_health: [],
    });
  if (path === 'server') return say(200, {});
  if (path === 'server/connections?global=true')
    return say(200, has('connections.json') ? readFileSync(join(folder, 'connections.json'), 'utf8') : []);
  if (path === 'caches?action=detailed') return say(200, has('has-cache') ? [CACHE] : []);
  if (path === 'container/cache-configs')
    return say(200, has('has-cache') ? [{ name: CACHE.name, configuration: { [CACHE.name]: {} } }] : []);
  if (path === `caches/${CACHE.name}?action=size`)
    return say(200, readFileSync(join(folder, 'has-cache'), 'utf8') || '0');
  const isJob = /^container\/(backups|restores)\//.test(path);
  if (!isJob && request.method !== 'GET') {
    writeFileSync(join(folder, 'changes'), `${name} ${request.method} ${path}\n`, { flag: 'a' });
    if (path !== 'server?action=stop') return say(200);
  }
  if (path === 'server?action=stop') {
    say(204);
    if (!has('deaf')) response.once('close', stop);
    return undefined;
  }
  if (path === 'container/backups' || path === 'container/restores') return say(200, []);
  const [, kind = '', job = ''] = /^container\/(backups|restores)\/(.+)$/.exec(path) ?? [];
  if (job === '') return say(404);
  if (request.method === 'POST') {
    const line = `${name} ${kind} ${job} ${await text(request)}\n`;
    writeFileSync(join(folder, 'asked'), line, { flag: 'a' });
    begun.add(job);
    if (has('die-at-job')) process.exit(3);
    if (kind === 'restores') process.stdout.write(`ISPN005045: Starting restore '${job}' of 'there'\n`);
    return say(202);
  }
  if (!begun.has(job)) return say(404);
  if (request.method === 'DELETE') {
    begun.delete(job);
    failed.delete(job);
    return say(204);
  }
  if (request.method === 'HEAD') {
    if (has('lock-left')) {
      process.stdout.write('ERROR ISPN005029: Cannot perform backup, backup currently in progress\n');
      rmSync(join(folder, 'lock-left'));
      failed.add(job);
    }
    if (failed.has(job)) return say(500);
    if (has('fail-job')) {
      process.stdout.write('2026-11-30 07:00:00,000 ERROR (job) [SERVER] the disk of the server is full\n');
      return say(500);
    }
    if (has('hold-job')) return say(202);
    if (kind === 'restores') process.stdout.write(`ISPN005046: Restore '${job}' complete\n`);
    return say(kind === 'backups' ? 200 : 201);
  }
  response.writeHead(200);
  response.end(readFileSync(join(folder, 'archive.zip')));
  return undefined;
}

/** As a member: `node scripted-server.ts FOLDER NAME ADDRESS PORT`. */
function main([folder = '', name = '', address = '', port = '']: readonly string[]): void {
  const place = join(folder, 'members', name);
  const leave = (): void => {
    rmSync(place, { force: true });
    process.exit(0);
  };
  process.on('SIGTERM', () => {
    if (!existsSync(join(folder, 'deaf'))) leave();
  });
  scriptedServer({ folder, name, stop: leave }).listen(Number(port), address, () => {
    mkdirSync(join(folder, 'members'), { recursive: true });
    if (!existsSync(join(folder, 'never-join'))) writeFileSync(place, '');
    process.stdout.write(`member ${name} started in ${process.cwd()}\n`);
  });
}

if (import.meta.main) main(process.argv.slice(2));
