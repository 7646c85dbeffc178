import { expect } from 'chai';
import type { Guardian } from '../../agent/engines/engine.ts';
import { Watch } from '../../agent/guard/watch.ts';
import { readFreezeRecord, openStateDirectory } from '../../agent/state-directory.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a guard undoes until it is done, and nothing that was frozen since. Method: the real watch and a real freeze
// record; a member that refuses as often as it is told to.

const log = createLog({ name: 'test', level: 'silent' });

function memberThat(refusals: number): { guardian: Guardian; calls: () => number } {
  let calls = 0;
  const guardian: Guardian = {
    undo() {
      calls += 1;
      return calls > refusals ? Promise.resolve(null) : Promise.reject(new Error('it is down'));
    },
    close: () => Promise.resolve(),
  };
  return { guardian, calls: () => calls };
}

describe('a guard whose undo fails', () => {
  const folder = temporaryFolder('watch');
  after(() => folder.remove());

  it('tries again as long as it is left, and then no more', async () => {
    const { guardian, calls } = memberThat(2);
    const watch = new Watch({ member: 'aa', guardian, log, isLeft: () => Promise.resolve(true) });
    watch.expect({ kind: 'primary' }, 0, 0);

    await watch.undoNow();

    expect(calls()).to.equal(3);
    expect(watch.isOverdue(1000)).to.equal(false);
  });

  it('does not try again what a new agent has undone, though another operation may have frozen the member anew', async () => {
    const state = await openStateDirectory(folder.path);
    await state.saveFreeze({ member: 'aa', operation: 'first', undo: { kind: 'primary' } });
    const isLeft = async (): Promise<boolean> =>
      (await readFreezeRecord(folder.path, 'aa'))?.operation === 'first';
    const { guardian, calls } = memberThat(1);
    const watch = new Watch({ member: 'aa', guardian, log, isLeft });
    watch.expect({ kind: 'primary' }, 0, 0);

    const undone = watch.undoNow();
    await state.saveFreeze({ member: 'aa', operation: 'second', undo: { kind: 'primary' } });
    await undone;

    expect(calls()).to.equal(1);
    expect(watch.isOverdue(1000)).to.equal(false);
    await watch.undoNow();
    expect(calls()).to.equal(1);
  });
});
