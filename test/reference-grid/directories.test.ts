import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connectParticipant } from '../../shared/rpc/participant-client.ts';
import { freePort } from '../lab/ports.ts';
import { until } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: where a process keeps its data when nobody says it: in the directory that it is started in, each in its own.

const MAIN = programFile('test/reference-grid/main.ts');
const HOST = '127.0.0.1';

describe('a process that is not told where its data is', () => {
  const folder = temporaryFolder('rg');
  const alive = new Set<ChildProcess>();
  let realm: string;

  before(async () => {
    realm = `${HOST}:${await freePort(HOST)}`;
  });

  after(() => {
    for (const child of alive) child.kill('SIGKILL');
    folder.remove();
  });

  async function startedIn(
    cwd: string,
    role: string,
    listen: string,
    more: readonly string[],
  ): Promise<string> {
    mkdirSync(cwd, { recursive: true });
    const socket = join(folder.path, `${role}.sock`);
    const options = ['--name', role, '--listen', listen, '--participant', `unix:${socket}`, ...more];
    const child = spawn(process.execPath, [MAIN, role, ...options], {
      cwd,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    alive.add(child);
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await until(`${role} to listen`, () => said.includes('listens'));
    const participant = await connectParticipant({ target: `unix:${socket}`, timeoutMs: 5000 });
    try {
      return (await participant.describe()).dataDirectory;
    } finally {
      participant.close();
    }
  }

  it('keeps it in the directory that it is started in: a realm service [S15]', async () => {
    const place = join(folder.path, 'places/realm-service');
    expect(await startedIn(place, 'realm-service', realm, [])).to.equal(place);
  });

  it('keeps it in the directory that it is started in: a keeper [S24]', async () => {
    const place = join(folder.path, 'places/keeper');
    const listen = `${HOST}:${await freePort(HOST)}`;
    expect(await startedIn(place, 'keeper', listen, ['--realm', realm])).to.equal(place);
  });

  it('keeps it in the directory that it is started in: a node [S31]', async () => {
    const place = join(folder.path, 'places/node');
    const listen = `${HOST}:${await freePort(HOST)}`;
    expect(await startedIn(place, 'node', listen, ['--realm', realm])).to.equal(place);
  });
});
