import { expect } from 'chai';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStateDirectory } from '../../agent/state-directory.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: what an agent keeps on disk is there for the next one, whenever the first was killed.

describe('the state of an agent', () => {
  const folder = temporaryFolder('state');
  after(() => folder.remove());

  it('is there for the next agent: the highest token, freezes and restores', async () => {
    const path = join(folder.path, 'kept');
    const first = await openStateDirectory(path);
    await first.recordToken({ epoch: 0, counter: 7, attempt: 2 });
    await first.recordToken({ epoch: 0, counter: 7, attempt: 1 });
    await first.saveFreeze({ member: 'aa', undo: { kind: 'primary' } });
    const second = await openStateDirectory(path);
    expect(second.highestToken()).to.deep.equal({ epoch: 0, counter: 7, attempt: 2 });
    expect(await second.freezeRecords()).to.deep.equal([{ member: 'aa', undo: { kind: 'primary' } }]);
    await second.clearFreeze('aa');
    expect(await (await openStateDirectory(path)).freezeRecords()).to.deep.equal([]);
  });

  it('is saved by several at once: restored members of a host have one lineage', async () => {
    const path = join(folder.path, 'at-once');
    const state = await openStateDirectory(path);
    const lineage = crypto.randomUUID();
    await Promise.all(Array.from({ length: 8 }, () => state.saveLineage(lineage)));
    expect(await state.lineage()).to.equal(lineage);
    expect(readdirSync(path)).to.have.members(['freezes', 'lineage.json', 'restores', 'spool']);
  });

  it('has nothing of what a killed agent had only begun to write', async () => {
    const path = join(folder.path, 'begun');
    await openStateDirectory(path);
    for (const place of ['.token.json.new', 'freezes/.aa.json.new', 'restores/.aa.json.new'])
      writeFileSync(join(path, place), '{"half');
    const state = await openStateDirectory(path);
    expect(state.highestToken()).to.equal(null);
    for (const room of ['freezes', 'restores']) expect(readdirSync(join(path, room))).to.deep.equal([]);
    expect(readdirSync(path)).to.have.members(['freezes', 'restores', 'spool']);
  });

  it('keeps no abort from ending where it is gone: nothing is recorded there any more', async () => {
    const path = join(folder.path, 'gone');
    const state = await openStateDirectory(path);
    await state.saveFreeze({ member: 'aa', undo: { kind: 'primary' } });
    rmSync(path, { recursive: true });

    await state.clearFreeze('aa');

    expect(existsSync(path)).to.equal(false);
  });

  it('is an error with the file and what to do when it cannot be read', async () => {
    const path = join(folder.path, 'damaged');
    await openStateDirectory(path);
    writeFileSync(join(path, 'token.json'), '{"half');
    const failure = await openStateDirectory(path).then(
      () => null,
      (error: unknown) => (error instanceof StillpointError ? error.failure : null),
    );
    expect(failure?.code).to.equal('agent-state-damaged');
    expect(failure?.message).to.include(join(path, 'token.json'));
  });

  it('says of a damaged record of a restore where to look, and not to remove it before', async () => {
    const path = join(folder.path, 'half a restore');
    const state = await openStateDirectory(path);
    const record = join(path, 'restores', 'aa.json');
    writeFileSync(record, '{"half');
    const error = await state.restoreRecords().catch((reason: unknown) => reason);
    const { message, hint } = (error as StillpointError).failure;
    expect(message).to.include(record);
    expect(hint)
      .to.include('restore.json')
      .and.include('--finish')
      .and.not.match(/remove|synchronous_standby_names/);
  });
});
