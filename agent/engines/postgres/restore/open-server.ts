import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { OpenedMember } from '../../engine.ts';
import { connect } from '../server/connection.ts';
import { addressOf, type PostgresSettings } from '../settings.ts';
import { parseConninfo } from '../server/conninfo.ts';
import { parseSettings } from './auto-conf.ts';
import { AUTO_CONF } from './configuration.ts';
import { finishControlFile, readControlFile } from './control-file.ts';
import { hasUnit, isUnitUp, whyNotActive, whyUnitFailed } from '../../restore/unit.ts';
import { lastWords, logSizes, type LogSizes } from './last-words.ts';
import { hasProcess, startServer } from './server-process.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';

/** A server that was told to start has written its pid file by then, or it never will. */
const APPEAR_MS = 15_000;
/** It was shut down cleanly, so it has nothing to recover. */
const ANSWER_MS = 60_000;
const FOLLOW_MS = 30_000;
const LOOK_EVERY_MS = 100;
const START_MS = 120_000;

/**
 * The restore is decided: the directory gets its completion marker, and the server is started as its owner starts it,
 * with its owner's configuration. It was proven before; now only its process, its answer and its part are asked for,
 * each within a bound. Works from what is on disk; idempotent. Rejects where no server runs in the end.
 */
export async function openServer(settings: PostgresSettings): Promise<OpenedMember> {
  await finishControlFile(settings.data);
  const before = await logSizes(settings);
  if (!(await hasProcess(settings))) await start(settings);
  const appearBy = performance.now() + APPEAR_MS;
  /** What its unit does before the server may take longer. */
  const startBy = performance.now() + START_MS;
  while (!(await hasProcess(settings))) {
    const failed = hasUnit(settings) ? await whyUnitFailed(settings) : null;
    const isStarting = hasUnit(settings) && performance.now() < startBy && (await isUnitUp(settings));
    if (failed !== null || (performance.now() > appearBy && !isStarting))
      throw await notStarted(settings, before, failed);
    await pause();
  }
  const follows = await isThere(join(settings.data, 'standby.signal'));
  const { systemIdentifier } = await readControlFile(settings.data);
  const answerBy = performance.now() + ANSWER_MS;
  for (;;) {
    const answer = await askServer(settings, { follows, systemIdentifier, before });
    if (answer.type === 'does its work') return { warnings: [], problems: await unitProblems(settings) };
    if (answer.type === 'locked') {
      const { message: text, hint } = answer;
      const warning = { code: 'postgres-locked', about: settings.name, text, hint };
      return { warnings: [warning], problems: await unitProblems(settings) };
    }
    if (!(await hasProcess(settings))) throw await notStarted(settings, before);
    const until = answer.type === 'does not follow' ? answerBy - ANSWER_MS + FOLLOW_MS : answerBy;
    if (performance.now() > until) return { warnings: [], problems: [answer.message] };
    await pause();
  }
}

async function unitProblems(settings: PostgresSettings): Promise<string[]> {
  const problem = hasUnit(settings) ? await whyNotActive(settings) : null;
  return problem === null ? [] : [problem];
}

async function start(settings: PostgresSettings): Promise<void> {
  try {
    await startServer(settings, AbortSignal.timeout(START_MS));
  } catch (error) {
    // The server may be there all the same: a start that does not return, or one that another gave before.
    if (!(await hasProcess(settings))) throw error;
  }
}

type Answer =
  | { readonly type: 'does its work' }
  /** It answers, and does not let the agent in: what it says is its owner's configuration. */
  | { readonly type: 'locked'; readonly message: string; readonly hint: string }
  | { readonly type: 'silent' | 'does not follow'; readonly message: string };

/** What the server of this directory is to be; another one may answer at the address that the agent file has. */
export async function askServer(
  settings: PostgresSettings,
  {
    follows,
    systemIdentifier,
    before,
  }: { readonly follows: boolean; readonly systemIdentifier: string; readonly before: LogSizes },
): Promise<Answer> {
  let client: Client;
  try {
    client = await connect(settings, {
      applicationName: 'stillpoint-look',
      timeoutMs: 2000,
      queryTimeoutMs: 5000,
    });
  } catch (error) {
    return refusal(settings, error);
  }
  try {
    const { rows } = await client.query<{ recovering: boolean; status: string | null; identifier: string }>(
      `SELECT pg_is_in_recovery() AS recovering, (SELECT status FROM pg_stat_wal_receiver) AS status,
              (SELECT system_identifier::text FROM pg_control_system()) AS identifier`,
    );
    const [row] = rows;
    if (row?.identifier !== systemIdentifier)
      return {
        type: 'silent',
        message: `${settings.name} runs, and another server answers at ${settings.address}: its system identifier is ${row?.identifier ?? 'unknown'}, that of ${settings.data} is ${systemIdentifier}`,
      };
    if (!follows) {
      if (!row.recovering) return { type: 'does its work' };
      return {
        type: 'silent',
        message: `${settings.name} runs, and is in recovery although it was promoted`,
      };
    }
    if (row?.status === 'streaming') return { type: 'does its work' };
    return { type: 'does not follow', message: await notFollowing(settings, before) };
  } catch (error) {
    return refusal(settings, error);
  } finally {
    client.end().catch(() => undefined);
  }
}

function refusal(settings: PostgresSettings, error: unknown): Answer {
  if (!(error instanceof StillpointError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { type: 'silent', message: `${settings.name} runs, and does not answer: ${message}` };
  }
  const { code, message } = error.failure;
  if (code !== 'postgres-hba' && code !== 'postgres-password')
    return {
      type: 'silent',
      message: `${settings.name} runs, and does not answer as the agent asks: ${message}`,
    };
  const role = decodeURIComponent(new URL(settings.connection).username);
  return {
    type: 'locked',
    message: `it runs and answers, but does not let the agent in (${message})`,
    hint: `checkpoints need in its pg_hba.conf the lines "host all ${role} ADDRESS scram-sha-256" and "host replication ${role} ADDRESS scram-sha-256" with the address of this agent, and the password that the agent has`,
  };
}

async function notFollowing(settings: PostgresSettings, before: LogSizes): Promise<string> {
  const text = await readFile(join(settings.data, AUTO_CONF), 'utf8').catch(() => '');
  const conninfo = parseConninfo(parseSettings(text).get('primary_conninfo') ?? '');
  const primary = `${conninfo.get('host') ?? '?'}:${conninfo.get('port') ?? '?'}`;
  const said = await lastWords(settings, before);
  return `${settings.name} runs, and does not stream from ${primary} in ${FOLLOW_MS / 1000} s${said === '' ? '' : ` (${said})`}: does pg_hba.conf of ${primary} have a line "host replication ${conninfo.get('user') ?? '?'} ADDRESS scram-sha-256" with the address ${addressOf(settings).host}, and is its password known to the standby?`;
}

async function notStarted(
  settings: PostgresSettings,
  before: LogSizes,
  unitFailed: string | null = null,
): Promise<StillpointError> {
  const tail = [unitFailed ?? '', await lastWords(settings, before)].filter((said) => said !== '').join('; ');
  return new StillpointError({
    code: 'member-not-started',
    message: `${settings.name} did not start${tail === '' ? '' : `: ${tail}`}`,
    hint: hasUnit(settings)
      ? `its data is restored and proven: see journalctl -u ${settings.unit} and its log, and put its owner's configuration right for this host`
      : "its data is restored and proven: see its log, and put its owner's configuration right for this host",
  });
}

async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
}
