import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lookAtAge } from '../../coordinator/checkpoint-age.ts';
import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import { stillpoint } from '../lab/processes.ts';
import { gridManifest, LINEAGE, storeImported, storeMember } from '../repository/samples.ts';
import { describedHost, describedMember } from './descriptions.ts';
import { patient, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: a monitor learns by one exit code that no checkpoint was made for too long. Method: a repository with
// checkpoints of chosen times, and the command.

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 10, 20, 12);
const OTHER = '11111111-2222-4333-8444-555555555555';

describe('the age of the newest valid checkpoint', () => {
  let agents: ScriptedAgents;
  let counter = 0;
  beforeEach(async () => {
    agents = await scriptedAgents([describedHost('alpha', [describedMember('aa')])]);
  });
  afterEach(() => agents.close());

  async function store(at: number, lineage = LINEAGE): Promise<string> {
    counter += 1;
    const checkpoint = formatCheckpointId({ at: new Date(at), epoch: 0, counter, name: 'nightly' });
    const member = await storeMember(agents.repository, checkpoint, 'aa', { rows: Buffer.from('rows') });
    await agents.repository.commit({ ...gridManifest(checkpoint, [member]), lineage });
    return checkpoint;
  }

  const look = (now = NOW): ReturnType<typeof lookAtAge> =>
    lookAtAge({
      gridFile: agents.gridFile,
      hosts: agents.hosts,
      maxAgeMs: 26 * HOUR,
      now,
      signal: patient.signal,
    });

  it('counts from when it was begun, and is told when it is more than what is allowed', async () => {
    await store(NOW - 50 * HOUR);
    const checkpoint = await store(NOW - 25 * HOUR);

    expect(await look()).to.deep.equal({ newest: { checkpoint, ageSeconds: 25 * 3600 }, problems: [] });
    expect((await look(NOW + HOUR)).problems).to.deep.equal([]);
    const { problems } = await look(NOW + HOUR + 1000);
    expect(problems.map(({ code }) => code)).to.deep.equal(['checkpoint-too-old']);
    expect(problems[0]?.message).to.equal(
      `${checkpoint}, the newest valid checkpoint, was begun 26 h ago; 26 h are allowed`,
    );
  });

  it('is that of what was made of the living grid: an archive that was imported makes it no younger', async () => {
    const checkpoint = await store(NOW - 30 * HOUR);
    counter += 1;
    await storeImported(
      agents.repository,
      formatCheckpointId({ at: new Date(NOW), epoch: 0, counter, name: 'imported' }),
    );

    expect((await look()).newest?.checkpoint).to.equal(checkpoint);
    expect((await look()).problems).to.have.length(1);
  });

  it('is that of the lineage of the hosts: one of a copy makes this grid no younger', async () => {
    const checkpoint = await store(NOW - 30 * HOUR);
    await store(NOW - HOUR, OTHER);

    const { newest, problems } = await look();

    expect(newest).to.deep.equal({ checkpoint, ageSeconds: 30 * 3600 });
    expect(problems.map(({ code }) => code)).to.deep.equal(['checkpoint-too-old']);
  });

  it('is not known where a clock was ahead, where there is none, and where the repository is away', async () => {
    expect((await look()).problems.map(({ code }) => code)).to.deep.equal(['checkpoint-too-old']);
    await store(NOW + 10 * HOUR);
    expect((await look()).problems.map(({ code }) => code)).to.deep.equal(['time-leap']);
    const gridFile = { ...agents.gridFile, repository: join(agents.gridFile.repository, 'nowhere') };
    const away = await lookAtAge({
      gridFile,
      hosts: agents.hosts,
      maxAgeMs: HOUR,
      now: NOW,
      signal: patient.signal,
    });
    expect(away.newest).to.equal(null);
    expect(away.problems.map(({ code }) => code)).to.deep.equal(['repository-missing']);
  });

  it('makes grid status end with 6 where it was asked for, and 0 where it was not', async () => {
    const file = join(agents.gridFile.repository, '..', 'age.yaml');
    writeFileSync(file, JSON.stringify(agents.gridFile));
    const status = (...more: string[]): ReturnType<typeof stillpoint> =>
      stillpoint(['grid', 'status', '--grid', file, ...more, '--output', 'json']);
    const checkpoint = await store(Date.now() - 27 * HOUR);

    const old = await status('--max-age', '26h');
    expect(old.code, old.stderr).to.equal(6);
    expect(old.json).to.have.nested.property('newest.checkpoint', checkpoint);
    expect(old.json).to.have.nested.property('problems[0].code', 'checkpoint-too-old');
    expect((await status('--max-age', '28h')).code).to.equal(0);
    const unasked = await status();
    expect(unasked.code).to.equal(0);
    expect(unasked.json).to.not.have.property('newest');
    expect((await status('--max-age', 'soon')).code).to.equal(2);
  });
});
