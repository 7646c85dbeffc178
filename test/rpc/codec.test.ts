import { expect } from 'chai';
import fc from 'fast-check';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import type { Purpose } from '../../shared/domain/purpose.ts';
import {
  NAMED_ADDRESS_STATES,
  type AgentRequest,
  type AgentResponse,
  type RestoreStep,
} from '../../shared/domain/wire.ts';
import { AgentMessage, CoordinatorMessage } from '../../shared/rpc/generated/agent.ts';
import { decodeRequest, encodeRequest } from '../../shared/rpc/request-codec.ts';
import { decodeResponse, encodeResponse } from '../../shared/rpc/response-codec.ts';
import { describedHost, describedMember } from '../coordinator/descriptions.ts';

// Goal: what is said on one side is heard on the other, to the letter. Method: any value, there and back,
// through the very bytes.

const text = fc.string({ maxLength: 30 });
const id = fc.nat();
const ms = fc.double({ min: 0.1, max: 600_000, noNaN: true });
const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/);
const count = fc.nat();
const token = fc.record({ epoch: fc.nat(), counter: fc.nat(), attempt: fc.nat() });
const failure = fc
  .record({ code: text, message: text, hint: text, host: fc.option(text), member: fc.option(text) })
  .map(({ host, member, ...rest }) => ({
    ...rest,
    ...(host !== null && { host }),
    ...(member !== null && { member }),
  }));

const process = fc.record({ name: text, address: text, dataDirectory: text, running: fc.boolean() });
const processes = fc.array(process, { maxLength: 2 });

const purposes: fc.Arbitrary<Purpose> = fc.oneof(
  fc.record({ type: fc.constantFrom('checkpoint' as const, 'journalCheckpoint' as const) }),
  fc.record({ type: fc.constant('quiesce' as const), allowReads: fc.boolean(), timeOutMs: ms }),
  fc.record({ type: fc.constant('freeze' as const), timeOutMs: ms }),
);

const commands: fc.Arbitrary<MemberCommand> = fc.oneof(
  fc.record({
    type: fc.constant('prepare' as const),
    checkpoint: text,
    assignment: fc.record({
      hold: fc.constantFrom('member' as const, 'lead' as const, 'none' as const),
      part: fc.constantFrom('whole' as const, 'journal' as const, 'none' as const),
    }),
    maintenance: fc.boolean(),
    purpose: purposes,
  }),
  fc.record({ type: fc.constantFrom('arm' as const, 'freeze' as const), token, leaseMs: ms }),
  fc.record({ type: fc.constantFrom('thaw' as const, 'renew' as const, 'collect' as const), token }),
  fc.record({ type: fc.constant('abort' as const), token: fc.option(token) }),
);

const imageReference = fc.record({
  set: text,
  digest: text,
  approach: fc.constantFrom('journals' as const, 'quiesce' as const, 'freeze' as const),
});

const stagePlan = {
  restoreId: text,
  grid: text,
  checkpoint: text,
  source: fc.record({ member: text, digest: text }),
  own: fc.option(fc.record({ member: text, digest: text })),
  follow: fc.option(text),
};
const movesOfSome = fc.array(fc.record({ from: text, to: text }));
const moves = fc.record({ members: movesOfSome, hosts: movesOfSome });
const addresses = fc.array(
  fc.record({
    database: text,
    kind: text,
    name: text,
    from: text,
    to: text,
    state: fc.constantFrom(...NAMED_ADDRESS_STATES),
    why: text,
  }),
);

const steps: fc.Arbitrary<RestoreStep> = fc.oneof(
  fc.record({
    type: fc.constantFrom(
      'isRunning',
      'stop',
      'switchIn',
      'start',
      'verify',
      'ready',
      'open',
      'finish',
      'rollBack',
      'admitDrill',
      'keep',
    ),
  }) as fc.Arbitrary<RestoreStep>,
  fc.record({
    type: fc.constant('check' as const),
    ...stagePlan,
    moves: fc.option(moves),
  }),
  fc.record({
    type: fc.constant('stage' as const),
    ...stagePlan,
  }),
  fc.record({
    type: fc.constant('stage' as const),
    ...stagePlan,
    image: imageReference,
  }),
  fc.record({
    type: fc.constant('prove' as const),
    committed: fc.array(text),
    standbys: fc.array(text),
    questions: fc.array(fc.record({ name: text, statement: text, database: text })),
    moves: fc.option(moves),
  }),
  fc.record({ type: fc.constant('end' as const), restoreId: text }),
  fc.record({ type: fc.constant('relocate' as const), processes }),
);

const requests: fc.Arbitrary<AgentRequest> = fc.oneof(
  fc.record({ type: fc.constant('hello' as const), protocolVersion: count, grid: text, holder: text }),
  fc.record({
    type: fc.constantFrom(
      'describe' as const,
      'diagnose' as const,
      'release' as const,
      'rehearse' as const,
      'askJob' as const,
      'readTrace' as const,
    ),
    id,
  }),
  fc.record(
    {
      type: fc.constant('claim' as const),
      id,
      operation: name,
      purpose: fc.constantFrom('checkpoint' as const, 'restore' as const),
      leaseMs: ms,
      trace: fc.constant(true as const),
    },
    { requiredKeys: ['type', 'id', 'operation', 'purpose', 'leaseMs'] },
  ),
  fc.constant({ type: 'keepAlive' as const }),
  fc.record({ type: fc.constant('letGo' as const), id, operation: text, force: fc.boolean() }),
  fc.record({ type: fc.constant('settle' as const), id, checkpoint: text }),
  fc.record({ type: fc.constant('dropLocal' as const), id, checkpoints: fc.array(text, { maxLength: 3 }) }),
  fc.record({ type: fc.constant('readLocal' as const), id, checkpoint: text }),
  fc.record({ type: fc.constant('salvage' as const), id, checkpoint: text, metadata: fc.boolean() }),
  fc.record({ type: fc.constant('raiseEpoch' as const), id, epoch: fc.nat() }),
  fc.record({ type: fc.constant('joinLineage' as const), id, lineage: text }),
  fc.record({ type: fc.constant('stampMember' as const), id, member: text }),
  fc.record({ type: fc.constant('readImage' as const), id, set: text, member: text, image: text }),
  fc.record({
    type: fc.constant('checkImage' as const),
    id,
    member: text,
    checkpoint: text,
    mark: fc.record({ member: text, digest: text }),
    image: imageReference,
  }),
  fc.record({ type: fc.constant('applyDocument' as const), id, document: text, backup: text }),
  fc.record({ type: fc.constant('readDocuments' as const), id, after: text }),
  fc.record({ type: fc.constant('deleteDocument' as const), id, kind: text, name: text }),
  fc.record({ type: fc.constant('readDocumentLog' as const), id, kind: text, name: text, offset: count }),
  fc.record({
    type: fc.constant('importArchive' as const),
    id,
    member: text,
    checkpoint: text,
    given: text,
    digest: text,
  }),
  fc.record({
    type: fc.constantFrom('member' as const, 'rehearseMember' as const),
    member: text,
    command: commands,
  }),
  fc.record({ type: fc.constant('restore' as const), id, member: text, step: steps }),
);

const mark = fc.option(fc.record({ journalFile: fc.option(text), position: text, name: text }));
const viewing = fc.record({
  streamsAs: fc.option(text),
  subscriptions: fc.array(
    fc.record({ name: text, key: text, publications: fc.array(text, { maxLength: 2 }) }),
    { maxLength: 2 },
  ),
  viewers: fc.array(
    fc.record({
      kind: fc.constantFrom('standby' as const, 'logical' as const),
      key: text,
      isBlind: fc.boolean(),
      words: text,
    }),
    { maxLength: 2 },
  ),
});
const proofs = fc.oneof(
  fc.record({ type: fc.constant('held' as const), incarnation: text }),
  fc.record({ type: fc.constant('held' as const), incarnation: text, viewing }),
  fc.record({
    type: fc.constantFrom('alreadyResumed' as const, 'broken' as const),
    incarnation: text,
    cause: text,
  }),
);
const state = fc.constantFrom('running' as const, 'frozen' as const, 'stopped' as const, 'unknown' as const);

const answers: fc.Arbitrary<MemberAnswer> = fc.oneof(
  fc.constant({ type: 'prepared' as const }),
  fc.record({ type: fc.constant('armed' as const), token, incarnation: text }),
  fc.record({ type: fc.constant('armed' as const), token, incarnation: text, viewing }),
  fc.record({
    type: fc.constant('marked' as const),
    token,
    incarnation: text,
    mark,
    fenceMs: ms,
    markMs: ms,
  }),
  fc.record({ type: fc.constant('released' as const), token, thawMs: ms }),
  fc.record({ type: fc.constant('thawed' as const), token, proof: proofs }),
  fc.record({
    type: fc.constant('collected' as const),
    token,
    manifestDigest: text,
    sizeBytes: count,
    storedBytes: count,
  }),
  fc.record({
    type: fc.constant('collected' as const),
    token,
    manifestDigest: text,
    sizeBytes: count,
    storedBytes: count,
    suspension: fc.oneof(
      fc.record({ held: fc.constant(true as const) }),
      fc.record({ held: fc.constant(false as const), cause: text }),
    ),
  }),
  fc.record({ type: fc.constant('aborted' as const), state }),
  fc.record({ type: fc.constant('failed' as const), failure, state }),
  fc.record({ type: fc.constant('refused' as const), failure }),
);

const realm = fc.record({
  grid: text,
  version: count,
  copysets: fc.array(fc.record({ name: text, nodes: processes }), { maxLength: 2 }),
  keepers: processes,
  proxies: processes,
  realmServices: processes,
  foreign: fc.array(text, { maxLength: 2 }),
  highestEpoch: fc.nat(),
  highestCounter: fc.nat(),
});

const warning = fc
  .record({ code: text, about: fc.option(text), text, hint: text, doubtful: fc.boolean() })
  .map(({ doubtful, ...rest }) => ({ ...rest, ...(doubtful && { doubtful }) }));

const traits = fc.record({
  domain: text,
  copies: fc.constantFrom('each' as const, 'one' as const, 'nobody' as const),
  standbys: fc.constantFrom('follow' as const, 'peer' as const, 'none' as const),
  maintenance: fc.boolean(),
  inRealm: fc.boolean(),
  renamable: fc.boolean(),
  maxMembers: fc.option(fc.nat()),
  compatibility: text,
  marksJournalFile: fc.boolean(),
  restoresRunning: fc.boolean(),
  archive: fc.option(text),
});

const plainMember = {
  name: text,
  role: fc.constantFrom('realm-service' as const, 'state-keeper' as const, 'node' as const, 'proxy' as const),
  copyset: fc.option(text),
  engine: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$/),
  address: text,
  running: fc.boolean(),
  primary: fc.boolean(),
  frozen: fc.boolean(),
  leftFrozen: fc.boolean(),
  freezeKind: fc.constantFrom('fenced' as const, 'observer' as const, 'instant' as const),
  traits,
  incarnation: text,
  version: text,
  dataIdentity: text,
  sizeBytes: count,
  journalBytesPerSecond: count,
  copyBytesPerSecond: count,
  problems: fc.array(failure, { maxLength: 2 }),
  warnings: fc.array(warning, { maxLength: 2 }),
  dataDirectory: text,
  localCheckpoints: fc.array(text, { maxLength: 2 }),
  realm: fc.option(realm),
  quorum: fc.option(fc.record({ running: fc.nat(), configured: fc.nat() })),
  updatesHaveRoomMs: fc.option(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true })),
  abilities: fc.record({
    journalCheckpoint: fc.option(failure),
    quiesce: fc.option(failure),
    quiesceAllowingReads: fc.option(failure),
    freeze: fc.option(failure),
  }),
};
const member = fc.oneof(fc.record(plainMember), fc.record({ ...plainMember, viewing }));

const salvaged = fc.record({ name: text, manifestDigest: text, sizeBytes: count, storedBytes: count });

const responses: fc.Arbitrary<AgentResponse> = fc.oneof(
  fc.record({
    type: fc.constant('documentApplied' as const),
    id,
    unchanged: fc.boolean(),
    document: text,
  }),
  fc.record({
    type: fc.constant('documents' as const),
    id,
    clusters: fc.array(text, { maxLength: 2 }),
    documents: fc.array(text, { maxLength: 2 }),
    more: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('documentLog' as const),
    id,
    text,
    nextOffset: count,
    ended: fc.boolean(),
  }),
  fc.record({ type: fc.constant('settled' as const), id, warnings: fc.array(warning, { maxLength: 2 }) }),
  fc.record({ type: fc.constant('localCheckpoint' as const), id, gridManifest: text, metadataDigest: text }),
  fc.record({ type: fc.constant('salvaged' as const), id, members: fc.array(salvaged, { maxLength: 2 }) }),
  fc.record({
    type: fc.constant('archiveImported' as const),
    id,
    manifestDigest: text,
    sizeBytes: count,
    storedBytes: count,
    writtenAt: fc.option(text),
    leftOut: fc.option(text),
    content: fc.array(text, { maxLength: 2 }),
  }),
  fc.record({
    type: fc.constant('welcome' as const),
    protocolVersion: count,
    agentVersion: text,
    host: text,
    grid: text,
  }),
  fc.record({
    type: fc.constant('described' as const),
    id,
    repositoryId: text,
    host: fc.record({
      host: text,
      grid: text,
      agentVersion: text,
      highestEpoch: count,
      highestCounter: count,
      stateFreeBytes: count,
      lineage: fc.option(text, { nil: null }),
      members: fc.array(member, { maxLength: 2 }),
    }),
  }),
  fc.record({
    type: fc.constant('diagnosed' as const),
    id,
    findings: fc.array(
      fc.record({ level: fc.constantFrom('problem' as const, 'warning' as const), failure }),
      { maxLength: 2 },
    ),
  }),
  fc.record({ type: fc.constant('done' as const), id, clockMs: ms }, { requiredKeys: ['type', 'id'] }),
  fc.record({
    type: fc.constant('traced' as const),
    id,
    trace: fc.record({
      processId: count,
      machine: text,
      steps: fc.array(fc.record({ member: text, step: text, atMs: ms }), { maxLength: 3 }),
      samples: fc.array(fc.record({ atMs: ms, ranMs: ms, waitedMs: ms }), { maxLength: 3 }),
      collections: fc.array(fc.record({ atMs: ms, durationMs: ms }), { maxLength: 3 }),
      lost: count,
    }),
  }),
  fc.record({
    type: fc.constant('job' as const),
    id,
    held: fc.option(
      fc.record({
        operation: text,
        holder: text,
        checkpoint: fc.option(text.filter((value) => value !== '')),
        purpose: fc.option(purposes),
      }),
    ),
    highestEpoch: count,
    highestCounter: count,
  }),
  fc.record({ type: fc.constant('letGoAsked' as const), holder: text }),
  fc.record({
    type: fc.constant('stamped' as const),
    id,
    stamp: fc.record({
      epoch: count,
      counter: count,
      heldBy: fc.option(
        fc.record({
          operation: text,
          purpose: fc.constantFrom('journalCheckpoint' as const, 'quiesce' as const, 'freeze' as const),
          checkpoint: text,
        }),
      ),
      incarnation: text,
      stoppedAs: fc.option(text),
    }),
  }),
  fc.record({
    type: fc.constant('imageRead' as const),
    id,
    image: fc.record({
      digest: text,
      engine: text,
      dataIdentity: text,
      files: count,
      sizeBytes: count,
      firstJournalFile: fc.option(text),
      journalFiles: fc.array(text),
    }),
  }),
  fc.record(
    {
      type: fc.constant('claimed' as const),
      id,
      resumed: fc.boolean(),
      traced: fc.constant(true as const),
      rehearses: fc.constant(true as const),
    },
    { requiredKeys: ['type', 'id', 'resumed'] },
  ),
  fc.record({ type: fc.constant('failed' as const), id, failure }),
  fc.record({
    type: fc.constantFrom('memberAnswer' as const, 'rehearsed' as const),
    member: text,
    answer: answers,
  }),
  fc.record({
    type: fc.constant('restored' as const),
    id,
    result: fc.oneof(
      fc.record({ type: fc.constant('done' as const), bytes: count }),
      fc.record({ type: fc.constant('running' as const), running: fc.boolean() }),
      fc.record({
        type: fc.constant('verified' as const),
        checks: fc.array(text),
        warnings: fc.array(warning),
        prepared: fc.array(
          fc.record({
            gid: text,
            database: text,
            committed: fc.boolean(),
            cause: text,
            byHand: fc.record({ commit: text, rollback: text }),
          }),
        ),
        answers: fc.array(
          fc.record({
            name: text,
            text,
            error: text,
            durationMs: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
          }),
        ),
        addresses,
      }),
      fc.record({
        type: fc.constant('checked' as const),
        provesInPrivate: fc.boolean(),
        warnings: fc.array(warning),
        rooms: fc.array(fc.record({ fileSystem: text, path: text, neededBytes: count, freeBytes: count })),
        takesQuestions: fc.boolean(),
        addresses,
      }),
      fc.record({ type: fc.constant('staged' as const), bytes: count, followsAs: fc.option(text) }),
      fc.record({
        type: fc.constant('opened' as const),
        warnings: fc.array(warning),
        problems: fc.array(text),
      }),
    ),
  }),
  fc.record({
    type: fc.constant('progress' as const),
    progress: fc.record({ member: text, phase: text, bytesDone: count, bytesTotal: count, waitsFor: text }),
  }),
  fc.record({ type: fc.constant('rejected' as const), failure }),
);

describe('a message on the wire', () => {
  it('of the coordinator is heard as it was said', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const bytes = CoordinatorMessage.encode(encodeRequest(request)).finish();
        expect(decodeRequest(CoordinatorMessage.decode(bytes))).to.deep.equal(request);
      }),
      { numRuns: 1000 },
    );
  });

  it('of an agent is heard as it was said', () => {
    fc.assert(
      fc.property(responses, (response) => {
        const bytes = AgentMessage.encode(encodeResponse(response)).finish();
        expect(decodeResponse(AgentMessage.decode(bytes))).to.deep.equal(response);
      }),
      { numRuns: 1000 },
    );
  });

  it('takes any name for an engine, and nothing that is no name', () => {
    const described = (engine: string): AgentResponse => ({
      type: 'described',
      id: 1,
      repositoryId: 'r',
      host: describedHost('alpha', [describedMember('aa', { engine })]),
    });
    const heard = (response: AgentResponse): AgentResponse =>
      decodeResponse(AgentMessage.decode(AgentMessage.encode(encodeResponse(response)).finish()));
    expect(heard(described('of-next-year'))).to.deep.equal(described('of-next-year'));
    for (const engine of ['', '../x', 'a b', '\u001b[2J', 'x'.repeat(65)])
      expect(() => heard(described(engine))).to.throw('a message was not understood: engine is');
  });

  it('that nobody understands is an error, never a crash of another kind', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        let message: CoordinatorMessage;
        try {
          message = CoordinatorMessage.decode(bytes);
        } catch {
          return;
        }
        try {
          decodeRequest(message);
        } catch (error) {
          expect((error as { failure?: { code: string } }).failure?.code).to.equal('bad-message');
        }
      }),
      { numRuns: 2000 },
    );
  });
});
