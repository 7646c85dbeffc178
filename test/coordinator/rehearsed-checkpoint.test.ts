import { expect } from 'chai';
import { createCheckpoint } from '../../coordinator/checkpoint.ts';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import { goOn } from '../../shared/runtime/moments.ts';
import { silentLog } from '../agent/held-host.ts';
import { describedHost, describedMember } from './descriptions.ts';
import { asItIs, honestAnswers } from './honest-agent.ts';
import { patient, quiet, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: a checkpoint is rehearsed after all are prepared and before anybody is armed, and is the same whatever comes of the
// rehearsal. Method: the real command over the real wire; agents that are played note in which order they were told what.

describe('a checkpoint that is rehearsed', () => {
  let agents: ScriptedAgents;
  let told: string[];
  let checkpoint: string;

  before(async () => {
    agents = await scriptedAgents([
      describedHost('alpha', [describedMember('aa', { traits: { maintenance: true } })]),
      describedHost('beta', [describedMember('ba', { traits: { maintenance: true } })]),
    ]);
  });

  beforeEach(() => {
    told = [];
    checkpoint = '';
    agents.onCommand = async (host, member, command) => {
      told.push(command.type);
      if (command.type === 'prepare') checkpoint = command.checkpoint;
      const answers = await answersOf(host, member, command);
      return answers.map((answer) => ({ type: 'memberAnswer', member, answer }));
    };
    agents.onRehearsal = async (host, member, command) => {
      told.push(`rehearsed ${command.type}`);
      // Nothing is stored for a stand-in.
      const answers: readonly MemberAnswer[] =
        command.type === 'collect'
          ? [
              {
                type: 'collected',
                token: command.token,
                manifestDigest: '0'.repeat(64),
                sizeBytes: 0,
                storedBytes: 0,
              },
            ]
          : await answersOf(host, member, command);
      return answers.map((answer) => ({ type: 'rehearsed', member, answer }));
    };
  });

  after(() => agents?.close());

  function answersOf(host: string, member: string, command: MemberCommand): Promise<readonly MemberAnswer[]> {
    return honestAnswers({ agents, host, member, checkpoint, manifestOf: asItIs }, command);
  }

  function create(name: string, maintenance = false): Promise<CheckpointReport> {
    return createCheckpoint({
      gridFile: agents.gridFile,
      name,
      maintenance,
      cancellation: patient,
      progress: quiet,
      log: silentLog,
      reach: goOn,
    });
  }

  it('has its stand-ins go through it between the last prepare and the first arm', async () => {
    const { members } = await create('first');
    expect(members.map(({ state }) => state)).to.deep.equal(['captured', 'captured']);
    const rehearsed = (word: string): boolean => word.startsWith('rehearsed ');
    expect(told.filter((word) => word === 'rehearsed thaw').length).to.be.at.least(2 * 2);
    expect(told.findIndex(rehearsed)).to.be.greaterThan(told.lastIndexOf('prepare'));
    expect(told.findLastIndex(rehearsed)).to.be.lessThan(told.indexOf('arm'));
    expect(told.filter((word) => !rehearsed(word))).to.include.members(['arm', 'freeze', 'thaw', 'collect']);
  });

  it('is made where stand-ins say nothing, a little later', async () => {
    agents.onRehearsal = async (_, __, command) => {
      told.push(`rehearsed ${command.type}`);
      return [];
    };
    const begunAt = performance.now();
    await create('silent');
    expect(performance.now() - begunAt).to.be.within(1400, 10_000);
    expect(told.filter((word) => word.startsWith('rehearsed'))).to.deep.equal([
      'rehearsed prepare',
      'rehearsed prepare',
    ]);
  });

  it('is made where stand-ins fail, of which nothing more is asked', async () => {
    agents.onRehearsal = async (_, member, command) => [
      command.type === 'prepare'
        ? { type: 'rehearsed', member, answer: { type: 'prepared' } }
        : {
            type: 'rehearsed',
            member,
            answer: { type: 'failed', state: 'frozen', failure: { code: 'x', message: 'x', hint: 'x' } },
          },
    ];
    expect((await create('failed')).members).to.have.length(2);
    expect(told).to.not.include('rehearsed abort');
  });

  it('is made where an agent lies of stand-ins, which ends no stream', async () => {
    agents.onRehearsal = async () => [
      { type: 'rehearsed', member: 'stranger', answer: { type: 'prepared' } },
    ];
    expect((await create('lied')).members).to.have.length(2);
  });

  it('is not rehearsed while clients are refused, who would be for longer', async () => {
    await create('maintained', true);
    expect(told.filter((word) => word.startsWith('rehearsed'))).to.deep.equal([]);
  });
});
