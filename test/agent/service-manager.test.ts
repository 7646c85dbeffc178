import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ServiceManager } from '../../agent/service-manager.ts';
import { childrenOf } from '../lab/process-figures.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: systemd knows when the agent serves, that it lives, and when it ends.
// Method: a systemd-notify that writes down what it is given.
describe('an agent that was started by systemd', () => {
  const folder = temporaryFolder('service-manager');
  const words = join(folder.path, 'words');
  let environment: NodeJS.ProcessEnv;
  let manager: ServiceManager;

  before(() => {
    const program = `#!/bin/sh\necho "$NOTIFY_SOCKET $1" >> ${words}\n`;
    writeFileSync(join(folder.path, 'systemd-notify'), program, { mode: 0o755 });
    environment = {
      PATH: `${folder.path}:${process.env['PATH']}`,
      NOTIFY_SOCKET: '/run/notify',
      WATCHDOG_USEC: '150000',
      WATCHDOG_PID: '1',
      LANG: 'C',
    };
    manager = new ServiceManager(environment);
  });

  after(() => {
    manager.stopping();
    folder.remove();
  });

  const said = (): string[] => (existsSync(words) ? readFileSync(words, 'utf8').trim().split('\n') : []);
  const tellers = (): number[] => childrenOf(process.pid);

  it('hands down nothing by which another could speak for it', () => {
    expect(Object.keys(environment).sort()).to.deep.equal(['LANG', 'PATH']);
  });

  it('says nothing before it is ready', () => {
    expect(tellers()).to.deep.equal([]);
  });

  it('says that it is ready and what it does, and then again and again that it lives', async () => {
    manager.ready('listening on a "quoted" $HOST');
    await until('three words of life', () => said().length >= 5);
    expect(said().slice(0, 4)).to.deep.equal([
      '/run/notify READY=1',
      '/run/notify STATUS=listening on a "quoted" $HOST',
      '/run/notify WATCHDOG=1',
      '/run/notify WATCHDOG=1',
    ]);
  });

  it('says so also when the process that carries its words was killed', async () => {
    for (const teller of tellers()) process.kill(teller, 'SIGKILL');
    const before = said().length;
    await until('another word of life', () => said().length > before + 1);
  });

  it('says that it stops as its last word, and leaves no process behind', async () => {
    manager.stopping();
    await until('its processes to end', () => tellers().length === 0);
    const { length } = said();
    expect(said().at(-1)).to.equal('/run/notify STOPPING=1');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(said()).to.have.lengthOf(length);
  });
});

describe('an agent that was started by a person', () => {
  it('starts no process to tell how it is', () => {
    const manager = new ServiceManager({ PATH: process.env['PATH'] });
    manager.ready('listening');
    manager.stopping();
    expect(childrenOf(process.pid)).to.deep.equal([]);
  });
});
