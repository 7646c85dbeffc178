import { expect } from 'chai';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { keptRepository } from '../../agent/kept-repository.ts';
import { openStateDirectory, type StateDirectory } from '../../agent/state-directory.ts';
import { initRepository } from '../../shared/repository/open.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { failureOf } from '../repository/samples.ts';

// Goal: an agent stores in the repository that it knows, or in none.
describe('the repository of an agent', () => {
  const folder = temporaryFolder('kept-repository');
  const location = join(folder.path, 'repository');
  const aside = join(folder.path, 'aside');
  let state: StateDirectory;
  let opened: Repository[];

  beforeEach(async () => {
    state = await openStateDirectory(join(folder.path, 'state'));
    opened = [];
  });

  afterEach(async () => {
    await Promise.all(opened.map((one) => one.close()));
    for (const name of readdirSync(folder.path)) rmSync(join(folder.path, name), { recursive: true });
  });

  after(() => folder.remove());

  /** As an agent that was just started. */
  function agent(at = location): () => Promise<Repository> {
    const kept = keptRepository(at, state);
    return async () => {
      const repository = await kept();
      opened.push(repository);
      return repository;
    };
  }

  it('is never made by the agent', async () => {
    mkdirSync(location);

    expect(await failureOf(agent()())).to.include({ code: 'repository-missing' });
    expect(readdirSync(location)).to.deep.equal([]);
    expect(await state.knownRepository()).to.equal(null);
  });

  it('is remembered, and found again when its mount comes late', async () => {
    const { id } = await initRepository(location);
    await agent()();
    expect(await state.knownRepository()).to.deep.equal({ location, id });

    renameSync(location, aside);
    mkdirSync(location);
    const late = agent();
    expect(await failureOf(late())).to.include({ code: 'repository-missing' });
    rmSync(location, { recursive: true });
    renameSync(aside, location);

    expect((await late()).id).to.equal(id);
  });

  it('is missed when its mount goes while the agent runs, and used again when it comes back', async () => {
    const { id } = await initRepository(location);
    const running = agent();
    await running();
    renameSync(location, aside);
    mkdirSync(location);

    expect(await failureOf(running())).to.include({ code: 'repository-missing' });
    expect(readdirSync(location)).to.deep.equal([]);

    rmSync(location, { recursive: true });
    renameSync(aside, location);
    expect((await running()).id).to.equal(id);
  });

  it('is not another one that lies where it is to be mounted, also after a restart', async () => {
    const first = await initRepository(location);
    const running = agent();
    await running();
    renameSync(location, aside);
    const second = await initRepository(location);

    expect(await failureOf(running())).to.include({ code: 'repository-missing' });
    for (const one of [running, agent()]) {
      const changed = await failureOf(one());
      expect(changed).to.include({ code: 'repository-changed' });
      expect(changed.message).to.include(first.id).and.include(second.id);
      expect(changed.hint).to.include('is the right one mounted?').and.include('state/repository.json');
    }
  });

  it('is another one when a person says so: by removing what the agent remembers', async () => {
    await initRepository(location);
    await agent()();
    renameSync(location, aside);
    const { id } = await initRepository(location);

    rmSync(join(folder.path, 'state', 'repository.json'));

    expect((await agent()()).id).to.equal(id);
    expect(await state.knownRepository()).to.deep.equal({ location, id });
  });

  it('is another one when the agent file names another place', async () => {
    await initRepository(location);
    await agent()();
    const { id } = await initRepository(aside);

    expect((await agent(aside)()).id).to.equal(id);
    expect(await failureOf(agent(join(folder.path, 'none'))())).to.include({ code: 'repository-missing' });
    expect(await state.knownRepository()).to.deep.equal({ location: aside, id });
  });
});
