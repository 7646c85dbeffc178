import { isAbsolute, normalize } from 'node:path';
import { assertNever } from '../shared/domain/assert-never.ts';
import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { StillpointError } from '../shared/domain/errors.ts';
import type { DefinedProcess } from '../shared/domain/grid.ts';
import type { MemberCommand } from '../shared/domain/messages.ts';
import { IMAGE_NAME, NAME } from '../shared/domain/name.ts';
import type { Token } from '../shared/domain/token.ts';
import type { AddressMoves, AgentRequest, ImageReference, RestoreStep } from '../shared/domain/wire.ts';
import { beforePort, isAddress } from './address.ts';

/**
 * What a coordinator may say at all, looked at before anything is done with it. Strings of the wire become
 * names of files, SQL, configuration lines and log lines; each is of a form that leads nowhere else in any of
 * them. Which member, which directory and which command is meant, the agent's own file says.
 */
const DIGEST = /^[0-9a-f]{64}$/;
const MAX_HOLDER = 200;
const MAX_CHECKPOINTS = 10_000;
const MAX_QUESTIONS = 1000;
const MAX_STATEMENT_CHARACTERS = 64 * 1024;
const MAX_PROCESSES = 10_000;
/** Epoch and counter have eight digits in a checkpoint's id; beyond that no checkpoint could be named any more. */
const MAX_NUMBER = 99_999_999;
/** PostgreSQL's own bounds. */
const MAX_GID_BYTES = 200;
const MAX_NAME_BYTES = 63;
/** What an agent keeps of a document is somewhat more than what was applied. */
const MAX_DOCUMENT_CHARACTERS = 256 * 1024;
/** Becomes the name of a file. */
const DOCUMENT = /^[A-Z][a-z]{1,30}\/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LINEAGE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Throws `bad-message` with what is wrong. */
export function checkRequest(request: AgentRequest): void {
  switch (request.type) {
    case 'hello':
      return must('holder', isLine(request.holder, MAX_HOLDER));
    case 'claim':
      return must('operation', NAME.test(request.operation));
    case 'settle':
    case 'readLocal':
    case 'salvage':
      return checkCheckpoint(request.checkpoint);
    case 'dropLocal':
      must('number of checkpoints', request.checkpoints.length <= MAX_CHECKPOINTS);
      return request.checkpoints.forEach(checkCheckpoint);
    case 'raiseEpoch':
      return must('epoch', request.epoch <= MAX_NUMBER);
    case 'joinLineage':
      return must('lineage', LINEAGE.test(request.lineage));
    case 'stampMember':
      return must('member', NAME.test(request.member));
    case 'readImage':
      must('set', NAME.test(request.set));
      must('member', NAME.test(request.member));
      return must('image', IMAGE_NAME.test(request.image));
    case 'checkImage':
      must('member', NAME.test(request.member));
      checkCheckpoint(request.checkpoint);
      checkReference(request.mark);
      return checkImage(request.image);
    case 'applyDocument':
      must('document', request.document.length <= MAX_DOCUMENT_CHARACTERS);
      return must('backup', request.backup.length <= MAX_DOCUMENT_CHARACTERS);
    case 'readDocuments':
      return must('document', request.after === '' || DOCUMENT.test(request.after));
    case 'deleteDocument':
    case 'readDocumentLog':
      return must('document', DOCUMENT.test(`${request.kind}/${request.name}`));
    case 'importArchive':
      must('member', NAME.test(request.member));
      checkCheckpoint(request.checkpoint);
      checkCheckpoint(request.given);
      return must('digest', DIGEST.test(request.digest));
    case 'member':
    case 'rehearseMember':
      must('member', NAME.test(request.member));
      return checkCommand(request.command);
    case 'restore':
      must('member', NAME.test(request.member));
      return checkStep(request.step);
    case 'describe':
    case 'diagnose':
    case 'keepAlive':
    case 'release':
    case 'rehearse':
    case 'readTrace':
    case 'askJob':
      return undefined;
    case 'letGo':
      return must('operation', request.operation === '' || NAME.test(request.operation));
    default:
      return assertNever(request);
  }
}

function checkCommand(command: MemberCommand): void {
  if (command.type === 'prepare') return checkCheckpoint(command.checkpoint);
  return command.token === null ? undefined : checkToken(command.token);
}

function checkToken({ epoch, counter, attempt }: Token): void {
  must(
    'token',
    [epoch, counter, attempt].every((number) => number <= MAX_NUMBER),
  );
}

function checkStep(step: RestoreStep): void {
  switch (step.type) {
    case 'check':
    case 'stage':
      must('restore', NAME.test(step.restoreId));
      must('grid', NAME.test(step.grid));
      checkCheckpoint(step.checkpoint);
      for (const one of [step.source, ...(step.own === null ? [] : [step.own])]) checkReference(one);
      if (step.image !== undefined) checkImage(step.image);
      if (step.type === 'check') checkMoves(step.moves);
      return must('address to follow', step.follow === null || isAddress(step.follow));
    case 'prove':
      for (const gid of step.committed) must('prepared transaction', isLine(gid, MAX_GID_BYTES));
      for (const name of step.standbys) must('standby', isLine(name, MAX_NAME_BYTES));
      must('number of questions', step.questions.length <= MAX_QUESTIONS);
      for (const { name, statement, database } of step.questions) {
        must('question', isLine(name, MAX_NAME_BYTES) && isLine(database, MAX_NAME_BYTES));
        must('statement', statement.length <= MAX_STATEMENT_CHARACTERS && !statement.includes('\0'));
      }
      return checkMoves(step.moves);
    case 'end':
      return must('restore', NAME.test(step.restoreId));
    case 'relocate':
      must('number of processes', step.processes.length <= MAX_PROCESSES);
      return step.processes.forEach(checkProcess);
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
      return undefined;
    default:
      return assertNever(step);
  }
}

function checkReference({ member, digest }: { member: string; digest: string }): void {
  must('source', NAME.test(member));
  must('digest', DIGEST.test(digest));
}

function checkImage({ set, digest }: ImageReference): void {
  must('set', NAME.test(set));
  must('digest', DIGEST.test(digest));
}

/** Written into the data that is restored. */
function checkMoves(moves: AddressMoves | null): void {
  if (moves === null) return;
  must('number of addresses', moves.members.length + moves.hosts.length <= MAX_PROCESSES);
  for (const { from, to } of moves.members) must('address', isAddress(from) && isAddress(to));
  for (const { from, to } of moves.hosts) must('host', isHost(from) && isHost(to));
}

function isHost(text: string): boolean {
  return isAddress(`${beforePort(text)}:1`);
}

function checkCheckpoint(checkpoint: string): void {
  must('checkpoint', parseCheckpointId(checkpoint) !== null);
}

/** Passed on to the realm service, which must know where its processes are; this agent opens none of it. */
function checkProcess({ name, address, dataDirectory }: DefinedProcess): void {
  must('process', NAME.test(name));
  must('address', isAddress(address));
  must('data directory', isLine(dataDirectory, 4096) && isPlainPath(dataDirectory));
}

function isPlainPath(path: string): boolean {
  return path === '' || (isAbsolute(path) && normalize(path) === path);
}

function isLine(text: string, maxBytes: number): boolean {
  // oxlint-disable-next-line no-control-regex
  return Buffer.byteLength(text) <= maxBytes && !/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text);
}

function must(what: string, isRight: boolean): void {
  if (isRight) return;
  throw new StillpointError({
    code: 'bad-message',
    message: `the coordinator sent a ${what} that cannot be one`,
    hint: 'use the stillpoint command',
  });
}
