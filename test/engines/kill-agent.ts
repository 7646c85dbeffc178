import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { MemberSettings } from '../../agent/engines/registry.ts';
import type { Undo } from '../../agent/engines/engine.ts';
import type { Token } from '../../shared/domain/token.ts';
import { programFile, ROOT } from '../lab/programs.ts';

const PROGRAM = 'test/engines/killed-agent.ts';

/** A real process that dies of SIGKILL in this state; of one that is freezing, `when` says when. */
export async function killedAgent(
  settings: MemberSettings,
  folder: string,
  state: 'armed' | 'freezing' | 'frozen',
  attempt: Token,
  nodeOptions: readonly string[] = [],
  when: () => Promise<void> = () => Promise.resolve(),
): Promise<Undo> {
  const child = spawn(
    process.execPath,
    [
      ...nodeOptions,
      // What is loaded beside it knows the sources.
      nodeOptions.length === 0 ? programFile(PROGRAM) : join(ROOT, PROGRAM),
      '--settings',
      JSON.stringify(settings),
      '--folder',
      mkdtempSync(join(folder, 'killed-')),
      '--state',
      state,
      '--token',
      JSON.stringify(attempt),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'exit');
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.endsWith('\n')) break;
  }
  await when();
  child.kill('SIGKILL');
  await ended;
  return JSON.parse(said) as Undo;
}
