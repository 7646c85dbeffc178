import { expect } from 'chai';
import { OperationMessages } from '../../agent/operation-messages.ts';
import type { Purpose } from '../../shared/domain/purpose.ts';

// Goal: a member's log has the messages that operators know, word for word, in order, each with its time, and nothing is
// written to a disk while the member is held for an instant. Method: what happens to a member, told one after another, with a
// log that notes what it had by then.

const TOKEN = { epoch: 0, counter: 7, attempt: 1 };
const MARK = { journalFile: '000000000004.journal', position: '000000000004.journal:30', name: 'x' };
const HELD = { type: 'held', incarnation: 'i' } as const;
const FREEZE: Purpose = { type: 'freeze', timeOutMs: 600_000 };
const QUIESCE: Purpose = { type: 'quiesce', allowReads: false, timeOutMs: 60_000 };
const QUIESCING = 'Backup.ShardedCluster.Quiesce: Quiescing system';
const QUIESCED = 'Backup.ShardedCluster.Quiesce: System quiesced';
const ENDS =
  'Backup.ShardedCluster.JournalCheckpoint: Journal file 000000000004.journal ends at checkpoint number 7';
const RESUMING = 'Backup.ShardedCluster.Resume: Resuming system';
const RESUMED = 'Backup.ShardedCluster.Resume: System resumed';
const THAWING = 'Backup.General.ExternalThaw: Resuming system';
const THAWED = 'Backup.General.ExternalThaw: System resumed';
const NOT_HELD = 'Backup.General.ExternalThaw: Already resumed';

class Log {
  readonly messages: OperationMessages;
  readonly lines: string[] = [];
  readonly failures: unknown[] = [];
  #second = 0;

  constructor(purpose: Purpose, write?: () => Promise<void>) {
    this.messages = new OperationMessages({
      purpose,
      write: write ?? ((line) => Promise.resolve(void this.lines.push(line))),
      failed: (error) => this.failures.push(error),
      time: () => new Date(Date.UTC(2026, 10, 20, 12, 0, (this.#second += 1))),
    });
  }

  /** Without their times. */
  async texts(): Promise<string[]> {
    await this.messages.written;
    return this.lines.map((line) => line.slice(line.indexOf(' ') + 1));
  }

  held(): this {
    this.messages.suspending();
    this.messages.quiescing();
    this.messages.quiesced(TOKEN, MARK);
    return this;
  }

  letGo(): this {
    this.messages.resuming();
    this.messages.resumed(HELD);
    return this;
  }
}

describe('the messages of an operation', () => {
  it('are, of a journal checkpoint, the four in order, with the file that ends there and the number [S78] [S81]', async () => {
    const log = new Log({ type: 'journalCheckpoint' }).held().letGo();
    expect(await log.texts()).to.deep.equal([QUIESCING, QUIESCED, ENDS, RESUMING, RESUMED]);
  });

  it('have their time, in UTC, each its own, though they are written later', async () => {
    const log = new Log({ type: 'journalCheckpoint' }).held().letGo();
    await log.messages.written;
    const times = log.lines.map((line) => line.slice(0, line.indexOf(' ')));
    expect(times[0]).to.equal('2026-11-20T12:00:01.000Z');
    expect(times).to.deep.equal([...new Set(times)].toSorted());
  });

  it('are written when the member is let go of, and of a quiesce when they are true [S126]', async () => {
    for (const [purpose, before] of [
      [{ type: 'journalCheckpoint' }, []],
      [FREEZE, []],
      [QUIESCE, [QUIESCING, QUIESCED, ENDS]],
    ] as const) {
      const log = new Log(purpose).held();
      expect(await log.texts()).to.deep.equal(before);
      expect(await log.letGo().texts()).to.deep.equal([QUIESCING, QUIESCED, ENDS, RESUMING, RESUMED]);
    }
  });

  it('are, of a freeze, those of its journal checkpoint, which are no thaw, and at its end those of the thaw [S82] [S91]', async () => {
    const log = new Log(FREEZE).held().letGo();
    const inside = [QUIESCING, QUIESCED, ENDS, RESUMING, RESUMED];
    expect(await log.texts()).to.deep.equal(inside);
    log.messages.thawing();
    log.messages.thawed({ held: true });
    log.messages.over();
    expect(await log.texts()).to.deep.equal([...inside, THAWING, THAWED]);
  });

  it('say of a freeze that did not hold, and of one that was given up, that it was resumed already [S91]', async () => {
    const ended = new Log(FREEZE).held().letGo();
    ended.messages.thawing();
    ended.messages.thawed({ held: false, cause: 'its lease had ended' });
    const givenUp = new Log(FREEZE).held().letGo();
    givenUp.messages.over();
    const failed = new Log(FREEZE).held().letGo();
    failed.messages.thawing();
    failed.messages.over();
    for (const log of [ended, givenUp, failed])
      expect((await log.texts()).slice(-2)).to.deep.equal([THAWING, NOT_HELD]);
  });

  it('name what had not come to rest, and that the system was resumed [S71] [S72]', async () => {
    const log = new Log(QUIESCE);
    log.messages.quiescing();
    const message = 'a1 did not come to rest in 60000 ms: a scan of table orders by client 7';
    log.messages.notQuiesced({ code: 'fence-not-reached', message, hint: 'end it' });
    log.messages.over();
    const named = `Backup.ShardedCluster.Quiesce: System not quiesced: ${message}`;
    expect(await log.texts()).to.deep.equal([QUIESCING, named, RESUMING, RESUMED]);
  });

  it('do not say that a quiesce held which had ended by itself [S75]', async () => {
    const log = new Log(QUIESCE).held();
    log.messages.resuming();
    log.messages.resumed({
      type: 'alreadyResumed',
      incarnation: 'i',
      cause: 'the lease of 12000 ms ran out',
    });
    expect((await log.texts()).at(-1)).to.equal(
      'Backup.ShardedCluster.Resume: Already resumed: the lease of 12000 ms ran out',
    );
  });

  it('are none of a checkpoint, and none of what never began', async () => {
    const checkpoint = new Log({ type: 'checkpoint' }).held().letGo();
    checkpoint.messages.over();
    expect(await checkpoint.texts()).to.deep.equal([]);
    const quiesce = new Log(QUIESCE);
    quiesce.messages.over();
    expect(await quiesce.texts()).to.deep.equal([]);
  });

  it('that cannot be written keep nothing from going on, and the next is tried', async () => {
    const log = new Log(QUIESCE, () => Promise.reject(new Error('the disk is full'))).held().letGo();
    await log.messages.written;
    expect(log.failures.map(String)).to.deep.equal(
      Array.from({ length: 5 }, () => 'Error: the disk is full'),
    );
  });
});
