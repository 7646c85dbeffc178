import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentConnection } from '../../coordinator/agents.ts';
import { createCheckpoint } from '../../coordinator/checkpoint.ts';
import { failOver } from '../../coordinator/failover.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { goOn } from '../../shared/runtime/moments.ts';
import { initRepository } from '../../shared/repository/open.ts';
import { startProgram, until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { describedHost, describedMember } from './descriptions.ts';
import { patient, quiet, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: no command waits for ever, and none is deaf to Ctrl-C while it waits. Method: agents over the real wire that
// do not answer one kind of request, and a file whose file server is gone (reading a pipe without a writer).

async function errorOf(work: Promise<unknown>): Promise<StillpointError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StillpointError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a command that waits', () => {
  let agents: ScriptedAgents;
  const folder = temporaryFolder('waiting');
  beforeEach(async () => {
    agents = await scriptedAgents([
      describedHost('alpha', [describedMember('aa')]),
      describedHost('beta', [describedMember('ba')]),
    ]);
  });
  afterEach(() => agents.close());
  after(() => folder.remove());

  const log = createLog({ name: 'test', level: 'silent' });
  const commands = {
    'checkpoint create': (signal: AbortSignal) =>
      createCheckpoint({
        gridFile: agents.gridFile,
        name: 'nightly',
        maintenance: false,
        cancellation: { ...patient, signal },
        progress: quiet,
        log,
        reach: goOn,
      }),
    'grid failover': (signal: AbortSignal) =>
      failOver({ gridFile: agents.gridFile, cancellation: { ...patient, signal }, progress: quiet }),
  };
  for (const [name, run] of Object.entries(commands)) {
    for (const type of ['claim', 'describe'] as const) {
      it(`for an agent that does not answer '${type}' is ended by Ctrl-C at once: ${name}`, async () => {
        agents.silentOn = (host, request) => host === 'beta' && request.type === type;
        const controller = new AbortController();
        const failed = errorOf(run(controller.signal));
        await until('it to be asked', () =>
          agents.asked.some(({ host, request }) => host === 'beta' && request.type === type),
        );
        const began = performance.now();
        controller.abort(new StillpointError({ code: 'interrupted', message: 'stop', hint: 'none' }, 4));
        const { failure, exitCode } = await failed;

        expect(performance.now() - began).to.be.lessThan(2000);
        expect(failure.code).to.equal('interrupted');
        expect(exitCode).to.equal(4);
      });
    }
  }

  it('for an agent that never answers gives up, and says what it was asked', async () => {
    agents.silentOn = (_host, request) => request.type === 'describe';
    const connection = await AgentConnection.open(agents.gridFile, agents.gridFile.agents[1] ?? '', 5000);
    try {
      const { failure, exitCode } = await errorOf(connection.describe(200));

      expect(failure.code).to.equal('agent-silent');
      expect(failure.message).to.include('asked to describe').and.include('127.0.18.2');
      expect(exitCode).to.equal(3);
    } finally {
      connection.close();
    }
  });

  it('for what it must not give up is ended by a second Ctrl-C', async () => {
    agents.silentOn = (host, request) => host === 'beta' && request.type === 'raiseEpoch';
    const file = join(folder.path, 'whole.yaml');
    writeFileSync(file, JSON.stringify(agents.gridFile), { mode: 0o600 });
    const command = startProgram('coordinator/main.ts', ['grid', 'failover', '--yes', '--grid', file]);
    await until('it to be asked', () =>
      agents.asked.some(({ host, request }) => host === 'beta' && request.type === 'raiseEpoch'),
    );
    command.signal('SIGINT');
    command.signal('SIGTERM');
    const { code, stderr } = await command.finished;

    expect(stderr).to.include('interrupted twice');
    expect(code).to.equal(5);
  });

  it('for a file server that is gone ends with Ctrl-C, also when threads hang in it', async () => {
    const repository = join(folder.path, 'repository');
    await initRepository(repository);
    // Whoever reads a pipe that nobody writes hangs as in a file server that is gone.
    const ca = join(folder.path, 'ca.pem');
    spawnSync('mkfifo', [ca]);
    const { grid, agents: addresses } = agents.gridFile;
    const tls = { ...agents.gridFile.tls, ca };
    const file = join(folder.path, 'grid.yaml');
    writeFileSync(file, JSON.stringify({ grid, agents: addresses, repository, tls }), { mode: 0o600 });
    const command = startProgram('coordinator/main.ts', ['checkpoint', 'create', 'x', '--grid', file]);
    let writer = -1;
    await until('it to read the pipe', () => {
      writer = openedForWriting(ca);
      return writer >= 0;
    });
    try {
      command.signal('SIGTERM');
      const { code, stderr } = await command.finished;

      expect(stderr).to.include('interrupted by SIGTERM');
      expect(code).to.equal(4);
    } finally {
      closeSync(writer);
    }
  });
});

/** A descriptor of the pipe's other end; -1 while nobody has it open for reading. */
function openedForWriting(pipe: string): number {
  try {
    return openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return -1;
  }
}
