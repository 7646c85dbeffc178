import { expect } from 'chai';
import type { AgentRequest, AgentResponse } from '../../shared/domain/wire.ts';
import { firstToken as token, HeldHost, settled } from './held-host.ts';
import { claim, HELLO, PREPARE, served, type ToldStream } from './served-host.ts';

// Goal: an agent notes what it was asked and what it said where a coordinator wants to know that, tells it to whoever holds
// it, and notes nothing for anybody else. Method: the real service behind streams that the test writes and reads.

const traced: AgentRequest = { ...(claim('one') as Extract<AgentRequest, { type: 'claim' }>), trace: true };
const READ: AgentRequest = { type: 'readTrace', id: 9 };

function command(asked: Extract<AgentRequest, { type: 'member' }>['command']): AgentRequest {
  return { type: 'member', member: 'a', command: asked };
}

async function takesPart(stream: ToldStream, claimed: AgentRequest): Promise<void> {
  await stream.says(HELLO, { type: 'describe', id: 2 }, claimed);
  while (!stream.heard.includes('described')) await settled();
  await stream.says(PREPARE);
  await stream.says(command({ type: 'arm', token, leaseMs: 1000 }));
  await stream.says(command({ type: 'freeze', token, leaseMs: 1000 }));
  await stream.says(command({ type: 'renew', token }));
  await stream.says(command({ type: 'thaw', token }));
}

type Traced = Extract<AgentResponse, { type: 'traced' }>;

function stepsTold(stream: ToldStream): string[] {
  const told = stream.sent.find((response): response is Traced => response.type === 'traced');
  return (told?.trace.steps ?? []).map(({ member, step }) => `${member}: ${step}`);
}

describe('an agent that is asked for the steps of a checkpoint', () => {
  it('says with the claim that it notes them, and tells them in their order when it is asked', async () => {
    const { opened } = served(new HeldHost(['a']));
    const stream = opened();
    await takesPart(stream, traced);
    await stream.says(READ);
    expect(stream.sent.find(({ type }) => type === 'claimed')).to.include({ traced: true });
    expect(stepsTold(stream)).to.deep.equal([
      'a: prepare received',
      'a: prepared sent',
      'a: arm received',
      'a: armed sent',
      'a: freeze received',
      'a: marked sent',
      'a: thaw received',
      'a: released sent',
      'a: thawed sent',
    ]);
  });

  it('has them of an abort too', async () => {
    const { opened } = served(new HeldHost(['a']));
    const stream = opened();
    await stream.says(HELLO, { type: 'describe', id: 2 }, traced);
    while (!stream.heard.includes('described')) await settled();
    await stream.says(PREPARE, command({ type: 'abort', token: null }));
    await stream.says(READ);
    expect(stepsTold(stream)).to.include.members([
      'a: prepare received',
      'a: abort received',
      'a: aborted sent',
    ]);
  });

  it('notes none where nobody has asked for them with the claim', async () => {
    const { opened } = served(new HeldHost(['a']));
    const stream = opened();
    await takesPart(stream, claim('one'));
    await stream.says(READ);
    expect(stream.sent.find(({ type }) => type === 'claimed')).to.not.have.property('traced');
    expect(stream.heard.at(-1)).to.equal('failed not-claimed');
  });

  it('tells them to nobody but the holder, and forgets them with the claim', async () => {
    const { opened } = served(new HeldHost(['a']));
    const [holder, other] = [opened(), opened()];
    await takesPart(holder, traced);
    await other.says(HELLO, READ);
    expect(other.heard).to.deep.equal(['welcome', 'failed not-claimed']);
    await holder.says({ type: 'release', id: 5 });
    await settled();
    await holder.says(READ);
    expect(holder.heard.at(-1)).to.equal('failed not-claimed');
  });

  it('says with every rehearsal what its clock shows', async () => {
    const { opened } = served(new HeldHost(['a']));
    const stream = opened();
    const before = Number(process.hrtime.bigint()) / 1e6;
    await stream.says(HELLO, { type: 'rehearse', id: 3 });
    const done = stream.sent.find(({ type }) => type === 'done');
    if (done?.type !== 'done') throw new Error('it was not answered');
    expect(done.clockMs).to.be.within(before - 1, Number(process.hrtime.bigint()) / 1e6 + 1);
  });
});
