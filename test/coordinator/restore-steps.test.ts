import { expect } from 'chai';
import type { AgentConnection } from '../../coordinator/agents.ts';
import type { PlannedMember } from '../../coordinator/planned-member.ts';
import { RestoreSteps } from '../../coordinator/restore-steps.ts';

// Goal: who has interrupted a restore is told what it still waits for, and what else to do.

describe('the steps of a restore', () => {
  it('say of a roll-back that takes long that it goes on, whose, and how not to wait for it', async () => {
    const notes: string[] = [];
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const connection = {
      address: 'alpha:7411',
      restore: async () => {
        await enough;
        return { type: 'done', bytes: 0 };
      },
    } as unknown as AgentConnection;
    const steps = new RestoreSteps({
      connections: [connection],
      progress: {
        phase: () => undefined,
        bytes: () => undefined,
        finish: () => undefined,
        note(text) {
          notes.push(text);
          if (notes.length === 2) resolve();
        },
      },
      signal: new AbortController().signal,
      phase: () => 'start',
      ended: () => undefined,
      stillMs: 5,
    });
    await steps.one({ name: 'k1', to: { host: 'alpha', agent: 'alpha:7411' } } as PlannedMember, {
      type: 'rollBack',
    });
    expect(notes).to.have.length(2);
    expect(notes[0]).to.match(/^k1: still rolling back after \d+ s: .* on alpha .*interrupt once more/);
  });
});
