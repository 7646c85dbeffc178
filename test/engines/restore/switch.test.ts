import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  dropOld,
  oldOf,
  readRecord,
  stageOf,
  switchBack,
  switchDirectories,
  writeRecord,
  type SwitchRecord,
} from '../../../agent/engines/restore/directory-switch.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: whatever lies in the directories of a restore, the old ones come back, the new ones go, and nothing else does.

describe('the switch of directories', () => {
  const folder = temporaryFolder('switch');
  after(() => folder.remove());

  async function begun(name: string, existed: boolean): Promise<{ data: string; record: SwitchRecord }> {
    const data = join(folder.path, name, 'data');
    mkdirSync(dirname(data));
    if (existed) fill(data, 'old');
    const record = { format: 1, checkpoint: 'c', directories: [{ path: data, existed }], made: [] } as const;
    await writeRecord(data, record as unknown as SwitchRecord);
    return { data, record: (await readRecord(data)) as SwitchRecord };
  }

  function fill(directory: string, content: string): void {
    mkdirSync(directory);
    writeFileSync(join(directory, 'content'), content);
  }

  function shell(directory: string, script: string): void {
    const { status, stderr } = spawnSync('sh', ['-c', script], { cwd: directory, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }

  const NO_TEXT = `touch "$(printf 'no\\377text')"`;
  const DEEP = 'i=0; while [ $i -lt 250 ]; do mkdir d && cd d; i=$((i+1)); done';

  it('drops an old directory with a name in it that is no text', async () => {
    const { data, record } = await begun('finished', true);
    shell(data, NO_TEXT);
    fill(stageOf(data), 'new');
    await switchDirectories(record);
    await dropOld(data, record);
    expect(readFileSync(join(data, 'content'), 'utf8')).to.equal('new');
    expect(existsSync(dirname(stageOf(data)))).to.equal(false);
  });

  it('goes back over a new directory with a name in it that is no text', async () => {
    const { data, record } = await begun('back', true);
    fill(stageOf(data), 'new');
    await switchDirectories(record);
    shell(data, NO_TEXT);
    await switchBack(data, (await readRecord(data)) ?? record);
    expect(readFileSync(join(data, 'content'), 'utf8')).to.equal('old');
    expect(existsSync(dirname(stageOf(data)))).to.equal(false);
  });

  it('has the old directory back before it fails to remove the new one', async () => {
    const { data, record } = await begun('deep', true);
    fill(stageOf(data), 'new');
    await switchDirectories(record);
    shell(data, DEEP);
    const failure = await switchBack(data, (await readRecord(data)) ?? record).catch(String);
    expect(failure).to.include('levels deep');
    expect(readFileSync(join(data, 'content'), 'utf8')).to.equal('old');
    expect(existsSync(oldOf(data))).to.equal(false);
    expect(await readRecord(data), 'what is left is remembered').to.not.equal(null);
  });

  it('does not take what somebody else made at the name before it', async () => {
    const { data, record } = await begun('made', false);
    fill(data, 'of somebody else');
    await switchBack(data, record);
    expect(readFileSync(join(data, 'content'), 'utf8')).to.equal('of somebody else');
  });

  it('takes away what it put where nothing was', async () => {
    const { data, record } = await begun('new', false);
    fill(stageOf(data), 'new');
    await switchDirectories(record);
    await switchBack(data, (await readRecord(data)) ?? record);
    expect(existsSync(data)).to.equal(false);
  });
});
