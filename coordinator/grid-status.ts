import type { Logger } from '../shared/runtime/log.ts';
import { failureOf, type Failure } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import { warningLine, type Warning } from '../shared/domain/warning.ts';
import { AgentConnection, hostOf } from './agents.ts';
import { lookAtAge } from './checkpoint-age.ts';
import { expiryFindings } from './certificate-expiry.ts';
import { damageOf } from './damaged-entries.ts';
import type { GridFile } from './grid-file.ts';
import { jobsOf } from './grid-jobs.ts';
import { operationsOf } from './operations-table.ts';
import { gridProblems } from './preflight.ts';
import { checkRealm } from './realm-preflight.ts';
import type { DoctorReport, StatusReport } from './reports.ts';
import { lookInRepository } from './with-grid.ts';
import { viewerFindings } from './viewer-preflight.ts';

const CONNECT_TIMEOUT_MS = 5000;

export interface GridLookInput {
  readonly gridFile: GridFile;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/**
 * Every member of the grid as its agent sees it now. A host that does not answer is listed as such. `leftFrozen`: an
 * engine found a freeze that nobody undid. `maxAgeMs`: how old the newest valid checkpoint may be; not asked where it
 * is null or left out.
 */
export async function gridStatus(
  input: GridLookInput & { readonly maxAgeMs?: number | null },
): Promise<{ readonly report: StatusReport; readonly leftFrozen: boolean }> {
  const looked = await eachAgent(input, async (connection) => {
    const [{ host }, held] = await Promise.all([connection.describe(), connection.askJob()]);
    return { host, held };
  });
  const realm = realmState(
    input.gridFile,
    looked.map(({ result }) => result?.host ?? null),
  );
  const { gridFile, maxAgeMs = null } = input;
  const age =
    maxAgeMs === null
      ? null
      : await lookAtAge({
          gridFile,
          hosts: looked.flatMap(({ result }) => result?.host ?? []),
          maxAgeMs,
          now: Date.now(),
          signal: input.signal,
        });
  const report: StatusReport = {
    grid: gridFile.grid,
    hosts: looked.map(({ address, failure }) => ({
      host: hostOf(address),
      agent: address,
      reachable: failure === null,
      ...(failure && { error: failure }),
    })),
    members: looked.flatMap(({ result }) =>
      (result?.host.members ?? []).map((member) => ({
        name: member.name,
        host: result?.host.host ?? '',
        role: member.role,
        copyset: member.copyset,
        engine: member.engine,
        version: member.version,
        address: member.address,
        running: member.running,
        primary: member.primary,
        frozen: member.frozen,
        problems: member.problems,
        warnings: member.warnings.map(({ text }) => text),
      })),
    ),
    jobs: jobsOf(
      looked.flatMap(({ result }) =>
        result === null ? [] : [{ host: result.host.host, held: result.held }],
      ),
    ),
    problems: [...realm.problems, ...(age?.problems ?? [])],
    warnings: realm.warnings.map(warningLine),
    ...(age !== null && { newest: age.newest }),
  };
  return {
    report,
    leftFrozen: looked.some(({ result }) => result?.host.members.some((one) => one.leftFrozen) === true),
  };
}

/** Everything that would stop a checkpoint or should be known before one. */
export async function gridDoctor(input: GridLookInput): Promise<DoctorReport> {
  const looked = await eachAgent(input, async (connection) => {
    const described = await connection.describe();
    return { described, findings: await connection.diagnose(), expiresAt: connection.certificateExpiresAt };
  });
  const findings = looked.flatMap(({ address, failure, result }) => {
    if (failure !== null)
      return [{ level: 'problem' as const, failure: { ...failure, host: hostOf(address) } }];
    if (result === null) return [];
    const { host } = result.described;
    return [
      ...host.members.flatMap((member) => [
        ...member.problems.map((problem) => ({
          level: 'problem' as const,
          failure: { ...problem, host: host.host, member: member.name },
        })),
        ...member.warnings.map((warning) => ({
          level: 'warning' as const,
          failure: warningOf(warning, { host: host.host, member: member.name }),
        })),
      ]),
      ...result.findings,
    ];
  });
  const { grid } = input.gridFile;
  const hosts = looked.flatMap(({ result }) => result?.described.host ?? []);
  const repository = await lookAtRepository(input);
  // While a host does not answer, its standbys look like strangers.
  if (hosts.length === looked.length) {
    const all = hosts.flatMap(({ host, members }) => members.map((description) => ({ host, description })));
    findings.push(
      ...gridProblems({
        grid,
        copysets: input.gridFile.copysets ?? null,
        hosts: looked.flatMap(({ result }) => result?.described ?? []),
        repositoryId: repository.id,
        agents: looked.flatMap(({ address, result }) =>
          result === null ? [] : [{ asked: hostOf(address), said: result.described.host.host }],
        ),
      }).map((failure) => ({ level: 'problem' as const, failure })),
      ...viewerFindings(all.filter(({ description }) => description.running)),
    );
  }
  const realm = realmState(
    input.gridFile,
    looked.map(({ result }) => result?.described.host ?? null),
  );
  findings.push(
    ...(await expiryFindings(
      input.gridFile.tls,
      looked.flatMap(({ address, result }) => (result === null ? [] : [{ address, at: result.expiresAt }])),
    )),
    ...repository.problems.map((failure) => ({ level: 'problem' as const, failure })),
    ...realm.problems.map((failure) => ({ level: 'problem' as const, failure })),
    ...realm.warnings.map((warning) => ({ level: 'warning' as const, failure: warningOf(warning, {}) })),
  );
  const healthy = findings.every(({ level }) => level !== 'problem');
  return { grid, findings, healthy, operations: operationsOf(hosts) };
}

/** As it is seen from here. */
async function lookAtRepository(
  input: GridLookInput,
): Promise<{ id: string | null; problems: readonly Failure[] }> {
  let id: string | null = null;
  const { seen, failure } = await lookInRepository(input, async (repository) => {
    id = repository.id;
    return (await repository.list(input.gridFile.grid)).flatMap((entry) => damageOf(entry) ?? []);
  });
  return { id, problems: failure === null ? seen : [failure] };
}

async function eachAgent<T>(
  input: GridLookInput,
  look: (connection: AgentConnection) => Promise<T>,
): Promise<{ address: string; failure: Failure | null; result: T | null }[]> {
  return Promise.all(
    input.gridFile.agents.map(async (address) => {
      let connection: AgentConnection | null = null;
      try {
        connection = await AgentConnection.open(input.gridFile, address, CONNECT_TIMEOUT_MS, input.signal);
        return { address, failure: null, result: await look(connection) };
      } catch (error) {
        return {
          address,
          failure: failureOf(error, {
            code: 'agent-failed',
            hint: `journalctl -u stillpoint-agent on ${hostOf(address)} says why; then ask again`,
          }),
          result: null,
        };
      } finally {
        connection?.close();
      }
    }),
  );
}

/** While a host does not answer, what it has is not known: its silence is the finding. */
function realmState(
  { grid, realm }: GridFile,
  hosts: readonly (HostDescription | null)[],
): { problems: readonly Failure[]; warnings: readonly Warning[] } {
  const answering = hosts.filter((host) => host !== null);
  if (answering.length < hosts.length) return { problems: [], warnings: [] };
  const all = answering.flatMap(({ host, members }) => members.map((description) => ({ host, description })));
  try {
    return { problems: [], warnings: checkRealm(grid, all, realm ?? null)?.warnings ?? [] };
  } catch (error) {
    return { problems: [failureOf(error, { code: 'internal', hint: 'report it' })], warnings: [] };
  }
}

function warningOf({ code, text, hint }: Warning, where: Pick<Failure, 'host' | 'member'>): Failure {
  return { code, message: text, hint, ...where };
}
