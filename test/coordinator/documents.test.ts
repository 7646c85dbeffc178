import { expect } from 'chai';
import { applyDocuments } from '../../coordinator/documents/apply.ts';
import { DocumentAgents } from '../../coordinator/documents/document-agents.ts';
import type { KeptDocument } from '../../shared/documents/document.ts';
import { readDocuments } from '../../shared/documents/read-documents.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { BACKUP, keptBackup, keptRestore, RESTORE } from '../documents/documents.ts';
import { describedHost } from './descriptions.ts';
import { patient, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: a document goes to the one agent that is to carry it out, and what an agent that is silent keeps is denied by nobody.

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StillpointError) return error.failure;
    throw error;
  }
  return expect.fail('it was not refused');
}

describe('a document that is applied to a grid of two agents', () => {
  let agents: ScriptedAgents;
  let asked: DocumentAgents;

  before(
    async () => (agents = await scriptedAgents(['alpha', 'beta'].map((host) => describedHost(host, [])))),
  );
  after(() => agents.close());
  beforeEach(async () => {
    agents.asked.length = 0;
    asked = await DocumentAgents.all(agents.gridFile, patient.signal);
  });
  afterEach(() => asked.close());

  const keep = (shelves: Readonly<Record<string, readonly [string[], KeptDocument[]]>>): void => {
    agents.keeps = (host) => {
      const [clusters = [], documents = []] = shelves[host] ?? [];
      return { clusters, documents };
    };
  };
  const apply = (text: string): ReturnType<typeof applyDocuments> =>
    applyDocuments(
      asked,
      readDocuments(text, 'a file').map(({ document }) => document),
    );
  const appliedTo = (): { host: string; backup: string }[] =>
    agents.asked.flatMap(({ host, request }) =>
      request.type === 'applyDocument' ? [{ host, backup: request.backup }] : [],
    );

  it('goes to the agent that has its cluster', async () => {
    keep({ beta: [['source-cluster'], []] });
    const [applied] = await apply(BACKUP);
    expect(applied).to.include({ result: 'created' });
    expect(appliedTo()).to.deep.equal([{ host: 'beta', backup: '' }]);
  });

  it('is refused where no agent has its cluster, or two have', async () => {
    keep({ alpha: [['other'], []], beta: [[], []] });
    expect(await failureOf(apply(BACKUP))).to.deep.include({ code: 'cluster-unknown' });
    expect((await failureOf(apply(BACKUP))).hint).to.include('other');
    keep({ alpha: [['source-cluster'], []], beta: [['source-cluster'], []] });
    expect((await failureOf(apply(BACKUP))).code).to.equal('cluster-twice');
    expect(appliedTo()).to.deep.equal([]);
  });

  it('goes to who keeps one of its name, whatever cluster it names now: there it is held against that [S105] [S106]', async () => {
    keep({ alpha: [['elsewhere'], [keptBackup()]], beta: [['other-cluster'], []] });
    await apply(BACKUP.replace('source-cluster', 'other-cluster'));
    expect(appliedTo().map(({ host }) => host)).to.deep.equal(['alpha']);
  });

  it('takes the Backup with it that a Restore names, from whoever keeps that [S109]', async () => {
    const backup = keptBackup({ archive: { sizeBytes: 7, sha256: 'a'.repeat(64) } });
    keep({ alpha: [[], [keptBackup({}, 'another'), backup]], beta: [['target-cluster'], []] });
    await apply(RESTORE);
    const [applied] = appliedTo();
    expect(applied?.host).to.equal('beta');
    expect(JSON.parse(applied?.backup ?? '')).to.deep.equal(backup);
  });

  it('is refused where nobody keeps that Backup, and tells what was taken before it', async () => {
    keep({ alpha: [['source-cluster'], []], beta: [['target-cluster'], []] });
    const failure = await failureOf(apply(`${BACKUP}---${RESTORE}`));
    expect(failure.code).to.equal('backup-unknown');
    expect(failure.message).to.include('applied before it: Backup my-backup');
  });

  it('is found with all others, page by page, by kind and name', async () => {
    keep({ alpha: [[], [keptBackup({}, 'a'), keptBackup({}, 'b')]], beta: [[], [keptRestore()]] });
    const all = await asked.list(null, null);
    expect(all.map(({ metadata }) => metadata.name)).to.deep.equal(['a', 'b', 'my-restore']);
    expect(await failureOf(asked.list('Backup', 'c'))).to.include({ code: 'document-missing' });
  });

  it('is not denied where an agent is silent, which may keep it', async () => {
    keep({ alpha: [[], [keptBackup()]], beta: [[], []] });
    const [first = ''] = agents.gridFile.agents;
    const some = await DocumentAgents.answering(
      { ...agents.gridFile, agents: [first, '127.0.18.2:1'] },
      patient.signal,
    );
    try {
      expect(await some.list('Backup', 'my-backup')).to.have.length(1);
      expect((await failureOf(some.list('Backup', 'other'))).code).to.equal('agent-unreachable');
    } finally {
      some.close();
    }
  });

  it('is not believed where it is none', async () => {
    agents.keeps = () => ({
      clusters: [],
      documents: [{ ...keptBackup(), status: {} } as unknown as KeptDocument],
    });
    expect((await failureOf(asked.list(null, null))).code).to.equal('bad-message');
  });
});
