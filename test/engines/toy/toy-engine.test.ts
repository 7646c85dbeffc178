import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { engineSuite, type EngineSubject } from '../engine-suite.ts';
import { killedAgent } from '../kill-agent.ts';
import { beginCapture } from '../tested-capture.ts';
import { createToyEngine, heldFile, toyGuardian, type ToySettings } from './toy-engine.ts';

const WITH_TOY = new URL('./in-registry.ts', import.meta.url).href;

/** A lead alone in its domain. What the suite writes waits as long as the domain is held. */
function subject(): Promise<EngineSubject> {
  const folder = temporaryFolder('toy');
  const data = join(folder.path, 'c1');
  const settings: ToySettings = {
    name: 'c1',
    role: 'node',
    copyset: 'cluster',
    address: '127.0.0.1:1',
    engine: 'toy',
    data,
    domain: 'cluster',
    copies: 'one',
  };
  const engine = createToyEngine(settings);
  const start = (): Promise<void> => writeFile(join(data, 'running'), crypto.randomUUID());
  mkdirSync(data);
  for (const file of ['lead', 'entries']) writeFileSync(join(data, file), '');
  return start().then(() => ({
    engine,
    start,
    stop: () => rm(join(data, 'running')),
    begin: () => beginCapture(engine, folder.path, { assignment: { hold: 'lead', part: 'whole' } }),
    async write() {
      await until('the domain to go on', () => !existsSync(heldFile(data, 'cluster')));
      appendFileSync(join(data, 'entries'), '\n');
    },
    visible: () => Promise.resolve(readFileSync(join(data, 'entries')).length),
    footprint: () => Promise.resolve(readdirSync(folder.path).filter((name) => name.endsWith('.held'))),
    openGuardian: () => Promise.resolve(toyGuardian(settings)),
    killedAgent: (state, attempt) =>
      killedAgent(settings as never, folder.path, state, attempt, [`--import=${WITH_TOY}`]),
    remove: () => Promise.resolve(folder.remove()),
  }));
}

engineSuite('a domain that one of it leads', subject);
