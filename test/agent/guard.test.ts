import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { Guard } from '../../agent/guard/guard.ts';
import { guardStarter } from '../../agent/guard/guard-process.ts';
import { computerClock } from '../../shared/runtime/clock.ts';
import { failureOf } from '../../shared/domain/errors.ts';
import { guardOf } from '../lab/guards.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: the agent is never held up by its guard, and never believes in one that is not there.
// Method: real guard processes, on an agent file whose member nobody can reach.
describe("the agent's side of its guard", () => {
  const folder = temporaryFolder('guard');
  const configuration = join(folder.path, 'agent.yaml');
  let lost = 0;

  before(() => {
    const member = `{ name: a, role: node, copyset: a, address: "127.0.0.1:7001", engine: native, data: ${folder.path}/data, participant: "unix:${folder.path}/nobody.sock" }`;
    writeFileSync(
      configuration,
      `grid: orders\nlisten: 127.0.0.1:7411\ntls: { ca: a, cert: b, key: c }\nstate: ${folder.path}/state\nrepository: /srv/stillpoint\nmembers:\n  - ${member}\n`,
    );
  });

  beforeEach(() => (lost = 0));

  after(() => folder.remove());

  function started(): Guard {
    return new Guard({
      start: guardStarter(configuration),
      clock: computerClock,
      operation: 'operation',
      log: pino({ level: 'silent' }),
      undone: () => undefined,
      lost: () => (lost += 1),
    });
  }

  async function codeOf(work: Promise<unknown>): Promise<string> {
    return work.then(
      () => 'it succeeded',
      (error: unknown) => failureOf(error, { code: 'no-failure', hint: '' }).code,
    );
  }

  it('is told by the guard why it cannot watch a member, and ends it', async () => {
    const guard = started();
    expect(await codeOf(guard.watch('a', {}, 1000))).to.equal('guard-refused');
    await guard.end();
    expect(() => guardOf(configuration)).to.throw();
    expect(lost, 'an end that was asked for is no loss').to.equal(0);
  });

  it('hears of one that dies, and asks nothing of it any more', async () => {
    const guard = started();
    expect(await codeOf(guard.watch('a', {}, 1000))).to.equal('guard-refused');
    const waiting = codeOf(guard.watch('a', {}, 1000));
    process.kill(guardOf(configuration), 'SIGKILL');
    await until('the loss to be told', () => lost > 0);
    expect(lost).to.equal(1);
    expect(await waiting).to.be.oneOf(['guard-lost', 'guard-refused']);
    const asked = performance.now();
    expect(await codeOf(guard.watch('a', {}, 1000))).to.equal('guard-lost');
    expect(performance.now() - asked, 'it is not waited for').to.be.below(5000);
    await guard.end();
  });

  it('does not wait for one that is stopped: with nothing to undo it is killed', async () => {
    const guard = started();
    expect(await codeOf(guard.watch('a', {}, 1000))).to.equal('guard-refused');
    const pid = guardOf(configuration);
    process.kill(pid, 'SIGSTOP');
    await guard.end();
    expect(() => process.kill(pid, 0)).to.throw();
    expect(lost).to.equal(0);
  });
});
