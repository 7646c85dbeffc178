import { expect } from 'chai';
import { letGoOf, type LetGoInput } from '../../../coordinator/jobs/let-go.ts';
import type { HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import { EXIT, StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { Purpose } from '../../../shared/domain/purpose.ts';
import type { HeldBy } from '../../../shared/domain/wire.ts';
import { storeHeld, checkpointId } from '../../repository/samples.ts';
import { describedHost, describedMember } from '../descriptions.ts';
import { quiet, scriptedAgents, type ScriptedAgents } from '../scripted-agents.ts';

// Goal: from elsewhere a job lets go for its token alone; the answer is "resumed" only where every member has proven that
// it held, and it names who may still be held where that is not known. Method: the real command's work, and agents that
// say what a test lets them say, over the real wire.

const QUIESCE: Purpose = { type: 'quiesce', allowReads: false, timeOutMs: 60_000 };
const FREEZE: Purpose = { type: 'freeze', timeOutMs: 600_000 };
const NOT_TRUSTED = 'what was copied meanwhile is not to be trusted';

const heldBy = (purpose: Purpose): HeldBy => ({
  operation: 'token',
  holder: 'anna@alpha pid 7',
  checkpoint: checkpointId(3),
  purpose,
});

describe('who lets go of a job from elsewhere', () => {
  let agents: ScriptedAgents;
  /** The job has committed, and has let go, when it was asked so often. */
  let listensAt: number;
  let commits: boolean;

  beforeEach(async () => {
    agents = await scriptedAgents([
      describedHost('alpha', [describedMember('aa')]),
      describedHost('beta', [describedMember('ba', { frozen: false })]),
    ]);
    listensAt = 1;
    commits = true;
  });

  afterEach(() => agents.close());

  const asked = (): string[] =>
    agents.asked.flatMap(({ host, request }) =>
      request.type === 'letGo' ? [`${host} ${request.operation} ${request.force}`] : [],
    );

  /** Held until it was asked often enough. */
  function jobOf(purpose: Purpose): void {
    let held: HeldBy | null = heldBy(purpose);
    let committing = Promise.resolve();
    agents.heldBy = () => held;
    agents.onRequest = (_, request) => {
      if (request.type !== 'letGo') return;
      if (held === null) throw new StillpointError({ code: 'no-job', message: 'nobody holds it', hint: 'h' });
      if (asked().length < listensAt || !(purpose.type === 'quiesce' || purpose.type === 'freeze')) return;
      const { type } = purpose;
      const release = (): void => void (held = null);
      if (commits) committing = storeHeld(agents.repository, checkpointId(3), type).then(release, release);
      else release();
      void committing;
    };
  }

  async function letGo(
    given: Partial<LetGoInput>,
  ): Promise<{ report: HoldReport | null; failure: Failure | null; exitCode: number }> {
    try {
      const report = await letGoOf({
        gridFile: agents.gridFile,
        repository: () => Promise.resolve(agents.repository),
        purpose: 'quiesce',
        job: null,
        force: false,
        cancellation: { signal: new AbortController().signal, second: new AbortController().signal },
        progress: quiet,
        ...given,
      });
      return { report, failure: null, exitCode: EXIT.done };
    } catch (error) {
      if (!(error instanceof StillpointError)) throw error;
      return { report: null, failure: error.failure, exitCode: error.exitCode };
    }
  }

  it('has the job asked that has the token, and waits for its proof', async () => {
    jobOf(QUIESCE);
    const { report } = await letGo({ job: 'token' });
    expect(report).to.deep.include({ state: 'resumed', job: 'token', number: 3, purpose: 'quiesce' });
    expect(report?.members).to.deep.include.members([]).and.have.length(1);
    expect(asked()).to.include('alpha token false');
  });

  it('[S74] finds the job by its token also where a host has no member that takes part in it', async () => {
    jobOf(QUIESCE);
    const { heldBy: heldAt } = agents;
    // The first that is asked has proxies alone: it is claimed, and nothing was prepared there.
    agents.heldBy = (host) => {
      const held = heldAt(host);
      return held !== null && host === 'alpha' ? { ...held, checkpoint: null, purpose: null } : held;
    };
    const { report, failure } = await letGo({ job: 'token' });
    expect(failure).to.equal(null);
    expect(report).to.deep.include({ state: 'resumed', job: 'token', number: 3 });
  });

  it('[S74] is refused with any other token, and nothing is asked of the job', async () => {
    jobOf(QUIESCE);
    const { failure, exitCode } = await letGo({ job: 'another' });
    expect(exitCode).to.equal(3);
    expect(failure).to.include({ code: 'other-job' });
    expect(failure?.message).to.include('anna@alpha pid 7');
    expect(asked()).to.deep.equal([]);
  });

  it('is told to use the other command for the other operation, and that some end by themselves', async () => {
    jobOf(FREEZE);
    const resumed = await letGo({ job: 'token' });
    expect(resumed.failure).to.include({ code: 'no-job', hint: 'stillpoint thaw ends it' });
    jobOf(QUIESCE);
    const thawed = await letGo({ purpose: 'freeze' });
    expect(thawed.failure).to.include({ code: 'other-job' });
    jobOf({ type: 'journalCheckpoint' });
    const neither = await letGo({ job: 'token' });
    expect(neither.failure).to.include({ code: 'no-job', hint: 'it ends by itself' });
    expect([resumed, thawed, neither].map(({ exitCode }) => exitCode)).to.deep.equal([3, 3, 3]);
    expect(asked()).to.deep.equal([]);
  });

  it('[S75] is told that the copies are worth nothing where the job is over without a proof, never that all is well', async () => {
    commits = false;
    jobOf(QUIESCE);
    const { failure, exitCode } = await letGo({ job: 'token' });
    expect(exitCode).to.equal(6);
    expect(failure).to.include({ code: 'already-resumed' });
    expect(failure?.hint).to.include(NOT_TRUSTED);
    expect(failure?.members).to.deep.equal([
      { name: 'aa', state: 'running' },
      { name: 'ba', state: 'running' },
    ]);
    const gone = await letGo({ job: 'token' });
    expect(gone.failure).to.include({ code: 'no-job' });
    expect(gone.failure?.hint).to.include(NOT_TRUSTED);
    expect(gone.exitCode).to.equal(3);
  });

  it('lets go first and reads the proof then: where it cannot be read, that is not called resumed', async () => {
    jobOf(QUIESCE);
    const { failure, exitCode } = await letGo({
      job: 'token',
      repository: () =>
        Promise.reject(
          new StillpointError({ code: 'repository-missing', message: 'not mounted', hint: 'mount it' }),
        ),
    });
    expect(asked()).to.include('alpha token false');
    expect(exitCode).to.equal(6);
    expect(failure?.message).to.include('all members run').and.include('not mounted');
    expect(failure?.hint).to.include(checkpointId(3)).and.include(NOT_TRUSTED);
  });

  it('[S91] says "already resumed" where no freeze holds the grid, and has every agent write it down', async () => {
    agents.onRequest = (_, request) => {
      if (request.type !== 'letGo') return;
      throw new StillpointError({ code: 'no-job', message: 'nobody holds it', hint: 'h' });
    };
    const { failure, exitCode } = await letGo({ purpose: 'freeze' });
    expect(exitCode).to.equal(6);
    expect(failure?.message).to.equal('already resumed: no freeze holds the grid');
    expect(failure?.hint).to.include(NOT_TRUSTED);
    expect(asked()).to.have.members(['alpha  false', 'beta  false']);
  });

  it('[S91] waits for a freeze that begins while it asks, and does not say that there is none', async () => {
    jobOf(FREEZE);
    listensAt = 3;
    const { heldBy: heldAt } = agents;
    agents.heldBy = (host) => (asked().length === 0 ? null : heldAt(host));
    const { report, failure } = await letGo({ purpose: 'freeze' });
    expect(failure).to.equal(null);
    expect(report).to.deep.include({ state: 'resumed', job: 'token', purpose: 'freeze' });
    expect(asked().slice(0, 2)).to.have.members(['alpha  false', 'beta  false']);
  });

  it('[S92] asks again and again, then says who is still held, with its exit code', async () => {
    listensAt = Infinity;
    jobOf(FREEZE);
    const abort = new AbortController();
    const letting = letGo({
      purpose: 'freeze',
      cancellation: { signal: abort.signal, second: new AbortController().signal },
    });
    while (asked().length < 4) await new Promise((resolve) => setTimeout(resolve, 50));
    abort.abort(new Error('enough'));
    const { failure, exitCode } = await letting;
    expect(exitCode).to.equal(5);
    expect(failure).to.include({ code: 'not-let-go', phase: 'thaw' });
    expect(failure?.hint).to.include(NOT_TRUSTED).and.include('stillpoint thaw --force');
  });

  it('[S92] waits at the second word for no agent that hangs, and says that its members may be held', async () => {
    jobOf(FREEZE);
    agents.silentOn = (host, request) => host === 'beta' && request.type === 'letGo';
    const [first, second] = [new AbortController(), new AbortController()];
    const letting = letGo({
      purpose: 'freeze',
      cancellation: { signal: first.signal, second: second.signal },
    });
    while (!asked().includes('beta token false')) await new Promise((resolve) => setTimeout(resolve, 20));
    first.abort(new Error('enough'));
    second.abort(new StillpointError({ code: 'interrupted', message: 'interrupted', hint: 'h' }, 4));
    const { failure, exitCode } = await letting;
    expect([exitCode, failure?.code]).to.deep.equal([5, 'not-let-go']);
    expect(failure?.message).to.include('interrupted');
  });

  it('[S92] is not done where a host cannot be asked: its members may still be held', async () => {
    jobOf(FREEZE);
    const [first = ''] = agents.gridFile.agents;
    const gridFile = { ...agents.gridFile, agents: [first, '127.0.18.9:1'] };
    const { failure, exitCode } = await letGo({ purpose: 'freeze', gridFile });
    expect(exitCode).to.equal(5);
    expect(failure?.message).to.include('127.0.18.9');
    expect(failure?.members).to.deep.equal([{ name: 'aa', state: 'running' }]);
  });

  it('by force has every agent end it, and is not told that the copies are good', async () => {
    jobOf(QUIESCE);
    const { failure, exitCode } = await letGo({ force: true });
    expect(exitCode).to.equal(6);
    expect(failure).to.include({ code: 'forced' });
    expect(failure?.hint).to.include(NOT_TRUSTED);
    expect(asked()).to.include.members(['alpha token true', 'beta token true']);
  });
});
