import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { createLog } from '../../shared/runtime/log.ts';

describe('a log', () => {
  // A log goes to the standard error of its process, so it is read from a process of its own.
  function logged(statement: string): string {
    const log = new URL('../../shared/runtime/log.ts', import.meta.url).href;
    const script = `import { createLog } from '${log}'; const log = createLog({ name: 'test', level: 'info' }); ${statement}`;
    const { stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(status, stderr).to.equal(0);
    return stderr;
  }

  it('has one line of JSON for an event, with what belongs to it', () => {
    const lines = logged("log.debug('unsaid'); log.info({ event: 'armed', member: 'a' }, 'armed');")
      .trim()
      .split('\n');

    expect(lines).to.have.length(1);
    expect(JSON.parse(lines[0] ?? '')).to.include({
      name: 'test',
      event: 'armed',
      member: 'a',
      msg: 'armed',
    });
  });

  it('hides passwords, also those in connection strings of errors', () => {
    const text = logged(`
      log.info({ password: 'planted-1', connection: 'planted-2', member: { password: 'planted-3' } }, 'settings');
      log.error({ err: new Error('no answer from postgresql://u:planted-4@host:5432/db') }, 'failed');`);

    expect(text).to.include('no answer from postgresql://u:[hidden]@host:5432/db');
    expect(text).not.to.match(/planted/);
  });

  it('is refused with a level that does not exist, and says which do', () => {
    expect(() => createLog({ name: 'test', level: 'loud' }))
      .to.throw("'loud' is not a log level")
      .with.nested.property('failure.hint')
      .that.includes('debug');
  });
});
