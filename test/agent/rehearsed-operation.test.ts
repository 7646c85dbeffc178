import { expect } from 'chai';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import type { AgentRequest } from '../../shared/domain/wire.ts';
import { firstToken as token, HeldHost, settled } from './held-host.ts';
import { claim, HELLO, PREPARE, served, type ToldStream } from './served-host.ts';

// Goal: a stand-in answers as its member would, and nothing at all comes of it: no token, no guard, no undo, no fence. Method:
// the real service behind a stream that the test writes and reads; the host notes what is called.

const DANCE: readonly MemberCommand[] = [
  PREPARE.command,
  { type: 'arm', token, leaseMs: 1000 },
  { type: 'freeze', token, leaseMs: 1000 },
  { type: 'thaw', token },
  { type: 'collect', token },
];

function rehearse(command: MemberCommand, member = 'a'): AgentRequest {
  return { type: 'rehearseMember', member, command };
}

async function danced(stream: ToldStream, dance = DANCE): Promise<string[]> {
  const before = stream.sent.length;
  for (const command of dance) {
    await stream.says(rehearse(command));
    await settled();
  }
  return stream.sent
    .slice(before)
    .map((said) => (said.type === 'rehearsed' ? `${said.member} ${said.answer.type}` : said.type));
}

describe('a stand-in of a member', () => {
  const ANSWERS = ['a prepared', 'a armed', 'a marked', 'a released', 'a thawed', 'a collected'];

  it('answers as the member would, as often as it is asked, and nothing is done on the host', async () => {
    const host = new HeldHost(['a']);
    const { opened, service } = served(host);
    const stream = opened();
    await stream.holds('one');
    await stream.says(PREPARE);
    const done = [...host.calls];
    for (let round = 0; round < 3; round += 1) expect(await danced(stream)).to.deep.equal(ANSWERS);
    expect(host.calls).to.deep.equal(done);
    expect(host.guards.map(({ told }) => told)).to.deep.equal([[]]);
    expect(service.claim.frozenMembers().size).to.equal(0);
    expect(service.claim.mayHold()).to.equal(false);
  });

  it('ends with its lease, and its member is not asked for that', async () => {
    const host = new HeldHost(['a']);
    const { opened, service } = served(host);
    const stream = opened();
    await stream.holds('one');
    await stream.says(PREPARE);
    expect(await danced(stream, DANCE.slice(0, 3))).to.deep.equal(ANSWERS.slice(0, 3));
    expect(service.claim.frozenMembers().size).to.equal(0);
    await host.clock.pass(1100);
    expect(await danced(stream, [{ type: 'thaw', token }])).to.deep.equal(['a refused']);
    expect(host.calls.filter((call) => call === 'a: release')).to.deep.equal([]);
  });

  it('is there after the prepare of its member and before its arm, for the holder alone', async () => {
    const host = new HeldHost(['a']);
    const { opened } = served(host);
    const [stream, other] = [opened(), opened()];
    await other.says(HELLO, rehearse(PREPARE.command));
    await stream.holds('one');
    expect(await danced(stream)).to.deep.equal([]);
    await stream.says(PREPARE);
    expect(await danced(stream)).to.deep.equal(ANSWERS);
    expect(await danced(stream, DANCE.slice(0, 3))).to.deep.equal(ANSWERS.slice(0, 3));
    const before = stream.sent.length;
    await stream.says({ type: 'member', member: 'a', command: { type: 'arm', token, leaseMs: 1000 } });
    await settled();
    expect(stream.heard.slice(before)).to.deep.equal(['armed']);
    expect(await danced(stream)).to.deep.equal([]);
    await stream.says({ type: 'member', member: 'a', command: { type: 'freeze', token, leaseMs: 1000 } });
    await settled();
    expect(stream.heard.at(-1)).to.equal('marked');
    expect(host.calls.filter((call) => call === 'token recorded')).to.have.length(1);
    expect(other.heard).to.deep.equal(['welcome']);
  });

  it('is said with the claim to be there', async () => {
    const { opened } = served(new HeldHost(['a']));
    const stream = opened();
    await stream.says(HELLO, claim('one'));
    expect(stream.sent.find(({ type }) => type === 'claimed')).to.include({ rehearses: true });
  });
});
