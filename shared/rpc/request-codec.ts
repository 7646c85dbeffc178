import { assertNever } from '../domain/assert-never.ts';
import type { MemberCommand } from '../domain/messages.ts';
import { FOR_CHECKPOINT } from '../domain/purpose.ts';
import type { AgentRequest, RestoreStep } from '../domain/wire.ts';
import {
  badMessage,
  fromCount,
  fromMoves,
  oneOf,
  present,
  toAssignment,
  toCount,
  toLease,
  toMoves,
  toProcess,
  toToken,
} from './codec-values.ts';
import { fromPurpose, toPurpose } from './purpose-codec.ts';
import { toImageReference } from './set-codec.ts';
import type * as wire from './generated/agent.ts';

/** What the coordinator says: domain → wire. */
export function encodeRequest(request: AgentRequest): wire.CoordinatorMessage {
  switch (request.type) {
    case 'hello':
      return message({
        $case: 'hello',
        value: { protocolVersion: request.protocolVersion, grid: request.grid, holder: request.holder },
      });
    case 'describe':
      return message({ $case: 'describe', value: { id: request.id } });
    case 'diagnose':
      return message({ $case: 'diagnose', value: { id: request.id } });
    case 'claim': {
      const { id, operation, purpose, leaseMs, trace = false } = request;
      return message({ $case: 'claim', value: { id, operation, purpose, leaseMs, trace } });
    }
    case 'keepAlive':
      return message({ $case: 'keepAlive', value: {} });
    case 'release':
      return message({ $case: 'release', value: { id: request.id } });
    case 'rehearse':
      return message({ $case: 'rehearse', value: { id: request.id } });
    case 'settle':
      return message({ $case: 'settle', value: { id: request.id, checkpoint: request.checkpoint } });
    case 'dropLocal':
      return message({
        $case: 'dropLocal',
        value: { id: request.id, checkpoints: [...request.checkpoints] },
      });
    case 'readLocal':
      return message({ $case: 'readLocal', value: { id: request.id, checkpoint: request.checkpoint } });
    case 'salvage': {
      const { id, checkpoint, metadata } = request;
      return message({ $case: 'salvage', value: { id, checkpoint, metadata } });
    }
    case 'raiseEpoch':
      return message({ $case: 'raiseEpoch', value: { id: request.id, epoch: request.epoch } });
    case 'joinLineage':
      return message({ $case: 'joinLineage', value: { id: request.id, lineage: request.lineage } });
    case 'readTrace':
      return message({ $case: 'readTrace', value: { id: request.id } });
    case 'askJob':
      return message({ $case: 'askJob', value: { id: request.id } });
    case 'letGo': {
      const { id, operation, force } = request;
      return message({ $case: 'letGo', value: { id, operation, force } });
    }
    case 'stampMember':
      return message({ $case: 'stampMember', value: { id: request.id, member: request.member } });
    case 'readImage': {
      const { id, set, member, image } = request;
      return message({ $case: 'readImage', value: { id, set, member, image } });
    }
    case 'checkImage': {
      const { id, member, checkpoint, mark, image } = request;
      return message({ $case: 'checkImage', value: { id, member, checkpoint, mark, image } });
    }
    case 'applyDocument': {
      const { id, document, backup } = request;
      return message({ $case: 'applyDocument', value: { id, document, backup } });
    }
    case 'readDocuments':
      return message({ $case: 'readDocuments', value: { id: request.id, after: request.after } });
    case 'deleteDocument': {
      const { id, kind, name } = request;
      return message({ $case: 'deleteDocument', value: { id, kind, name } });
    }
    case 'readDocumentLog': {
      const { id, kind, name, offset } = request;
      return message({ $case: 'readDocumentLog', value: { id, kind, name, offset: fromCount(offset) } });
    }
    case 'importArchive': {
      const { id, member, checkpoint, given, digest } = request;
      return message({ $case: 'importArchive', value: { id, member, checkpoint, given, digest } });
    }
    case 'member':
      return message({
        $case: 'memberCommand',
        value: { member: request.member, command: encodeCommand(request.command) },
      });
    case 'rehearseMember':
      return message({
        $case: 'rehearseMember',
        value: { member: request.member, command: encodeCommand(request.command) },
      });
    case 'restore':
      return message({
        $case: 'restoreRequest',
        value: { id: request.id, member: request.member, step: encodeStep(request.step) },
      });
    default:
      return assertNever(request);
  }
}

/** Wire → domain; throws `bad-message`. */
export function decodeRequest({ message: received }: wire.CoordinatorMessage): AgentRequest {
  const { $case, value } = present(received, 'message');
  switch ($case) {
    case 'hello':
      return {
        type: 'hello',
        protocolVersion: value.protocolVersion,
        grid: value.grid,
        holder: value.holder,
      };
    case 'describe':
      return { type: 'describe', id: value.id };
    case 'diagnose':
      return { type: 'diagnose', id: value.id };
    case 'claim':
      return {
        type: 'claim',
        id: value.id,
        operation: value.operation,
        purpose: oneOf(value.purpose, ['checkpoint', 'restore'], 'purpose'),
        leaseMs: toLease(value.leaseMs),
        ...(value.trace && { trace: true }),
      };
    case 'keepAlive':
      return { type: 'keepAlive' };
    case 'release':
      return { type: 'release', id: value.id };
    case 'rehearse':
      return { type: 'rehearse', id: value.id };
    case 'settle':
      return { type: 'settle', id: value.id, checkpoint: value.checkpoint };
    case 'dropLocal':
      return { type: 'dropLocal', id: value.id, checkpoints: value.checkpoints };
    case 'readLocal':
      return { type: 'readLocal', id: value.id, checkpoint: value.checkpoint };
    case 'salvage':
      return { type: 'salvage', id: value.id, checkpoint: value.checkpoint, metadata: value.metadata };
    case 'importArchive': {
      const { id, member, checkpoint, given, digest } = value;
      return { type: 'importArchive', id, member, checkpoint, given, digest };
    }
    case 'raiseEpoch':
      return { type: 'raiseEpoch', id: value.id, epoch: value.epoch };
    case 'joinLineage':
      return { type: 'joinLineage', id: value.id, lineage: value.lineage };
    case 'readTrace':
      return { type: 'readTrace', id: value.id };
    case 'askJob':
      return { type: 'askJob', id: value.id };
    case 'letGo':
      return { type: 'letGo', id: value.id, operation: value.operation, force: value.force };
    case 'stampMember':
      return { type: 'stampMember', id: value.id, member: value.member };
    case 'readImage': {
      const { id, set, member, image } = value;
      return { type: 'readImage', id, set, member, image };
    }
    case 'checkImage': {
      const { id, member, checkpoint } = value;
      const mark = toReference(value.mark, 'mark');
      return { type: 'checkImage', id, member, checkpoint, mark, image: toImageReference(value.image) };
    }
    case 'applyDocument': {
      const { id, document, backup } = value;
      return { type: 'applyDocument', id, document, backup };
    }
    case 'readDocuments':
      return { type: 'readDocuments', id: value.id, after: value.after };
    case 'deleteDocument': {
      const { id, kind, name } = value;
      return { type: 'deleteDocument', id, kind, name };
    }
    case 'readDocumentLog': {
      const { id, kind, name, offset } = value;
      return { type: 'readDocumentLog', id, kind, name, offset: toCount(offset) };
    }
    case 'memberCommand':
      return { type: 'member', member: value.member, command: decodeCommand(value.command) };
    case 'rehearseMember':
      return { type: 'rehearseMember', member: value.member, command: decodeCommand(value.command) };
    case 'restoreRequest':
      return { type: 'restore', id: value.id, member: value.member, step: decodeStep(value.step) };
    default:
      throw badMessage('an unknown request');
  }
}

function message(value: NonNullable<wire.CoordinatorMessage['message']>): wire.CoordinatorMessage {
  return { message: value };
}

type WireCommand = NonNullable<wire.MemberCommand['command']>;

function encodeCommand(command: MemberCommand): WireCommand {
  switch (command.type) {
    case 'prepare':
      return {
        $case: 'prepare',
        value: {
          checkpoint: command.checkpoint,
          assignment: command.assignment,
          maintenance: command.maintenance,
          purpose: fromPurpose(command.purpose ?? FOR_CHECKPOINT),
        },
      };
    case 'pause':
      return { $case: 'pause', value: { token: command.token } };
    case 'disarm':
      return { $case: 'disarm', value: { token: command.token } };
    case 'arm':
      return { $case: 'arm', value: { token: command.token, leaseMs: command.leaseMs } };
    case 'freeze':
      return { $case: 'freeze', value: { token: command.token, leaseMs: command.leaseMs } };
    case 'thaw':
      return { $case: 'thaw', value: { token: command.token } };
    case 'renew':
      return { $case: 'renew', value: { token: command.token } };
    case 'collect':
      return { $case: 'collect', value: { token: command.token } };
    case 'abort':
      return { $case: 'abort', value: { token: command.token ?? undefined } };
    default:
      return assertNever(command);
  }
}

function decodeCommand(received: WireCommand | undefined): MemberCommand {
  const { $case, value } = present(received, 'command');
  switch ($case) {
    case 'prepare':
      return {
        type: 'prepare',
        checkpoint: value.checkpoint,
        assignment: toAssignment(value.assignment),
        maintenance: value.maintenance,
        purpose: toPurpose(value.purpose),
      };
    case 'pause':
      return { type: 'pause', token: toToken(value.token) };
    case 'disarm':
      return { type: 'disarm', token: toToken(value.token) };
    case 'arm':
      return { type: 'arm', token: toToken(value.token), leaseMs: toLease(value.leaseMs) };
    case 'freeze':
      return { type: 'freeze', token: toToken(value.token), leaseMs: toLease(value.leaseMs) };
    case 'thaw':
      return { type: 'thaw', token: toToken(value.token) };
    case 'renew':
      return { type: 'renew', token: toToken(value.token) };
    case 'collect':
      return { type: 'collect', token: toToken(value.token) };
    case 'abort':
      return { type: 'abort', token: value.token === undefined ? null : toToken(value.token) };
    default:
      throw badMessage('an unknown command');
  }
}

type WireStep = NonNullable<wire.RestoreRequest['step']>;

function encodeStep(step: RestoreStep): WireStep {
  switch (step.type) {
    case 'isRunning':
    case 'stop':
    case 'switchIn':
    case 'start':
    case 'verify':
    case 'ready':
    case 'open':
    case 'finish':
    case 'rollBack':
    case 'admitDrill':
    case 'keep':
      return { $case: step.type, value: {} };
    case 'check':
    case 'stage': {
      const { restoreId, grid, checkpoint, source, image, own, follow } = step;
      return {
        $case: step.type,
        value: {
          restoreId,
          grid,
          checkpoint,
          source,
          image,
          own: own ?? undefined,
          follow: follow ?? undefined,
          moves: fromMoves(step.type === 'check' ? step.moves : null),
        },
      };
    }
    case 'prove':
      return {
        $case: 'prove',
        value: {
          committed: [...step.committed],
          standbys: [...step.standbys],
          questions: step.questions.map((question) => ({ ...question })),
          moves: fromMoves(step.moves),
        },
      };
    case 'relocate':
      return { $case: 'relocate', value: { processes: step.processes.map((one) => ({ ...one })) } };
    case 'end':
      return { $case: 'end', value: { restoreId: step.restoreId } };
    default:
      return assertNever(step);
  }
}

function toReference(
  value: wire.ManifestReference | undefined,
  what: string,
): { member: string; digest: string } {
  const { member, digest } = present(value, what);
  return { member, digest };
}

function decodeStep(received: WireStep | undefined): RestoreStep {
  const { $case, value } = present(received, 'step');
  switch ($case) {
    case 'isRunning':
    case 'stop':
    case 'switchIn':
    case 'start':
    case 'verify':
    case 'ready':
    case 'open':
    case 'finish':
    case 'rollBack':
    case 'admitDrill':
    case 'keep':
      return { type: $case };
    case 'check':
    case 'stage': {
      const plan = {
        restoreId: value.restoreId,
        grid: value.grid,
        checkpoint: value.checkpoint,
        source: toReference(value.source, 'source'),
        ...(value.image !== undefined && { image: toImageReference(value.image) }),
        own: value.own === undefined ? null : toReference(value.own, 'own'),
        follow: value.follow ?? null,
      };
      return $case === 'stage'
        ? { type: $case, ...plan }
        : { type: $case, ...plan, moves: toMoves(value.moves) };
    }
    case 'prove':
      return {
        type: 'prove',
        committed: value.committed,
        standbys: value.standbys,
        questions: value.questions.map(({ name, statement, database }) => ({ name, statement, database })),
        moves: toMoves(value.moves),
      };
    case 'relocate':
      return { type: 'relocate', processes: value.processes.map(toProcess) };
    case 'end':
      return { type: 'end', restoreId: value.restoreId };
    default:
      throw badMessage('an unknown step');
  }
}
