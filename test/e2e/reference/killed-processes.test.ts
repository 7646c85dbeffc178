import { expect } from 'chai';
import type { CheckpointReport } from '../../../coordinator/reports.ts';
import { Hooks } from '../../lab/hooks.ts';
import { until, type Finished, type RunningCommand } from '../../lab/processes.ts';
import { expectNextCheckpoint, expectUntouched, expectValidList } from '../../lab/reference-checks.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: whichever process of the grid dies in whichever phase, the checkpoint is whole or is none and says who, the
// grid goes on, and the next checkpoint is right.
// Method: real processes, one of them held at a named moment of the protocol, then SIGKILL.

const CREATE = ['checkpoint', 'create', 'bad', '--output', 'json', '--quiet'];

describe('a checkpoint in which a process of the grid dies', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let lab: ReferenceLab;

  before(async () => {
    lab = await createReferenceLab({
      hosts: ['127.0.60.1', '127.0.60.2'],
      proxies: 1,
      env: hooks.env,
    });
  });

  beforeEach(() => hooks.reset());

  afterEach(async () => {
    hooks.reset();
    await lab.reference.start();
    await lab.reference.healthy();
  });

  after(async () => {
    await lab?.close();
    folder.remove();
  });

  async function heldAt(moment: string, member: string): Promise<RunningCommand> {
    hooks.hold(moment, member);
    const command = lab.grid.begin(CREATE);
    await hooks.reachedBy(command, moment, member);
    return command;
  }

  async function finished(command: RunningCommand): Promise<Finished> {
    hooks.reset();
    return command.finished;
  }

  /** By the keepers' own word. */
  async function leadOf(role: 'keeper' | 'b'): Promise<string> {
    let lead: string | undefined;
    await until(`a lead of ${role}`, async () => {
      const { running } = await lab.reference.status();
      lead = running.find(
        ({ name, primary }) => primary && (role === 'b' ? /^b\d$/ : /^k\d$/).test(name),
      )?.name;
      return lead !== undefined;
    });
    return lead ?? '';
  }

  /** The grid without a process is captured too, when another took over; a realm service has none beside it. */
  async function expectCapturedWithout(name: string): Promise<void> {
    if (name === 'realm') await lab.reference.process(name).start();
    await lab.reference.healthy();
    await expectNextCheckpoint(lab, lab.reference.process(name).running ? [] : [name]);
  }

  const victims = {
    'the lead state keeper': () => leadOf('keeper'),
    'the primary node of b': () => leadOf('b'),
    'the primary realm service': () => Promise.resolve('realm'),
  };

  for (const [what, find] of Object.entries(victims)) {
    it(`is none when ${what} is killed in the window${what.includes('keeper') ? ' [S26]' : ''}`, async () => {
      const name = await find();
      const command = await heldAt('marked', name);
      await lab.reference.process(name).kill('SIGKILL');
      const { code, stdout, stderr } = await finished(command);
      expect(code, stdout + stderr).to.be.oneOf([4, 6]);
      // Who has taken over from it may be the first to say that something is wrong.
      expect(stdout).to.match(new RegExp(`"member":"${name}"|"name":"${name}","state":"stopped"`));
      await expectUntouched(lab);
      await expectCapturedWithout(name);
    });
  }

  it('is committed when a node is killed whose part is stored, for nothing of the checkpoint needs it any more', async () => {
    const name = await leadOf('b');
    const command = await heldAt('collected', name);
    await lab.reference.process(name).kill('SIGKILL');
    const { code, stdout, stderr } = await finished(command);
    expect(code, stdout + stderr).to.equal(0);
    const { checkpoint } = JSON.parse(stdout) as CheckpointReport;
    const verified = await lab.grid.run(['checkpoint', 'verify', checkpoint, '--quiet']);
    expect(verified.code, verified.stderr).to.equal(0);
    await expectUntouched(lab);
  });

  it('is none when two of three state keepers die in the freeze, and goes on when they are back [S30]', async () => {
    const command = await heldAt('marked', 'a1');
    await Promise.all(['k1', 'k2'].map((name) => lab.reference.process(name).kill('SIGKILL')));
    const { code, stdout } = await finished(command);
    expect(code, stdout).to.be.oneOf([4, 6]);
    expect(stdout).to.match(/"member":"k[12]"/);
    await Promise.all(['k1', 'k2'].map((name) => lab.reference.process(name).start()));
    await lab.reference.healthy();
    await expectUntouched(lab);
    await expectNextCheckpoint(lab);
  });

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    it(`is none when another node takes over from one with ${signal} between preflight and freeze`, async () => {
      const [primary, other] = (await leadOf('b')) === 'b1' ? ['b1', 'b2'] : ['b2', 'b1'];
      const command = await heldAt('prepared', 'a1');
      await lab.reference.process(primary).kill(signal);
      await until(`${other} to be primary`, async () => (await leadOf('b')) === other);
      if (signal === 'SIGSTOP') await lab.reference.process(primary).kill('SIGCONT');
      const { code, stdout } = await finished(command);
      expect(code, stdout).to.equal(4);
      expect(stdout).to.match(new RegExp(`"member":"(${primary}|${other})"`));
      await expectUntouched(lab);
    });
  }

  it('is none when a node was killed and is back as another process in the window', async () => {
    const command = await heldAt('marked', 'b2');
    const process = lab.reference.process('b2');
    await process.kill('SIGKILL');
    await process.start();
    const { code, stdout } = await finished(command);
    expect(code, stdout).to.be.oneOf([4, 6]);
    expect(stdout).to.match(/"member":"b2"/);
    await lab.reference.healthy();
    await expectUntouched(lab);
    await expectNextCheckpoint(lab);
  });

  it('leaves nothing in the list that is not whole', async () => {
    const ids = await expectValidList(lab);
    expect(ids.filter((id) => id.endsWith('_bad'))).to.have.length(1);
  });
});
