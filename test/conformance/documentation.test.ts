import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectParticipant } from '../../shared/rpc/participant-client.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { runSuite } from './suite.ts';

// Goal: whoever begins with the page has a participant that works.

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/participant.md'), 'utf8');

describe('the participant in docs/participant.md', () => {
  const folder = temporaryFolder('keeper');
  const program = join(folder.path, 'keeper.mjs');
  const socket = join(folder.path, 'p.sock');
  const proto = join(ROOT, 'proto/participant.proto');
  let keeper: ChildProcess;

  before(async () => {
    writeFileSync(program, /```js\n(.*?)```/s.exec(PAGE)?.[1] ?? '');
    symlinkSync(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
    const args = [program, proto, join(folder.path, 'data'), socket];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    keeper = child;
    await once(child.stdout, 'data');
  });

  after(() => {
    keeper.kill();
    folder.remove();
  });

  it('describes itself, comes to rest and goes on', async () => {
    const participant = await connectParticipant({ target: `unix:${socket}`, timeoutMs: 5000 });
    const attempt = { operation: 'first', token: { epoch: 0, counter: 1, attempt: 1 } };
    expect(await participant.describe()).to.deep.include({ name: 'keeper-1', role: 'state-keeper' });
    const request = { ...attempt, allowReads: true, timeoutMs: 1000, leaseMs: 5000 };
    expect((await participant.quiesce(request)).quiesced).to.equal(true);
    expect((await participant.switchJournal(attempt)).length).to.equal(0);
    expect((await participant.resume(attempt)).held).to.equal(true);
    participant.close();
  });

  it('keeps every promise that the suite can see', async () => {
    const { verdicts } = await runSuite({
      target: `unix:${socket}`,
      programs: { start: [process.execPath, program, proto, '{data}', '{socket}'] },
      pace: { leaseMs: 100, holdMs: 50 },
      epoch: 1,
    });
    expect(verdicts.filter(({ result }) => result === 'broken')).to.deep.equal([]);
    const kept = verdicts.filter(({ result }) => result === 'kept').map(({ id }) => id);
    expect(kept).to.include.members([
      'lease-ends',
      'older-token-refused',
      'mark-names-state',
      'recovery-taken',
      'started-with-told',
      'started-with-recovery',
    ]);
  });
});
