import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describeNative } from '../../../agent/engines/native/describe.ts';
import type { RestoreContext } from '../../../agent/engines/engine.ts';
import { NativeRestoration } from '../../../agent/engines/native/restoration.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { scriptedProcess, type ScriptedProcess } from './scripted-process.ts';

// Goal: a process that has much of a journal to read after a crash is waited for, and told as what it is. Method: a process
// whose answers a test sets, and one that says nothing and has its files open.

const START_SECONDS = 0.4;

describe('a process that recovers', () => {
  let node: ScriptedProcess;
  let recovering: () => string;

  beforeEach(async () => {
    node = await scriptedProcess('node');
    recovering = () => '';
    const { describe: said } = node.answers;
    node.answers['describe'] = (request) => ({ ...said?.(request), recovering: recovering() });
    node.answers['health'] = () => {
      const cause = recovering();
      return { healthy: cause === '', cause };
    };
  });

  afterEach(() => node.close());

  /** Milliseconds that a restore waited for it, or why it does not wait any more. */
  async function waited(): Promise<number | string> {
    const settings = {
      ...node.settings,
      startSeconds: START_SECONDS,
      run: { start: ['true'], stop: ['true'] },
    };
    const { signal } = new AbortController();
    const from = performance.now();
    try {
      await new NativeRestoration(settings, { ...({} as RestoreContext), signal }).start();
      return performance.now() - from;
    } catch (error) {
      if (error instanceof StillpointError) return error.failure.message;
      throw error;
    }
  }

  it('is waited for by a restore for much longer than a start may take, while it says that it gets on [S87]', async () => {
    const from = performance.now();
    const file = (): number => Math.floor((performance.now() - from) / 150) + 1;
    recovering = () => (file() > 10 ? '' : `reading the journal, file ${file()} of 10`);
    expect(await waited()).to.be.greaterThan(START_SECONDS * 1000 * 2);
  });

  it('is not waited for when it does not get on', async () => {
    recovering = () => 'reading the journal, file 3 of 10';
    expect(await waited()).to.match(
      /was not healthy 0\.4 s after its start: reading the journal, file 3 of 10/,
    );
  });

  it('is told as recovering where it has its files open and does not answer yet, and as down where nobody has [S87]', async () => {
    node.close();
    expect((await describeNative(node.settings, false)).running).to.equal(false);
    mkdirSync(node.live, { recursive: true });
    const file = join(node.live, 'database');
    writeFileSync(file, 'rows');
    const reader = spawn('sh', ['-c', 'exec 3<"$0"; echo open; cat', file], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    try {
      await once(reader.stdout, 'data');
      const { running, problems } = await describeNative(node.settings, false);
      expect(running).to.equal(true);
      expect(problems.map(({ code }) => code)).to.deep.equal(['member-recovering']);
    } finally {
      reader.kill('SIGKILL');
    }
  });
});
