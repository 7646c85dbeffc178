import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { MemberRuntime } from '../../../agent/member-runtime.ts';
import { addMessage } from '../../../agent/engines/native/messages.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../../../shared/domain/messages.ts';
import type { Purpose } from '../../../shared/domain/purpose.ts';
import * as machine from '../../../shared/protocol/member-machine.ts';
import { computerClock } from '../../../shared/runtime/clock.ts';
import { createLog } from '../../../shared/runtime/log.ts';
import { until } from '../../lab/processes.ts';
import { token } from '../tested-capture.ts';
import { modelLab, type ModelLab } from './model.ts';

// Goal: beside its data a node has the messages that its operators know, in order, of all three operations. Method: the
// model node, held as an agent does it, by the real runtime and machine; and traps where the file should be.

const NOTHING_COPIED = { hold: 'member', part: 'none' } as const;
const QUIESCING = 'Backup.ShardedCluster.Quiesce: Quiescing system';
const QUIESCED = 'Backup.ShardedCluster.Quiesce: System quiesced';
const ENDS = 'Backup.ShardedCluster.JournalCheckpoint: Journal file FILE ends at checkpoint number 7';
const RESUMING = 'Backup.ShardedCluster.Resume: Resuming system';
const RESUMED = 'Backup.ShardedCluster.Resume: System resumed';
const THAWING = 'Backup.General.ExternalThaw: Resuming system';
const THAWED = 'Backup.General.ExternalThaw: System resumed';
const NOT_HELD = 'Backup.General.ExternalThaw: Already resumed';

describe('the messages of a node', () => {
  let lab: ModelLab;
  let log: string;

  beforeEach(async () => {
    lab = await modelLab();
    log = join(lab.settings.data, 'messages.log');
  });

  afterEach(() => lab.remove());

  /** Without times, and with any journal file as FILE. */
  function texts(): string[] {
    if (!existsSync(log)) return [];
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
    for (const line of lines) expect(line).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z Backup\./);
    return lines.map((line) => line.slice(line.indexOf(' ') + 1).replace(/\d+\.log/, 'FILE'));
  }

  class Member {
    readonly answers: MemberAnswer[] = [];
    readonly #runtime: MemberRuntime;

    constructor() {
      const nothing = (): Promise<void> => Promise.resolve();
      this.#runtime = new MemberRuntime({
        machine,
        clock: computerClock,
        time: () => new Date(),
        priority: { raise: () => () => undefined, soon: (putBack) => putBack() },
        reach: nothing,
        member: 'model-1a',
        kind: 'fenced',
        engine: lab.engine,
        operation: 'operation',
        state: { highestToken: () => null, makeSpool: () => Promise.resolve(lab.folder), dropSpool: nothing },
        store: {
          finish: () => Promise.resolve({ manifestDigest: 'd', sizeBytes: 0, storedBytes: 0 }),
        } as never,
        log: createLog({ name: 'test', level: 'silent' }),
        operationSilenceMs: 60_000,
        leaseMs: 10_000,
        send: (answer) => void this.answers.push(answer),
        record: nothing,
        heldChanged: () => undefined,
        progress: () => undefined,
        waitsFor: () => undefined,
        lost: () => undefined,
        undoLeft: () => Promise.resolve(null),
        saveUndo: nothing,
      });
    }

    async asked(command: MemberCommand, answered: MemberAnswer['type']): Promise<void> {
      this.#runtime.receive(command);
      await until(`it to have ${answered}`, () =>
        this.answers.some(({ type }) => type === answered || type === 'failed'),
      );
    }

    async held(purpose: Purpose): Promise<void> {
      const { checkpoint, maintenance } = {
        checkpoint: '20261120T120000.123Z_00000000_00000007_x',
        maintenance: false,
      };
      await this.asked(
        { type: 'prepare', checkpoint, assignment: NOTHING_COPIED, maintenance, purpose },
        'prepared',
      );
      await this.asked({ type: 'arm', token: token(), leaseMs: 10_000 }, 'armed');
      await this.asked({ type: 'freeze', token: token(), leaseMs: 10_000 }, 'marked');
    }

    async ended(): Promise<void> {
      this.#runtime.operationEnded();
      await this.#runtime.closed;
    }
  }

  it('are those of a journal checkpoint, with the file that ended and its number [S78] [S81]', async () => {
    const member = new Member();
    await member.held({ type: 'journalCheckpoint' });
    await member.asked({ type: 'thaw', token: token() }, 'thawed');
    await member.asked({ type: 'collect', token: token() }, 'collected');
    await member.ended();
    await until('all to be written', () => texts().length === 5);
    expect(texts()).to.deep.equal([QUIESCING, QUIESCED, ENDS, RESUMING, RESUMED]);
  });

  it('are those of a quiesce, of which the first are there while it lasts [S73] [S126]', async () => {
    const member = new Member();
    await member.held({ type: 'quiesce', allowReads: true, timeOutMs: 1000 });
    await until('it to be written that it is quiesced', () => texts().length === 3);
    expect(texts()).to.deep.equal([QUIESCING, QUIESCED, ENDS]);
    await member.asked({ type: 'thaw', token: token() }, 'thawed');
    await member.asked({ type: 'collect', token: token() }, 'collected');
    await member.ended();
    await until('all to be written', () => texts().length === 5);
    expect(texts().slice(3)).to.deep.equal([RESUMING, RESUMED]);
  });

  it('are those of a freeze, and of its end that it held, or that it had not [S82] [S91]', async () => {
    const inside = [QUIESCING, QUIESCED, ENDS, RESUMING, RESUMED];
    for (const [isRestarted, last] of [
      [false, THAWED],
      [true, NOT_HELD],
    ] as const) {
      rmSync(log, { force: true });
      const member = new Member();
      await member.held({ type: 'freeze', timeOutMs: 600_000 });
      await member.asked({ type: 'thaw', token: token() }, 'thawed');
      await until('the journal checkpoint to be written', () => texts().length === 5);
      if (isRestarted) {
        await lab.stop();
        await lab.start();
      }
      await member.asked({ type: 'collect', token: token() }, 'collected');
      await member.ended();
      await until('all to be written', () => texts().length === 7);
      expect(texts()).to.deep.equal([...inside, THAWING, last]);
    }
  });

  it('say what did not come to rest [S72]', async () => {
    await lab.remove();
    lab = await modelLab('never-rests');
    log = join(lab.settings.data, 'messages.log');
    const member = new Member();
    await member.held({ type: 'quiesce', allowReads: true, timeOutMs: 100 });
    await member.ended();
    await until('all to be written', () => texts().length === 4);
    expect(texts()[1]).to.equal(
      'Backup.ShardedCluster.Quiesce: System not quiesced: model-1a did not come to rest in 100 ms: a scan',
    );
    expect(texts().slice(2)).to.deep.equal([RESUMING, RESUMED]);
  });

  it('are one line each, of a length that ends, in a file of the data’s owner', async () => {
    await addMessage(lab.settings, `one\ntwo\u001b[31m ${'x'.repeat(5000)}`);
    await addMessage(lab.settings, 'three');
    const lines = readFileSync(log, 'utf8').split('\n');
    expect(lines).to.have.length(3);
    expect(lines[0])
      .to.match(/^one two \[31m x+…$/)
      .and.have.length.lessThan(1100);
    const { uid, mode } = statSync(log);
    expect(uid).to.equal(statSync(lab.settings.data).uid);
    expect(mode & 0o777).to.equal(0o600);
  });

  it('are written to no file that its name leads to: no link, no pipe, nothing that has another name too', async () => {
    const elsewhere = join(lab.folder, 'elsewhere');
    writeFileSync(elsewhere, 'kept');
    for (const lay of [
      (): void => symlinkSync(elsewhere, log),
      (): void => linkSync(elsewhere, log),
      (): void => void execFileSync('mkfifo', [log]),
    ]) {
      rmSync(log, { force: true });
      lay();
      const refused = await addMessage(lab.settings, 'x').catch((error: unknown) => error);
      expect(refused).to.be.instanceOf(StillpointError).with.nested.property('failure.code', 'unsafe-path');
      expect(readFileSync(elsewhere, 'utf8')).to.equal('kept');
    }
  });
});
