import { engineSuite, type EngineSubject } from '../engine-suite.ts';
import { native } from '../../../agent/engines/native/native.ts';
import { killedAgent } from '../kill-agent.ts';
import { beginCapture } from '../tested-capture.ts';
import { modelLab } from './model.ts';

async function subject(): Promise<EngineSubject> {
  const { engine, settings, folder, start, stop, write, rows, footprint, remove } = await modelLab();
  await write();
  return {
    engine,
    start,
    stop,
    begin: () => beginCapture(engine, folder),
    write,
    visible: async () => (await rows()).length,
    footprint,
    openGuardian: () => native.openGuardian(settings),
    killedAgent: (state, attempt) => killedAgent(settings, folder, state, attempt),
    remove,
  };
}

engineSuite('processes that take part by themselves', subject);
