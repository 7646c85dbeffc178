import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SENTENCES } from '../../../agent/engines/native/contract.ts';
import { token } from '../tested-capture.ts';
import { scriptedProcess, type ScriptedProcess } from './scripted-process.ts';

// Goal: what a process does wrong is told as its own fault, with the sentence of the contract, and never as something
// that happened to the grid. Method: a served contract whose answers a test sets, and a whole capture of it.

const PROTO = readFileSync(new URL('../../../proto/participant.proto', import.meta.url), 'utf8')
  .replaceAll(/^\s*\/\/ ?/gm, '')
  .replaceAll(/\s+/g, ' ');

describe('a process that breaks the contract', () => {
  let broken: ScriptedProcess;
  afterEach(() => broken.close());

  async function node(): Promise<ScriptedProcess> {
    broken = await scriptedProcess('node');
    writeFileSync(join(broken.live, 'journal/1'), 'row');
    writeFileSync(join(broken.live, 'journal/2'), '');
    Object.assign(broken.answers, {
      suspendWriting: () => ({ firstJournalFile: '1' }),
      switchJournal: () => ({ journalFile: '1', length: 3n }),
    });
    return broken;
  }

  it('is told of in sentences that stand in the contract', async () => {
    broken = await scriptedProcess('node');
    for (const sentence of Object.values(SENTENCES)) expect(PROTO).to.contain(sentence);
  });

  for (const role of ['state-keeper', 'realm-service'] as const) {
    it(`as a ${role} whose mark is not the version of its state: not as a state that changed`, async () => {
      broken = await scriptedProcess(role);
      broken.answers['switchJournal'] = () => ({ journalFile: 'state-7', length: 0n });
      const failure = await broken.captured();
      expect(failure?.code).to.equal('participant-contract');
      expect(failure?.message).to.contain('journal_file is state-7').and.contain(SENTENCES.markNamesState);
    });
  }

  it('as a node that marks in a file that never was: not as a file that was removed', async () => {
    const { answers, captured } = await node();
    expect(await captured()).to.equal(null);
    answers['switchJournal'] = () => ({ journalFile: '1.log', length: 3n });
    const failure = await captured();
    expect(failure?.code).to.equal('participant-contract');
    expect(failure?.message).to.contain('journal_file is 1.log').and.contain(SENTENCES.markNamesFile);
  });

  it('as a node whose first journal file never was', async () => {
    const { answers, captured } = await node();
    answers['suspendWriting'] = () => ({ firstJournalFile: '0' });
    const failure = await captured();
    expect(failure?.code).to.equal('participant-contract');
    expect(failure?.message).to.contain('first_journal_file is 0').and.contain(SENTENCES.firstIsKept);
  });

  const after = {
    ReleaseJournal: ['node', 'resume'],
    ResumeWriting: ['node', 'suspendWriting'],
    SuspendWriting: ['node', 'describe'],
    LeaveMaintenance: ['node', 'releaseJournal'],
    SaveKeeperState: ['state-keeper', 'resume'],
  } as const;
  for (const [call, [role, last]] of Object.entries(after)) {
    it(`is another one by its incarnation, told as restarted, when it answers ${call}`, async () => {
      broken = role === 'node' ? await node() : await scriptedProcess(role);
      const { answers } = broken;
      const before = answers[last] ?? (() => ({}));
      // Its incarnation changes with the answer before: that still names the old one.
      answers[last] = (request) => {
        const answer = { incarnation: broken.incarnation, ...before(request) };
        broken.incarnation = 'two';
        return answer;
      };
      const failure = await broken.captured(true);
      expect(failure?.code, failure?.message).to.equal('member-restarted');
      expect(broken.calls).to.include(call.charAt(0).toLowerCase() + call.slice(1));
    });
  }

  it('is final when the process is another one at an arm: no later arm finds it otherwise', async () => {
    broken = await scriptedProcess('state-keeper');
    const capture = broken.capture();
    await capture.prepare();
    broken.incarnation = 'two';
    const error: unknown = await capture.arm(token()).catch((thrown: unknown) => thrown);
    expect(error).to.have.property('failure').that.includes({ code: 'member-restarted', isFinal: true });
    await capture.abort();
  });
});
