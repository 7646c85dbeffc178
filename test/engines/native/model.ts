import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Engine } from '../../../agent/engines/engine.ts';
import { completeCheckpoints } from '../../../agent/engines/native/local-checkpoint.ts';
import { createNativeEngine } from '../../../agent/engines/native/native-engine.ts';
import type { NativeSettings } from '../../../agent/engines/native/settings.ts';
import { connectParticipant } from '../../../shared/rpc/participant-client.ts';
import type { Fault } from '../../conformance/model/faults.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

const NODE = fileURLToPath(new URL('../../conformance/model/node.ts', import.meta.url));

/** The model node of the conformance suite, with an engine for it. */
export interface ModelLab {
  readonly folder: string;
  readonly settings: NativeSettings;
  readonly engine: Engine;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Resolves when the row is acknowledged; rejects where it is refused. */
  write(): Promise<void>;
  rows(): Promise<readonly number[]>;
  /** Everything that lies in its room for checkpoints. */
  begun(): readonly string[];
  /** What it holds, and what lies of committed checkpoints beside its data. */
  footprint(): Promise<unknown>;
  remove(): Promise<void>;
}

/** `preallocates`: its journal files are longer than what is in them, and are used again. */
export async function modelLab(
  fault: Fault | 'none' = 'none',
  journal: 'grows' | 'preallocates' = 'grows',
): Promise<ModelLab> {
  const folder = temporaryFolder('model');
  const data = join(folder.path, 'data');
  const socket = join(folder.path, 'node.sock');
  const settings: NativeSettings = {
    name: 'model-1a',
    role: 'node',
    copyset: 'model-1',
    engine: 'native',
    address: 'localhost:7000',
    data,
    participant: `unix:${socket}`,
    run: { start: ['true'], stop: ['true'] },
    startSeconds: 10,
  };
  let child: ChildProcess | null = null;
  let next = 0;
  const start = async (): Promise<void> => {
    child = spawn(process.execPath, [NODE, data, socket, fault, journal], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (child.stdout !== null) await once(child.stdout, 'data');
  };
  const stop = async (): Promise<void> => {
    const gone = child === null ? Promise.resolve() : once(child, 'exit');
    child?.kill('SIGKILL');
    child = null;
    await gone;
  };
  const ask = async (line: string): Promise<string> => {
    const client = connect(Number(readFileSync(join(data, 'clients.port'), 'utf8')), '127.0.0.1');
    try {
      client.write(`${line}\n`);
      for await (const answer of createInterface(client)) return answer;
      throw new Error('the model did not answer');
    } finally {
      client.destroy();
    }
  };
  await start();
  return {
    folder: folder.path,
    settings,
    engine: createNativeEngine(settings),
    start,
    stop,
    async write() {
      next += 1;
      const answer = await ask(`write ${next}`);
      if (answer !== `written ${next}`) throw new Error(answer);
    },
    async rows() {
      const answer = await ask('read');
      return answer === '' ? [] : answer.split(' ').map(Number);
    },
    begun() {
      const room = join(data, 'checkpoints');
      return existsSync(room) ? readdirSync(room) : [];
    },
    async footprint() {
      const participant = await connectParticipant({ target: settings.participant, timeoutMs: 5000 });
      try {
        const { held } = await participant.describe();
        return { held, checkpoints: await completeCheckpoints(data) };
      } finally {
        participant.close();
      }
    },
    async remove() {
      await stop();
      folder.remove();
    },
  };
}
