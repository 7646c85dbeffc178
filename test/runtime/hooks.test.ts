import { expect } from 'chai';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { reach } from '../../shared/runtime/hooks.ts';
import { Hooks } from '../lab/hooks.ts';
import { temporaryFolder } from '../lab/temporary.ts';

describe('a named moment', () => {
  const folder = temporaryFolder('hooks');
  after(() => folder.remove());

  it('is nothing where nobody asks for it', async () => {
    await reach('marked', 'a');
  });

  it('is told, and holds the one it is meant for until it is let go', async () => {
    const hooks = new Hooks(join(folder.path, 'moments'));
    hooks.hold('marked', 'b');
    const module = new URL('../../shared/runtime/hooks.ts', import.meta.url).href;
    const script = `import { reach } from '${module}'; await reach('marked', 'a'); await reach('marked', 'b'); console.log('let go');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, ...hooks.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const ended = once(child, 'exit');
    try {
      await hooks.reached('marked', 'b');
      const [told, heldBack] = [hooks.hasReached('marked', 'a'), said];
      hooks.release('marked', 'b');
      const [code] = (await ended) as [number];

      expect({ told, heldBack, code, said }).to.deep.equal({
        told: true,
        heldBack: '',
        code: 0,
        said: 'let go\n',
      });
    } finally {
      child.kill('SIGKILL');
    }
  });
});
