import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCheckpoint } from '../../../coordinator/checkpoint.ts';
import { CheckpointTrace } from '../../../coordinator/trace/checkpoint-trace.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { goOn } from '../../../shared/runtime/moments.ts';
import { silentLog } from '../../agent/held-host.ts';
import { readTraceFile, stepsOf } from '../../lab/chrome-trace-file.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { describedHost, describedMember } from '../descriptions.ts';
import { honestAnswers, asItIs } from '../honest-agent.ts';
import { patient, quiet, scriptedAgents, type ScriptedAgents } from '../scripted-agents.ts';

// Goal: an agent that knows nothing of traces takes part as ever, and what it lacks is told. Method: an agent that is played
// answers a claim as agents did before there were traces; it ends the stream at a request that it does not know.

describe('the trace of a grid with an older agent', () => {
  const folder = temporaryFolder('older-agent');
  const path = join(folder.path, 'trace.json');
  let agents: ScriptedAgents;

  before(async () => {
    agents = await scriptedAgents([describedHost('127.0.18.1', [describedMember('aa')])]);
  });

  after(async () => {
    await agents?.close();
    folder.remove();
  });

  it('has the steps of the coordinator, and the checkpoint is made', async () => {
    let checkpoint = '';
    agents.onRequest = (_, { type }) => {
      if (type === 'readTrace') throw new StillpointError({ code: 'bad-message', message: '', hint: '' });
    };
    agents.onCommand = async (host, member, command) => {
      if (command.type === 'prepare') checkpoint = command.checkpoint;
      const about = { agents, host, member, checkpoint, manifestOf: asItIs };
      const answers = await honestAnswers(about, command);
      return answers.map((answer) => ({ type: 'memberAnswer', member, answer }));
    };
    const report = await createCheckpoint({
      gridFile: agents.gridFile,
      name: 'traced',
      maintenance: false,
      trace: await CheckpointTrace.open(path),
      cancellation: patient,
      progress: quiet,
      log: silentLog,
      reach: goOn,
    });
    expect(report.members.map(({ window }) => window)).to.deep.equal([null]);
    const read = readTraceFile(readFileSync(path, 'utf8'));
    expect(read.otherData.hosts[0]?.missing).to.include('older version');
    expect(stepsOf(read, 'aa').map(({ name }) => name)).to.include.members([
      'freeze sent',
      'released received',
    ]);
    expect(agents.asked.map(({ request }) => request.type)).to.not.include('readTrace');
  });
});
