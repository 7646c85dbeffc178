import { expect } from 'chai';
import type { Purpose } from '../../shared/domain/purpose.ts';
import type { AgentRequest } from '../../shared/domain/wire.ts';
import { firstToken as token, HeldHost, settled } from './held-host.ts';
import { CHECKPOINT, HELLO, preparedFor, served, type ToldStream } from './served-host.ts';

// Goal: who has the token of a job, and nobody else, has it let go; a freeze lets go for anybody; by force the agent ends
// it and its job is told who did. Method: the real service behind streams that the test writes and reads.

const QUIESCE: Purpose = { type: 'quiesce', allowReads: false, timeOutMs: 60_000 };
const FREEZE: Purpose = { type: 'freeze', timeOutMs: 600_000 };

const letGo = (operation: string, force = false): AgentRequest => ({
  type: 'letGo',
  id: 9,
  operation,
  force,
});

describe('a job that holds a host', () => {
  let host: HeldHost;
  let said: string[];
  let job: ToldStream;
  let other: ToldStream;

  async function begun(purpose: Purpose): Promise<void> {
    host = new HeldHost(['a']);
    said = [];
    const { opened } = served(host, said);
    [job, other] = [opened(), opened()];
    await job.holds('one');
    await other.says(HELLO);
    await job.says(preparedFor(purpose));
    await job.says({ type: 'member', member: 'a', command: { type: 'arm', token, leaseMs: 1000 } });
    await job.says({ type: 'member', member: 'a', command: { type: 'freeze', token, leaseMs: 1000 } });
  }

  /** The job has released the host, and its guard is gone. */
  async function ended(): Promise<void> {
    host.guards[0]?.die();
    while (!job.sent.some((response) => response.type === 'done' && response.id === 7)) await settled();
  }

  it('is named to whoever asks, with what it is for; nobody is where nobody holds it', async () => {
    await begun(QUIESCE);
    await other.says({ type: 'askJob', id: 8 });
    const held = { operation: 'one', holder: 'anna', checkpoint: CHECKPOINT, purpose: QUIESCE };
    expect(other.sent.at(-1)).to.deep.equal({ type: 'job', id: 8, held, highestEpoch: 0, highestCounter: 0 });
    await job.says({ type: 'release', id: 7 });
    await ended();
    await other.says({ type: 'askJob', id: 8 });
    expect(other.sent.at(-1)).to.deep.include({ type: 'job', held: null });
  });

  it('[S74] is asked to let go by whoever has its token, and by nobody else', async () => {
    await begun(QUIESCE);
    await other.says(letGo('two'));
    await other.says(letGo(''));
    expect(other.heard.slice(-2)).to.deep.equal(['failed other-job', 'failed no-job']);
    expect(job.heard).not.to.include('letGoAsked');
    await other.says(letGo('one'));
    expect(other.heard.at(-1)).to.equal('done');
    expect(job.sent.at(-1)).to.deep.equal({ type: 'letGoAsked', holder: 'anna' });
    // It is asked, and decides by itself: nothing was let go of here.
    expect(host.calls).not.to.include.members(['a: thaw']);
  });

  it('is asked by anybody where it is a freeze', async () => {
    await begun(FREEZE);
    await other.says(letGo(''));
    expect(other.heard.at(-1)).to.equal('done');
    expect(job.heard.at(-1)).to.equal('letGoAsked');
    expect(said).to.deep.equal([]);
  });

  it('[S91] leaves "Already resumed" in the log of its members where a thaw finds nobody frozen', async () => {
    await begun(FREEZE);
    await job.says({ type: 'release', id: 7 });
    await ended();
    const before = said.length;
    await other.says(letGo(''));
    expect(other.heard.at(-1)).to.equal('failed no-job');
    const words = /^\d{4}-\d\d-\d\dT[\d:.]+Z (Backup\..*)$/;
    // The freeze itself was given up, and has said so; the thaw says it of its own.
    expect(said.slice(before).map((line) => words.exec(line)?.[1])).to.deep.equal([
      'Backup.General.ExternalThaw: Resuming system',
      'Backup.General.ExternalThaw: Already resumed',
    ]);
  });

  it('[S91] is left alone by such a message while it holds a member, also one that no thaw can let go of', async () => {
    await begun({ type: 'checkpoint' });
    await other.says(letGo(''));
    expect(other.heard.at(-1)).to.equal('failed no-job');
    expect(said).to.deep.equal([]);
    await job.says({ type: 'member', member: 'a', command: { type: 'thaw', token } });
    while (said.length < 2) await settled();
    expect(said.map((line) => line.slice(line.indexOf(' ') + 1))).to.deep.equal([
      'Backup.General.ExternalThaw: Resuming system',
      'Backup.General.ExternalThaw: Already resumed',
    ]);
  });

  it('is ended by force, is told by whom, and whoever ended it knows that the members run', async () => {
    for (const operation of ['', 'one']) {
      await begun(QUIESCE);
      const releasing = Promise.withResolvers<void>();
      host.releasing = releasing.promise;
      await other.says(letGo(operation, true));
      expect(job.heard).to.include('failed forced');
      expect(other.heard.at(-1)).not.to.equal('done');
      releasing.resolve();
      await settled();
      host.guards[0]?.die();
      await other.says();
      expect(other.heard.at(-1)).to.equal('done');
      expect(host.calls).to.include('a: release');
    }
  });

  it('is ended by force with its own token only, where one is given', async () => {
    await begun(QUIESCE);
    await other.says(letGo('two', true));
    expect(other.heard.at(-1)).to.equal('failed other-job');
    expect(host.calls).not.to.include('a: release');
  });

  it('is left alone where it ends by itself, also by force', async () => {
    await begun({ type: 'journalCheckpoint' });
    for (const force of [false, true]) {
      await other.says(letGo('one', force));
      expect(other.heard.at(-1)).to.equal('failed no-job');
    }
    expect(host.calls).not.to.include('a: release');
  });
});
