import { expect } from 'chai';
import { HostClaim, type ClaimedWork } from '../../agent/host-claim.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { createLog } from '../../shared/runtime/log.ts';

const log = createLog({ name: 'test', level: 'silent' });
const cause: Failure = { code: 'postgres-privilege', message: 'permission denied', hint: 'grant it' };

function work(end: () => Promise<void>, unfinished: readonly [string, Failure][] = []): () => ClaimedWork {
  return () => ({
    frozenMembers: () => new Set(),
    mayHold: () => false,
    unfinished: () => new Map(unfinished),
    mayBeResumed: () => false,
    streamClosed: () => false,
    end,
  });
}

const claim = (
  operation: string,
  leaseMs: number,
): { operation: string; holder: string; leaseMs: number } => ({
  operation,
  holder: `${operation}@host`,
  leaseMs,
});

describe('a claim on a host whose last operation cannot end', () => {
  it('is refused after a lease, with what the end waits for', async () => {
    const hosts = new HostClaim(log);
    const never = Promise.withResolvers<void>();
    const first = await hosts.claim(
      claim('first', 10_000),
      work(() => never.promise, [['aa', cause]]),
    );
    void first.end();
    const began = performance.now();

    const failure = await hosts
      .claim(
        claim('second', 100),
        work(() => Promise.resolve()),
      )
      .then(
        () => null,
        (error: unknown) => (error instanceof StillpointError ? error.failure : null),
      );

    expect(performance.now() - began).to.be.within(90, 2000);
    expect(failure).to.include({ code: 'grid-busy', member: 'aa', hint: 'grant it' });
    expect(failure?.message).to.include('permission denied').and.include('first@host');
    expect([...hosts.unfinished().keys()]).to.deep.equal(['aa']);
  });

  it('has it as soon as that has ended', async () => {
    const hosts = new HostClaim(log);
    const ending = Promise.withResolvers<void>();
    const first = await hosts.claim(
      claim('first', 10_000),
      work(() => ending.promise),
    );
    void first.end();
    const second = hosts.claim(
      claim('second', 10_000),
      work(() => Promise.resolve()),
    );
    ending.resolve();

    await (await second).end();
  });
});
