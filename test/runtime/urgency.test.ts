import { expect } from 'chai';
import { constants, getPriority } from 'node:os';
import { beUrgent } from '../../shared/runtime/urgency.ts';
import { mayBeUrgent } from '../lab/urgency.ts';

describe('a process that is urgent', () => {
  it('goes before others as long as anybody asks for it, and is as before when the last one has calmed down', () => {
    const usual = getPriority();
    const urgent = mayBeUrgent() ? constants.priority.PRIORITY_HIGHEST : usual;

    const first = beUrgent();
    const second = beUrgent();
    const both = getPriority();
    first();
    first();
    const one = getPriority();
    second();
    const none = getPriority();

    expect({ both, one, none }).to.deep.equal({ both: urgent, one: urgent, none: usual });
  });
});
