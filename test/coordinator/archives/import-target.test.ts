import { expect } from 'chai';
import type { AgentConnection } from '../../../coordinator/agents.ts';
import { importTarget } from '../../../coordinator/archives/import-target.ts';
import type { StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberDescription } from '../../../shared/domain/grid.ts';
import { describedHost, describedMember } from '../descriptions.ts';

// Goal: an archive becomes the state of the members that are meant, and of no others where that is not clear.

const ARCHIVES = { domain: 'cluster one', copies: 'one', archive: 'backup.zip' } as const;

function clustered(
  name: string,
  copyset: string,
  changes: Partial<MemberDescription> = {},
): MemberDescription {
  return describedMember(name, { engine: 'memory', copyset, primary: false, ...changes, traits: ARCHIVES });
}

const described = (...members: readonly MemberDescription[]) =>
  members.map((member, index) => ({
    connection: {} as AgentConnection,
    host: describedHost(`host-${index}`, [member]),
    repositoryId: 'r',
  }));

const ONE = [clustered('a1', 'a'), clustered('a2', 'a', { primary: true }), clustered('a3', 'a')];
const PLAIN = describedMember('pa');

const chosen = (members: readonly MemberDescription[], named: string | null = null): string =>
  importTarget(described(...members), named).description.name;

function refusal(members: readonly MemberDescription[], named: string | null = null): StillpointError {
  try {
    chosen(members, named);
  } catch (error) {
    return error as StillpointError;
  }
  return expect.fail('one was chosen');
}

describe('the member whose archive is imported', () => {
  it('is who leads the only group that has archives, whoever else is in the grid', () => {
    expect(chosen([PLAIN, ...ONE])).to.equal('a2');
  });

  it('is any of that group where nobody of it leads, or runs', () => {
    const down = ONE.map((member) => ({
      ...member,
      running: false,
      traits: { ...member.traits, domain: member.name },
    }));
    expect(chosen(down)).to.equal('a1');
    expect(chosen([clustered('a1', 'a', { running: false, primary: true }), clustered('a2', 'a')])).to.equal(
      'a1',
    );
  });

  it('is who is named, by name or address', () => {
    const two = [...ONE, clustered('b1', 'b')];
    expect(chosen(two, 'b1')).to.equal('b1');
    expect(chosen(two, 'a3.example:5432')).to.equal('a3');
  });

  it('is nobody where several groups have archives: they are named, with how to say which', () => {
    const { failure, exitCode } = refusal([...ONE, clustered('b1', 'b')]);
    expect([failure.code, exitCode]).to.deep.equal(['import-ambiguous', 2]);
    expect(failure.hint).to.contain('a (--member a1.example:5432), b (--member b1.example:5432)');
  });

  it('is nobody where no engine has archives, nor where one is named that has none, or is not there', () => {
    for (const [members, named, code, exit] of [
      [[PLAIN], null, 'archive-unsupported', 3],
      [[PLAIN, ...ONE], 'pa', 'archive-unsupported', 3],
      [[PLAIN, ...ONE], 'nobody', 'unknown-member', 2],
    ] as const) {
      const { failure, exitCode } = refusal(members, named);
      expect([failure.code, exitCode]).to.deep.equal([code, exit]);
    }
  });
});
