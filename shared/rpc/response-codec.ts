import { assertNever } from '../domain/assert-never.ts';
import type { MemberAnswer, ThawProof } from '../domain/messages.ts';
import type { AgentResponse } from '../domain/wire.ts';
import {
  badMessage,
  fromCount,
  fromFailure,
  fromHost,
  fromMark,
  fromViewing,
  fromWarning,
  oneOf,
  present,
  STATES,
  toCount,
  toDuration,
  toFailure,
  toHost,
  toMark,
  toToken,
  toViewing,
  toWarning,
} from './codec-values.ts';
import { fromHeldBy, fromSuspension, toHeldBy, toSuspension } from './purpose-codec.ts';
import { decodeResult, encodeResult } from './result-codec.ts';
import { fromImageSummary, fromStamp, toImageSummary, toStamp } from './set-codec.ts';
import { fromTrace, toTrace } from './trace-codec.ts';
import type * as wire from './generated/agent.ts';

/** What the agent says: domain → wire. */
export function encodeResponse(response: AgentResponse): wire.AgentMessage {
  switch (response.type) {
    case 'welcome': {
      const { protocolVersion, agentVersion, host, grid } = response;
      return message({ $case: 'welcome', value: { protocolVersion, agentVersion, host, grid } });
    }
    case 'described':
      return message({
        $case: 'described',
        value: { id: response.id, host: fromHost(response.host), repositoryId: response.repositoryId },
      });
    case 'diagnosed':
      return message({
        $case: 'diagnosed',
        value: {
          id: response.id,
          findings: response.findings.map(({ level, failure }) => ({ level, failure: fromFailure(failure) })),
        },
      });
    case 'localCheckpoint': {
      const { id, gridManifest, metadataDigest } = response;
      return message({ $case: 'localCheckpoint', value: { id, gridManifest, metadataDigest } });
    }
    case 'salvaged': {
      const members = response.members.map(({ name, manifestDigest, sizeBytes, storedBytes }) => ({
        name,
        manifestDigest,
        sizeBytes: fromCount(sizeBytes),
        storedBytes: fromCount(storedBytes),
      }));
      return message({ $case: 'salvaged', value: { id: response.id, members } });
    }
    case 'archiveImported': {
      const { id, manifestDigest, sizeBytes, storedBytes, writtenAt, leftOut, content } = response;
      const value = {
        id,
        manifestDigest,
        sizeBytes: fromCount(sizeBytes),
        storedBytes: fromCount(storedBytes),
        writtenAt: writtenAt ?? undefined,
        leftOut: leftOut ?? undefined,
        content: [...content],
      };
      return message({ $case: 'archiveImported', value });
    }
    case 'settled':
      return message({
        $case: 'settled',
        value: { id: response.id, warnings: response.warnings.map(fromWarning) },
      });
    case 'claimed':
      return message({
        $case: 'claimed',
        value: {
          id: response.id,
          resumed: response.resumed,
          traced: response.traced ?? false,
          rehearses: response.rehearses ?? false,
        },
      });
    case 'done':
      return message({ $case: 'done', value: { id: response.id, clockMs: response.clockMs } });
    case 'traced':
      return message({ $case: 'traced', value: fromTrace(response.id, response.trace) });
    case 'job': {
      const { id, held, highestEpoch, highestCounter } = response;
      const value = { id, held: fromHeldBy(held), highestEpoch, highestCounter };
      return message({ $case: 'job', value });
    }
    case 'letGoAsked':
      return message({ $case: 'letGoAsked', value: { holder: response.holder } });
    case 'stamped':
      return message({ $case: 'stamped', value: fromStamp(response.id, response.stamp) });
    case 'imageRead': {
      const { id, image } = response;
      return message({ $case: 'imageRead', value: { id, image: fromImageSummary(image) } });
    }
    case 'documentApplied': {
      const { id, unchanged, document } = response;
      return message({ $case: 'documentApplied', value: { id, unchanged, document } });
    }
    case 'documents': {
      const { id, clusters, documents, more } = response;
      const value = { id, clusters: [...clusters], documents: [...documents], more };
      return message({ $case: 'documents', value });
    }
    case 'documentLog': {
      const { id, text, nextOffset, ended } = response;
      return message({ $case: 'documentLog', value: { id, text, nextOffset: fromCount(nextOffset), ended } });
    }
    case 'failed':
      return message({ $case: 'failed', value: { id: response.id, failure: fromFailure(response.failure) } });
    case 'memberAnswer':
      return message({
        $case: 'memberAnswer',
        value: { member: response.member, answer: encodeAnswer(response.answer) },
      });
    case 'rehearsed':
      return message({
        $case: 'rehearsed',
        value: { member: response.member, answer: encodeAnswer(response.answer) },
      });
    case 'restored':
      return message({
        $case: 'restored',
        value: { id: response.id, result: encodeResult(response.result) },
      });
    case 'progress': {
      const { member, phase, bytesDone, bytesTotal, waitsFor } = response.progress;
      return message({
        $case: 'progress',
        value: {
          member,
          phase,
          bytesDone: fromCount(bytesDone),
          bytesTotal: fromCount(bytesTotal),
          waitsFor,
        },
      });
    }
    case 'rejected':
      return message({ $case: 'rejected', value: { failure: fromFailure(response.failure) } });
    default:
      return assertNever(response);
  }
}

/** Wire → domain; throws `bad-message`. */
export function decodeResponse({ message: received }: wire.AgentMessage): AgentResponse {
  const { $case, value } = present(received, 'message');
  switch ($case) {
    case 'welcome': {
      const { protocolVersion, agentVersion, host, grid } = value;
      return { type: 'welcome', protocolVersion, agentVersion, host, grid };
    }
    case 'described':
      return { type: 'described', id: value.id, host: toHost(value.host), repositoryId: value.repositoryId };
    case 'diagnosed':
      return {
        type: 'diagnosed',
        id: value.id,
        findings: value.findings.map(({ level, failure }) => ({
          level: oneOf(level, ['problem', 'warning'], 'level'),
          failure: toFailure(failure),
        })),
      };
    case 'localCheckpoint': {
      const { id, gridManifest, metadataDigest } = value;
      return { type: 'localCheckpoint', id, gridManifest, metadataDigest };
    }
    case 'salvaged':
      return {
        type: 'salvaged',
        id: value.id,
        members: value.members.map(({ name, manifestDigest, sizeBytes, storedBytes }) => ({
          name,
          manifestDigest,
          sizeBytes: toCount(sizeBytes),
          storedBytes: toCount(storedBytes),
        })),
      };
    case 'archiveImported': {
      const { id, manifestDigest, sizeBytes, storedBytes, writtenAt, leftOut, content } = value;
      return {
        type: 'archiveImported',
        id,
        manifestDigest,
        sizeBytes: toCount(sizeBytes),
        storedBytes: toCount(storedBytes),
        writtenAt: writtenAt ?? null,
        leftOut: leftOut ?? null,
        content,
      };
    }
    case 'settled':
      return { type: 'settled', id: value.id, warnings: value.warnings.map(toWarning) };
    case 'claimed':
      return {
        type: 'claimed',
        id: value.id,
        resumed: value.resumed,
        ...(value.traced && { traced: true }),
        ...(value.rehearses && { rehearses: true }),
      };
    case 'done': {
      const { id, clockMs } = value;
      return { type: 'done', id, ...(clockMs !== undefined && { clockMs: toDuration(clockMs, 'clock') }) };
    }
    case 'traced':
      return { type: 'traced', id: value.id, trace: toTrace(value) };
    case 'job': {
      const { id, held, highestEpoch, highestCounter } = value;
      return { type: 'job', id, held: toHeldBy(held), highestEpoch, highestCounter };
    }
    case 'letGoAsked':
      return { type: 'letGoAsked', holder: value.holder };
    case 'stamped':
      return { type: 'stamped', id: value.id, stamp: toStamp(value) };
    case 'imageRead':
      return { type: 'imageRead', id: value.id, image: toImageSummary(value.image) };
    case 'documentApplied': {
      const { id, unchanged, document } = value;
      return { type: 'documentApplied', id, unchanged, document };
    }
    case 'documents': {
      const { id, clusters, documents, more } = value;
      return { type: 'documents', id, clusters, documents, more };
    }
    case 'documentLog': {
      const { id, text, nextOffset, ended } = value;
      return { type: 'documentLog', id, text, nextOffset: toCount(nextOffset), ended };
    }
    case 'failed':
      return { type: 'failed', id: value.id, failure: toFailure(value.failure) };
    case 'memberAnswer':
      return { type: 'memberAnswer', member: value.member, answer: decodeAnswer(value.answer) };
    case 'rehearsed':
      return { type: 'rehearsed', member: value.member, answer: decodeAnswer(value.answer) };
    case 'restored':
      return { type: 'restored', id: value.id, result: decodeResult(value.result) };
    case 'progress': {
      const { member, phase, bytesDone, bytesTotal, waitsFor } = value;
      return {
        type: 'progress',
        progress: { member, phase, bytesDone: toCount(bytesDone), bytesTotal: toCount(bytesTotal), waitsFor },
      };
    }
    case 'rejected':
      return { type: 'rejected', failure: toFailure(value.failure) };
    default:
      throw badMessage('an unknown response');
  }
}

function message(value: NonNullable<wire.AgentMessage['message']>): wire.AgentMessage {
  return { message: value };
}

type WireAnswer = NonNullable<wire.MemberAnswer['answer']>;

function encodeAnswer(answer: MemberAnswer): WireAnswer {
  switch (answer.type) {
    case 'prepared':
      return { $case: 'prepared', value: {} };
    case 'paused':
      return { $case: 'paused', value: { token: answer.token } };
    case 'disarmed': {
      const failure = answer.failure === null ? undefined : fromFailure(answer.failure);
      return { $case: 'disarmed', value: { token: answer.token, failure } };
    }
    case 'armed':
      return {
        $case: 'armed',
        value: {
          token: answer.token,
          incarnation: answer.incarnation,
          viewing: fromViewing(answer.viewing),
        },
      };
    case 'marked': {
      const { token, incarnation, mark, fenceMs, markMs } = answer;
      return { $case: 'marked', value: { token, incarnation, mark: fromMark(mark), fenceMs, markMs } };
    }
    case 'released':
      return { $case: 'released', value: { token: answer.token, thawMs: answer.thawMs } };
    case 'thawed': {
      const { token, proof } = answer;
      const cause = proof.type === 'held' ? '' : proof.cause;
      const viewing = proof.type === 'held' ? fromViewing(proof.viewing) : undefined;
      const { type, incarnation } = proof;
      return { $case: 'thawed', value: { token, proof: type, incarnation, cause, viewing } };
    }
    case 'collected': {
      const { token, manifestDigest, sizeBytes, storedBytes, suspension } = answer;
      const value = {
        token,
        manifestDigest,
        sizeBytes: fromCount(sizeBytes),
        storedBytes: fromCount(storedBytes),
        suspension: fromSuspension(suspension),
      };
      return { $case: 'collected', value };
    }
    case 'aborted':
      return { $case: 'aborted', value: { state: answer.state } };
    case 'failed':
      return { $case: 'failed', value: { failure: fromFailure(answer.failure), state: answer.state } };
    case 'refused':
      return { $case: 'refused', value: { failure: fromFailure(answer.failure) } };
    default:
      return assertNever(answer);
  }
}

function decodeAnswer(received: WireAnswer | undefined): MemberAnswer {
  const { $case, value } = present(received, 'answer');
  switch ($case) {
    case 'prepared':
      return { type: 'prepared' };
    case 'paused':
      return { type: 'paused', token: toToken(value.token) };
    case 'disarmed': {
      const failure = value.failure === undefined ? null : toFailure(value.failure);
      return { type: 'disarmed', token: toToken(value.token), failure };
    }
    case 'armed':
      return {
        type: 'armed',
        token: toToken(value.token),
        incarnation: value.incarnation,
        ...toViewing(value.viewing),
      };
    case 'marked': {
      const { incarnation, fenceMs, markMs } = value;
      return {
        type: 'marked',
        token: toToken(value.token),
        incarnation,
        mark: toMark(value.mark),
        fenceMs: toDuration(fenceMs, 'fence'),
        markMs: toDuration(markMs, 'mark'),
      };
    }
    case 'released':
      return { type: 'released', token: toToken(value.token), thawMs: toDuration(value.thawMs, 'thaw') };
    case 'thawed':
      return { type: 'thawed', token: toToken(value.token), proof: decodeProof(value) };
    case 'collected':
      return {
        type: 'collected',
        token: toToken(value.token),
        manifestDigest: value.manifestDigest,
        sizeBytes: toCount(value.sizeBytes),
        storedBytes: toCount(value.storedBytes),
        ...(value.suspension !== undefined && { suspension: toSuspension(value.suspension) }),
      };
    case 'aborted':
      return { type: 'aborted', state: oneOf(value.state, STATES, 'state') };
    case 'failed':
      return {
        type: 'failed',
        failure: toFailure(value.failure),
        state: oneOf(value.state, STATES, 'state'),
      };
    case 'refused':
      return { type: 'refused', failure: toFailure(value.failure) };
    default:
      throw badMessage('an unknown answer');
  }
}

function decodeProof({ proof, incarnation, cause, viewing }: wire.Thawed): ThawProof {
  const type = oneOf(proof, ['held', 'alreadyResumed', 'broken'], 'proof');
  return type === 'held' ? { type, incarnation, ...toViewing(viewing) } : { type, incarnation, cause };
}
