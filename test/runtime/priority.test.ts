import { expect } from 'chai';
import { constants, getPriority } from 'node:os';
import { raisePriority } from '../../shared/runtime/priority.ts';
import { mayRaisePriority } from '../lab/priority.ts';

describe('the priority of a process', () => {
  it('is raised as long as anybody asks for it, and is as before when the last one has restored it', () => {
    const usual = getPriority();
    const urgent = mayRaisePriority() ? constants.priority.PRIORITY_HIGHEST : usual;

    const first = raisePriority();
    const second = raisePriority();
    const both = getPriority();
    first();
    first();
    const one = getPriority();
    second();
    const none = getPriority();

    expect({ both, one, none }).to.deep.equal({ both: urgent, one: urgent, none: usual });
  });
});
