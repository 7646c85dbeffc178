import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from '../../agent/engines/engine.ts';
import { openFreezeRecords, openStateDirectory } from '../../agent/state-directory.ts';
import { UndoKeeper } from '../../agent/undo-keeper.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: nothing but the member itself keeps it from being thawed. Method: a real state directory, and engines that
// refuse as often as they are told to.

const log = createLog({ name: 'test', level: 'silent' });

describe('the undo of what a killed agent left', () => {
  const folder = temporaryFolder('undo');
  after(() => folder.remove());

  function memberThat(refusals: number): { name: string; engine: Engine; calls: () => number } {
    let calls = 0;
    const engine: Pick<Engine, 'undo'> = {
      undo() {
        calls += 1;
        if (calls > refusals) return Promise.resolve(null);
        return Promise.reject(
          new StillpointError({ code: 'postgres-unreachable', message: 'it is down', hint: 'start it' }),
        );
      },
    };
    return { name: 'aa', engine: engine as Engine, calls: () => calls };
  }

  it('does not depend on any other file, nor on the record of another member', async () => {
    const path = join(folder.path, 'damaged');
    const state = await openStateDirectory(path);
    await state.saveFreeze({ member: 'aa', undo: { kind: 'primary' } });
    for (const file of ['token.json', 'spent.json', 'freezes/ba.json'])
      writeFileSync(join(path, file), '{"half');
    const member = memberThat(0);
    const keeper = new UndoKeeper(new Map([['aa', member]]), await openFreezeRecords(path), log);

    await keeper.undoAll();
    await keeper.done();

    expect(member.calls()).to.equal(1);
    expect([...keeper.left()].map(([name, { code }]) => [name, code])).to.deep.equal([
      ['ba', 'agent-state-damaged'],
    ]);
  });

  it('is tried until it succeeds, and says meanwhile what keeps it', async () => {
    const path = join(folder.path, 'down');
    const state = await openStateDirectory(path);
    await state.saveFreeze({ member: 'aa', undo: { kind: 'primary' } });
    const member = memberThat(2);
    const keeper = new UndoKeeper(new Map([['aa', member]]), state, log);

    await keeper.undoAll();
    const left = keeper.left();
    await keeper.done();

    expect(left.get('aa')?.message).to.equal('it is down');
    expect(keeper.left().size).to.equal(0);
    expect(await state.freezeRecords()).to.deep.equal([]);
  });

  it('of a member that the agent file does not name any more stays, and is told', async () => {
    const path = join(folder.path, 'unknown');
    const state = await openStateDirectory(path);
    await state.saveFreeze({ member: 'gone', undo: { kind: 'primary' } });
    const keeper = new UndoKeeper(new Map(), state, log);

    await keeper.undoAll();

    expect(keeper.left().get('gone')?.hint).to.include('freezes/gone.json');
    expect(await state.freezeRecords()).to.have.length(1);
  });
});
