import { isAbsolute } from 'node:path';
import type { Role } from '../domain/grid.ts';
import type { GridDefinition } from '../domain/grid.ts';
import type {
  Content,
  DatabaseBackup,
  JournalCut,
  KeeperState,
  ParticipantDescription,
  ParticipantHolds,
} from '../domain/participant.ts';
import * as wire from './generated/participant.ts';

const CONTRACT_VERSION = 1;
const MAX_KEEPER_STATE_BYTES = 1024 * 1024;
const MAX_DIGEST_BYTES = 64;
const ROLES: ReadonlyMap<number, Role> = new Map<number, Role>([
  [wire.Role.ROLE_REALM_SERVICE, 'realm-service'],
  [wire.Role.ROLE_STATE_KEEPER, 'state-keeper'],
  [wire.Role.ROLE_NODE, 'node'],
  [wire.Role.ROLE_PROXY, 'proxy'],
]);

/** What in an answer is against the contract. */
export class BadAnswer extends Error {}

/**
 * Answers, wire → domain. The agent follows what they name into the file system, with more rights than the process
 * may have: a name that leads out of the process's own directories is a BadAnswer.
 */
export function toDescription(value: wire.DescribeResponse): ParticipantDescription {
  const { contractVersion, journalDirectory, dataDirectory } = value;
  must(
    contractVersion === CONTRACT_VERSION,
    `contract_version is ${contractVersion}, not ${CONTRACT_VERSION}`,
  );
  const role = ROLES.get(value.role);
  if (role === undefined) throw new BadAnswer(`role is ${value.role}`);
  must(value.name !== '', 'name is missing');
  must(
    isAbsolute(dataDirectory) && !climbs(dataDirectory),
    `data_directory '${dataDirectory}' is not absolute`,
  );
  must(
    !isAbsolute(journalDirectory) && !climbs(journalDirectory),
    `journal_directory '${journalDirectory}' is not below live/`,
  );
  return {
    grid: value.grid,
    name: value.name,
    role,
    incarnation: toIncarnation(value.incarnation),
    version: value.version,
    address: value.address,
    dataDirectory,
    journalDirectory,
    copyset: value.copyset === '' ? null : value.copyset,
    primary: value.primary,
    dataIdentity: value.dataIdentity,
    sizeBytes: toNumber(value.sizeBytes, 'size_bytes'),
    clientConnections: value.clientConnections,
    held: toHolds(value.held),
    quorum: value.quorum ?? null,
    definition: value.definition === undefined ? null : toDefinition(value.definition),
    highestEpoch: value.highestEpoch,
    highestCounter: value.highestCounter,
    problems: value.problems,
    startedWith: toContent(value.startedWith, 'started_with'),
    unjournaled: value.unjournaled,
    recovering: toLine(value.recovering, 'recovering') || null,
    updatesHaveRoomMs: toRoom(value.updatesHaveRoomMs),
  };
}

/** What a process left of its last answer to Describe: proto3's JSON of it. Throws where it is none. */
export function readDescription(text: string): ParticipantDescription {
  return toDescription(wire.DescribeResponse.fromJSON(JSON.parse(text)));
}

export function toHolds(value: wire.Held | undefined): ParticipantHolds {
  if (value === undefined) throw new BadAnswer('held is missing');
  return value;
}

export function toIncarnation(value: string): string {
  must(value !== '', 'incarnation is missing');
  return value;
}

export function toQuiescence(value: wire.QuiesceResponse): wire.QuiesceResponse {
  must(!value.quiesced || value.notQuiesced.length === 0, 'it is quiesced, and not_quiesced is not empty');
  return { ...value, incarnation: toIncarnation(value.incarnation) };
}

export function toCut(value: wire.SwitchJournalResponse): JournalCut {
  return {
    incarnation: toIncarnation(value.incarnation),
    journalFile: toFileName(value.journalFile, 'journal_file'),
    length: toNumber(value.length, 'length'),
    content: toContent(value.content, 'content'),
  };
}

function toContent(value: wire.Content | undefined, field: string): Content | null {
  if (value === undefined) return null;
  const { length } = value.digest;
  must(length <= MAX_DIGEST_BYTES, `${field}.digest has ${length} bytes, more than ${MAX_DIGEST_BYTES}`);
  return {
    count: toNumber(value.count, `${field}.count`),
    digest: Buffer.from(value.digest).toString('hex'),
  };
}

function toLine(value: string, field: string): string {
  must(!/[\r\n]/.test(value), `${field} has more than one line`);
  return value;
}

export function toFileName(value: string, field: string): string {
  const plain = value !== '' && value !== '.' && value !== '..' && !/[/\0\n]/.test(value);
  must(plain, `${field} '${value.slice(0, 100)}' is not the name of a file`);
  return value;
}

export function toBackup({ file, definition }: wire.BackUpDatabaseResponse): DatabaseBackup {
  must(file.startsWith('backups/'), `file '${file}' is not in backups/`);
  toFileName(file.slice('backups/'.length), 'file');
  return { file, definition };
}

export function toKeeperState({ state, version }: wire.SaveKeeperStateResponse): KeeperState {
  must(state.length <= MAX_KEEPER_STATE_BYTES, `state has ${state.length} bytes, more than 1 MiB`);
  return { state, version: toNumber(version, 'version') };
}

function toRoom(value: number | undefined): number | null {
  if (value === undefined) return null;
  must(value >= 0 && Number.isFinite(value), `updates_have_room_ms is ${value}`);
  return value;
}

/** 64 bits travel as bigint and are numbers here: beyond 2^53 they would not be exact. */
export function toNumber(value: bigint, field: string): number {
  must(value <= BigInt(Number.MAX_SAFE_INTEGER), `${field} is ${value}, beyond 2^53`);
  return Number(value);
}

function toDefinition(value: wire.GridDefinition): GridDefinition {
  return { ...value, version: toNumber(value.version, 'definition.version') };
}

function climbs(path: string): boolean {
  return path.includes('\0') || path.split('/').includes('..');
}

function must(holds: boolean, otherwise: string): void {
  if (!holds) throw new BadAnswer(otherwise);
}
