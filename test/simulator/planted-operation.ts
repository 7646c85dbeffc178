import type { ClaimedOperation, ClaimedWork, ClaimRequest } from '../../agent/host-claim.ts';
import { handIn, plant, type Planted } from './plant.ts';

const OPERATION = '../agent/checkpoint-operation';
const HOST = '../agent/host-claim';
const GUARD = '../agent/guard/guard';

/** What an agent has of a claim and of a checkpoint, and its side of the guard. */
export const PLANTED_IN_THE_OPERATION: readonly Planted[] = [
  // The claim.
  handIn('a-claim-is-not-released', 'next-succeeds', ({ hostClaim: { HostClaim } }) => ({
    hostClaim: {
      HostClaim: class<Work extends ClaimedWork> extends HostClaim<Work> {
        override claim(
          request: ClaimRequest,
          begin: (ended: () => void) => Work,
        ): Promise<ClaimedOperation<Work>> {
          return super.claim(request, (ended) => {
            const work = begin(ended);
            return { ...work, end: () => work.end().then(() => new Promise<never>(() => undefined)) };
          });
        }
      },
    },
  })),
  plant('a-claim-does-not-hear-its-holder', 'claim', [
    HOST,
    'if (isOurs()) held.claim = ',
    'if (isOurs() && this.#clock.now() < 0) held.claim = ',
  ]),
  plant('a-newcomer-does-not-wait-for-the-end', 'ends', [
    HOST,
    'await this.#endWithin(held, request.leaseMs);',
    'void this.#endWithin(held, request.leaseMs).catch(() => undefined);\n      break;',
  ]),
  plant('a-stream-that-closes-ends-what-another-has-taken-up', 'ends', [
    HOST,
    'held.streams === stream;',
    'held.streams >= stream;',
  ]),
  plant('a-stream-that-closes-ends-what-could-be-kept', 'resumes', [
    HOST,
    '(held.ending === null && held.work.streamClosed())',
    '(held.ending !== null && held.work.streamClosed())',
  ]),

  // The operation.
  plant('each-command-begins-anew', 'no-reason', [
    OPERATION,
    'this.#runtimes.get(member) ?? this.#begin(member, command)',
    'this.#begin(member, command)',
  ]),
  handIn('an-operation-says-late-who-is-frozen', 'truth', ({ checkpoint: { CheckpointOperation } }) => ({
    checkpoint: {
      CheckpointOperation: class extends CheckpointOperation {
        readonly #late: ReadonlySet<string>[] = [new Set(), new Set()];

        override get frozenMembers(): ReadonlySet<string> {
          this.#late.push(super.frozenMembers);
          return this.#late.shift() ?? new Set();
        }
      },
    },
  })),
  handIn('an-operation-does-not-pass-words-on', 'lease-lasts', ({ checkpoint: { CheckpointOperation } }) => ({
    checkpoint: {
      CheckpointOperation: class extends CheckpointOperation {
        override messageReceived(): void {}
      },
    },
  })),
  handIn('an-operation-is-over-at-once', 'claim', ({ checkpoint: { CheckpointOperation } }) => ({
    checkpoint: {
      CheckpointOperation: class extends CheckpointOperation {
        override end(): Promise<void> {
          void super.end();
          return Promise.resolve();
        }
      },
    },
  })),
  plant(
    'a-prepare-begins-anew-while-an-abort-waits',
    'claim',
    [
      OPERATION,
      'if (this.#ending !== null) return;\n    const failure = this.#refusal',
      'const failure = this.#refusal',
    ],
    [
      OPERATION,
      'this.#runtimes.get(member) ?? this.#begin(member, command)',
      '(this.#ending === null ? this.#runtimes.get(member) : null) ?? this.#begin(member, command)',
    ],
  ),
  plant('an-operation-does-not-end-its-members', 'next-succeeds', [
    OPERATION,
    'for (const runtime of this.#runtimes.values()) runtime.operationEnded();',
    '',
  ]),
  plant('a-freeze-is-charged-after-its-end', 'truth', [
    OPERATION,
    'runtime.closed));\n    this.#charge?.end();',
    'runtime.closed));',
  ]),
  plant('a-resumed-operation-answers-nobody', 'resumes', [
    OPERATION,
    'this.#listener = listener;\n    for',
    'for',
  ]),

  // The guard.
  plant('an-operation-goes-on-without-its-guard', 'thaws-by-itself', [
    OPERATION,
    'lost: () => void this.end(),',
    'lost: () => undefined,',
  ]),
  plant('a-guard-is-not-ended', 'ends', [OPERATION, 'await this.#guard?.end();', '']),
  plant('a-guard-is-left-and-its-pipe-stays-open', 'ends', [GUARD, 'this.#process.hangUp();', '']),
];
