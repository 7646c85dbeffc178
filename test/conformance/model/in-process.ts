import { setTimeout as pause } from 'node:timers/promises';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type * as grpc from '@grpc/grpc-js';
import type { Launched, Programs, RunningProgram } from '../programs.ts';
import { Unjudged } from '../promise.ts';
import type { Fault } from './faults.ts';
import { Disconnected } from './front.ts';
import { Model } from './model.ts';
import type { ModelRole } from './participant.ts';

const WRITE_EVERY_MS = 4;

/** A model in this process, with clients of it: no process is started for it. */
export interface InProcess {
  readonly target: string;
  readonly programs: Programs;
  /** For whom it holds anything. */
  readonly heldFor: () => string;
  /** Serves the contract there too; resolves to the port. */
  listen(at: string, credentials: grpc.ServerCredentials): Promise<number>;
  close(): void;
}

export async function modelInProcess(
  folder: string,
  role: ModelRole,
  fault: Fault | null,
  options: { preallocates?: boolean } = {},
): Promise<InProcess> {
  const data = join(folder, 'data');
  mkdirSync(data, { recursive: true });
  const models = new Map<string, Model>();
  const preallocates = options.preallocates ?? false;
  const open = async (where: string, socket: string): Promise<Model> => {
    const model = new Model({ data: where, socket, role, fault, sync: false, preallocates });
    await model.start();
    models.set(where, model);
    return model;
  };
  const first = await open(data, join(folder, 's'));
  const programs: Programs = {
    ...(role === 'node' && {
      writer: program((places, tell, life) => write(models.get(places['data'] ?? ''), places, tell, life)),
      reader: program(async ({ data: where = '' }, tell, life) => {
        const model = models.get(where);
        if (model === undefined) throw new Unjudged('it does not run');
        const rows = await Promise.race([model.front.read(), life.ended]);
        for (const row of rows ?? []) tell(String(row));
      }),
      busy: program(async ({ data: where = '' }, tell, life) => {
        const front = models.get(where)?.front;
        if (front === undefined) return;
        front.scans += 1;
        tell('busy');
        await life.ended;
        front.scans -= 1;
      }),
    }),
    start: program(
      async ({ data: where = '', socket = '' }, _tell, life) => {
        const model = await open(where, socket);
        await life.ended;
        models.delete(where);
        model.close();
      },
      { servesContract: true },
    ),
  };
  return {
    target: `unix:${join(folder, 's')}`,
    programs,
    listen: (at, credentials) => first.listen(at, credentials),
    heldFor: () => first.participant.machine.operation,
    close: () => {
      for (const model of models.values()) model.close();
    },
  };
}

interface Life {
  readonly ended: Promise<void>;
  isEnded: boolean;
  /** Resolves when it does not stand still. */
  goesOn(): Promise<void>;
}

async function write(
  model: Model | undefined,
  { from = '1' }: Readonly<Record<string, string>>,
  tell: (line: string) => void,
  life: Life,
): Promise<void> {
  if (model === undefined) return;
  for (let row = Number(from); !life.isEnded; row += 1) {
    await life.goesOn();
    const outcome = await Promise.race([model.front.write(row), life.ended]);
    if (outcome === undefined) return;
    await life.goesOn();
    tell(outcome.replace('written ', ''));
    await pause(WRITE_EVERY_MS);
  }
}

function program(
  run: (places: Readonly<Record<string, string>>, tell: (line: string) => void, life: Life) => Promise<void>,
  { servesContract = false } = {},
): Launched {
  return {
    servesContract,
    launch(places, onLine): RunningProgram {
      const ended = Promise.withResolvers<void>();
      let standing: PromiseWithResolvers<void> | null = null;
      let code: number | null | undefined;
      let said = '';
      const life: Life = {
        ended: ended.promise,
        isEnded: false,
        goesOn: async () => await standing?.promise,
      };
      const gone = run(places, onLine, life).then(
        () => (code = 0),
        (error: unknown) => {
          said = error instanceof Error ? error.message : String(error);
          if (!(error instanceof Disconnected)) said = `failed: ${said}`;
          return (code = 1);
        },
      );
      return {
        gone,
        isGone: () => code !== undefined,
        pause: () => void (standing ??= Promise.withResolvers()),
        goOn: () => {
          standing?.resolve();
          standing = null;
        },
        complaint: () => said,
        async stop() {
          life.isEnded = true;
          standing?.resolve();
          ended.resolve();
          await gone;
        },
      };
    },
  };
}
