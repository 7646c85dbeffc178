import { expect } from 'chai';
import type { AgentEvents } from '../../coordinator/agents.ts';
import type { AgentStream } from '../../coordinator/checkpoint-run.ts';
import { GatedStream, PreparedGate } from '../../coordinator/prepared-gate.ts';
import { firstToken as token, settled } from '../agent/held-host.ts';

// Goal: what is done between the last word of a prepare and the first arm delays that word and nothing else. Method: streams
// that the test writes to and ends.

const FAILURE = { code: 'agent-lost', message: 'it broke', hint: '' };

class WrittenStream implements AgentStream {
  events: AgentEvents = {};
  isClosed = false;
  command(): void {}
  cut(): void {}
  close(): void {}
}

describe('the gate behind a prepare', () => {
  let opening: PromiseWithResolvers<void>;
  let begun: number;
  let heard: string[];

  beforeEach(() => {
    opening = Promise.withResolvers<void>();
    begun = 0;
    heard = [];
  });

  function gateFor(...members: readonly string[]): PreparedGate {
    return new PreparedGate(members, () => {
      begun += 1;
      return opening.promise;
    });
  }

  function listening(gate: PreparedGate): WrittenStream {
    const stream = new WrittenStream();
    new GatedStream(stream, gate).events = {
      memberAnswered: (member, { type }) => void heard.push(`${member} ${type}`),
      progressed: () => void heard.push('progress'),
      closed: ({ code }) => void heard.push(code),
    };
    return stream;
  }

  it('keeps the word of all until the last has said it and what is done then is done', async () => {
    const stream = listening(gateFor('a', 'b'));
    stream.events.memberAnswered?.('a', { type: 'prepared' });
    await settled();
    expect({ begun, heard }).to.deep.equal({ begun: 0, heard: [] });
    stream.events.memberAnswered?.('b', { type: 'prepared' });
    stream.events.memberAnswered?.('b', { type: 'prepared' });
    await settled();
    expect({ begun, heard }).to.deep.equal({ begun: 1, heard: [] });
    opening.resolve();
    await settled();
    expect(heard).to.deep.equal(['a prepared', 'b prepared', 'b prepared']);
    stream.events.memberAnswered?.('a', { type: 'prepared' });
    expect(heard.at(-1)).to.equal('a prepared');
    expect(begun).to.equal(1);
  });

  it('opens also where what was done failed', async () => {
    const stream = listening(gateFor('a'));
    stream.events.memberAnswered?.('a', { type: 'prepared' });
    opening.reject(new Error('it failed'));
    await settled();
    expect(heard).to.deep.equal(['a prepared']);
  });

  it('lets every other word pass at once', () => {
    const stream = listening(gateFor('a', 'b'));
    stream.events.memberAnswered?.('a', { type: 'failed', failure: FAILURE, state: 'running' });
    stream.events.memberAnswered?.('b', { type: 'aborted', state: 'running' });
    stream.events.memberAnswered?.('b', { type: 'released', token, thawMs: 1 });
    stream.events.progressed?.({ member: 'a', phase: 'copy', bytesDone: 1, bytesTotal: 2, waitsFor: '' });
    expect(heard).to.deep.equal(['a failed', 'b aborted', 'b released', 'progress']);
  });

  it('loses with a stream what was not handed on, and hears it anew from the next', async () => {
    const gate = gateFor('a', 'b');
    const [first, other] = [listening(gate), listening(gate)];
    first.events.memberAnswered?.('a', { type: 'prepared' });
    first.events.closed?.(FAILURE);
    other.events.memberAnswered?.('b', { type: 'prepared' });
    opening.resolve();
    await settled();
    expect(heard).to.deep.equal(['agent-lost', 'b prepared']);
    listening(gate).events.memberAnswered?.('a', { type: 'prepared' });
    expect(heard).to.deep.equal(['agent-lost', 'b prepared', 'a prepared']);
  });
});
