import { expect } from 'chai';
import type { AgentConnection } from '../../coordinator/agents.ts';
import {
  joinLineage,
  lineageAfterRestore,
  lineageOfHosts,
  lineageToCreate,
  lineageToPrune,
  lineageToSelect,
} from '../../coordinator/lineage.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { warningLine } from '../../shared/domain/warning.ts';
import { checkpointId } from '../repository/samples.ts';
import { manifestOf } from './descriptions.ts';

// Goal: production and its copies share a name and a repository, and nothing else.

const [PRODUCTION, COPY] = ['aaaaaaaa-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002'];
type Entries = Parameters<typeof lineageToCreate>[0]['entries'];

/** Newest first. */
const entries = (...lineages: string[]): Entries =>
  lineages.map((lineage, index) => ({
    checkpoint: checkpointId(lineages.length - index),
    state: 'valid',
    manifest: { ...manifestOf([]), lineage },
  }));
const hosts = (...lineages: (string | null)[]): { host: string; lineage: string | null }[] =>
  lineages.map((lineage, index) => ({ host: `host-${index}`, lineage }));
const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return 'accepted';
  } catch (error) {
    if (error instanceof StillpointError) return error.failure.code;
    throw error;
  }
};
const create = (changes: Partial<Parameters<typeof lineageToCreate>[0]>): string =>
  lineageToCreate({ hosts: hosts(null, null), entries: [], adopt: null, ...changes });

describe('the lineage of a checkpoint that is created', () => {
  it('is a new one for the first of a grid', () => {
    expect(create({}))
      .to.match(/^[0-9a-f-]{36}$/)
      .and.not.equal(create({}));
  });

  it('is that of its hosts, whatever else the repository holds', () => {
    const [both, known] = [entries(COPY, PRODUCTION), hosts(PRODUCTION, PRODUCTION)];
    expect(create({ hosts: known, entries: both })).to.equal(PRODUCTION);
    expect(create({ hosts: hosts(COPY, COPY), entries: both })).to.equal(COPY);
    expect(create({ hosts: known })).to.equal(PRODUCTION);
    // A host that joined, or was installed anew.
    expect(create({ hosts: hosts(PRODUCTION, null), entries: both })).to.equal(PRODUCTION);
  });

  it('is taken over from nobody without a word', async () => {
    expect(await codeOf(() => create({ entries: entries(PRODUCTION) }))).to.equal('lineage-unknown');
    const damaged: Entries = [{ checkpoint: checkpointId(1), state: 'damaged', manifest: null }];
    expect(await codeOf(() => create({ entries: damaged }))).to.equal('lineage-unknown');
    expect(await codeOf(() => create({ hosts: hosts(PRODUCTION, COPY) }))).to.equal('lineage-differs');
    const leftovers: Entries = [{ checkpoint: checkpointId(1), state: 'uncommitted', manifest: null }];
    expect(create({ entries: leftovers })).to.match(/^[0-9a-f-]{36}$/);
  });

  it('is the one that is adopted, named where there are several', async () => {
    expect(create({ entries: entries(PRODUCTION), adopt: true })).to.equal(PRODUCTION);
    const both = entries(COPY, PRODUCTION);
    expect(await codeOf(() => create({ entries: both, adopt: true }))).to.equal('lineage-ambiguous');
    expect(create({ entries: both, adopt: 'aaaa', hosts: hosts(COPY, PRODUCTION) })).to.equal(PRODUCTION);
    expect(await codeOf(() => create({ entries: both, adopt: 'cccc' }))).to.equal('lineage-missing');
  });
});

describe('the lineage of a grid that was restored', () => {
  const place = (host: string) => ({ member: 'aa', host, address: `${host}:5432` });
  const planned = (from: string, to: string) => ({
    from: place(from),
    to: { ...place(to), agent: `${to}:7411`, dataDirectory: '/d' },
  });

  it('is that of the checkpoint in place, and a new one elsewhere', () => {
    const manifest = { lineage: PRODUCTION };
    const inPlace = [planned('a', 'a'), planned('b', 'b')];
    expect(lineageAfterRestore(manifest, inPlace, hosts(COPY))).to.equal(PRODUCTION);
    const [one, other] = [0, 1].map(() =>
      lineageAfterRestore(manifest, [planned('a', 'a'), planned('b', 'c')], hosts(PRODUCTION)),
    );
    expect(new Set([PRODUCTION, one, other]).size).to.equal(3);
    expect(lineageOfHosts(hosts(one ?? null, null))).to.equal(one);
  });

  it('stays what it is where an archive was imported, and is a new one where nobody knows any', () => {
    const imported = { file: 'a.zip', sha256: '', writtenAt: null };
    const manifest = { lineage: PRODUCTION, imported };
    for (const places of [[planned('a', 'a')], [planned('a', 'c')]])
      expect(lineageAfterRestore(manifest, places, hosts(COPY, null))).to.equal(COPY);
    expect(lineageAfterRestore(manifest, [planned('a', 'a')], hosts(null))).to.equal(PRODUCTION);
    expect(lineageAfterRestore(manifest, [planned('a', 'c')], hosts(null))).to.not.equal(PRODUCTION);
  });
});

describe('the lineage that a command means', () => {
  it('is that of the hosts, or the only one, or is named', async () => {
    const both = entries(COPY, PRODUCTION);
    const never = (): Promise<never> => Promise.reject(new Error('asked'));
    const select = (changes: Partial<Parameters<typeof lineageToSelect>[0]>): Promise<string | null> =>
      lineageToSelect({ entries: both, named: null, ask: null, ...changes });
    expect(await select({ entries: entries(COPY), ask: never })).to.equal(COPY);
    expect(await select({ named: 'aaaaaaaa', ask: never })).to.equal(PRODUCTION);
    expect(await select({ ask: () => Promise.resolve(hosts(PRODUCTION)) })).to.equal(PRODUCTION);
    expect(await codeOf(() => select({ ask: () => Promise.resolve(hosts(null)) }))).to.equal(
      'lineage-ambiguous',
    );
    expect(await codeOf(() => select({ ask: never }))).to.equal('lineage-ambiguous');
    expect(await codeOf(() => select({}))).to.equal('lineage-ambiguous');
  });

  it('is never guessed by a prune', async () => {
    const one = entries(PRODUCTION);
    const prune = (changes: Partial<Parameters<typeof lineageToPrune>[0]>): string | null =>
      lineageToPrune({ hosts: null, entries: one, named: null, ...changes });
    expect(prune({})).to.equal(PRODUCTION);
    expect(prune({ hosts: hosts(COPY) })).to.equal(COPY);
    expect(await codeOf(() => prune({ hosts: hosts(null) }))).to.equal('lineage-unknown');
    expect(prune({ hosts: hosts(null), named: 'aaaa' })).to.equal(PRODUCTION);
    expect(await codeOf(() => prune({ entries: entries(COPY, PRODUCTION) }))).to.equal('lineage-ambiguous');
    expect(prune({ entries: [], hosts: hosts(null) })).to.equal(null);
  });

  it('is told of each host that could not be told of it', async () => {
    const joined = { host: 'alpha', joinLineage: () => Promise.resolve() };
    const away = { host: 'beta', joinLineage: () => Promise.reject(new Error('it is away')) };
    const warnings = await joinLineage([joined, away] as unknown as AgentConnection[], COPY);
    expect(warnings.map(warningLine)).to.deep.equal([
      `beta: does not know yet that its grid is of lineage ${COPY} (it is away); create the next checkpoint with --adopt`,
    ]);
  });
});
