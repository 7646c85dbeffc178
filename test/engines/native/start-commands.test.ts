import { expect } from 'chai';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Restoration } from '../../../agent/engines/engine.ts';
import { isProcessRunning } from '../../../agent/engines/native/native-process.ts';
import { NativeRestoration } from '../../../agent/engines/native/restoration.ts';
import type { NativeSettings } from '../../../agent/engines/native/settings.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: whatever a start command does, a restore hears of it, and a roll-back leaves nothing of it. Method: real
// commands, and the model node where a process is to answer.

const NODE = fileURLToPath(new URL('../../conformance/model/node.ts', import.meta.url));
const OLD = 'the old data';

describe('the start command of a restored process', () => {
  const folder = temporaryFolder('start');
  after(() => folder.remove());
  let count = 0;

  /** Staged and switched in: what is to come is the start. `script` is given the data directory and the socket. */
  async function restored(
    script: string,
    stop: readonly string[] = ['true'],
  ): Promise<{ restoration: Restoration; settings: NativeSettings }> {
    count += 1;
    const data = join(folder.path, `data-${count}`);
    const socket = join(folder.path, `${count}.sock`);
    mkdirSync(join(data, 'live'), { recursive: true });
    writeFileSync(join(data, 'live/old'), OLD);
    const settings: NativeSettings = {
      name: 'model-1a',
      role: 'node',
      copyset: 'model-1',
      engine: 'native',
      address: 'localhost:7000',
      data,
      participant: `unix:${socket}`,
      run: {
        start: ['sh', '-c', script, 'sh', data, socket],
        stop: stop.map((word) => word.replaceAll('SOCKET', socket)),
      },
      startSeconds: 1,
    };
    const restoration = new NativeRestoration(settings, {
      checkpoint: 'c',
      source: {
        manifest: { artifacts: [] } as unknown as MemberManifest,
        read: () => Promise.reject(new Error('nothing is read')) as never,
      },
      own: null,
      follow: null,
      progress: () => undefined,
      signal: new AbortController().signal,
    });
    await restoration.stage();
    await restoration.switchIn();
    return { restoration, settings };
  }

  const failureOf = (restoration: Restoration): Promise<Failure | null> =>
    restoration.start().then(
      () => null,
      (error: unknown) => {
        if (error instanceof StillpointError) return error.failure;
        throw error;
      },
    );
  const oldOf = ({ data }: NativeSettings): string => readFileSync(join(data, 'live/old'), 'utf8');

  it('may be the process itself, in the foreground: the restore goes on when it is healthy', async () => {
    const { restoration, settings } = await restored(`exec ${process.execPath} ${NODE} "$1" "$2"`, [
      'pkill',
      '-f',
      `${NODE} .* SOCKET`,
    ]);
    expect(await failureOf(restoration)).to.equal(null);
    expect(await isProcessRunning(settings)).to.equal(true);
    await restoration.rollBack();
    expect(await isProcessRunning(settings)).to.equal(false);
    expect(oldOf(settings)).to.equal(OLD);
  });

  it('is quoted where it returned well and its process was dead at once', async () => {
    const { restoration, settings } = await restored('(echo "no such table: orders" >&2; exit 1) & exit 0');
    const failure = await failureOf(restoration);
    expect(failure?.code).to.equal('member-not-started');
    expect(failure?.message).to.contain('its start command said: no such table: orders');
    await restoration.rollBack();
    expect(oldOf(settings)).to.equal(OLD);
  });

  for (const [what, how] of [
    ['hangs in the background', 'sleep 1000 &'],
    ['is a session of its own', 'setsid sleep 1000 &'],
    ['does not hear SIGTERM', `(trap '' TERM; sleep 1000) &`],
  ] as const) {
    it(`leaves nothing after a roll-back, though what it began ${what} and never answered`, async function () {
      this.timeout(60_000);
      const { restoration, settings } = await restored(`${how} echo $! > "$1/begun"`);
      expect((await failureOf(restoration))?.code).to.equal('member-not-started');
      const pid = Number(readFileSync(join(settings.data, 'begun'), 'utf8'));
      const isAlive = (): boolean => existsSync(`/proc/${pid}/fd`) && stateOf(pid) !== 'Z';
      expect(isAlive()).to.equal(true);
      await restoration.rollBack();
      await until('it to be gone', () => !isAlive());
      expect(oldOf(settings)).to.equal(OLD);
    });
  }
});

function stateOf(pid: number): string {
  return /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
}
