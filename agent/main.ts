import '../shared/runtime/keep-compiled.ts';
import { parseArgs } from 'node:util';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import { serveAgents, type AgentServer } from '../shared/rpc/agent-server.ts';
import { checkPrivateKeyFile } from '../shared/rpc/tls-files.ts';
import { reach } from '../shared/runtime/hooks.ts';
import { createLog, type Logger } from '../shared/runtime/log.ts';
import { giveMemoryBack } from '../shared/runtime/memory.ts';
import { version } from '../shared/runtime/version.ts';
import { readAgentFile, type AgentFile } from './agent-file.ts';
import { CertificateWatch } from './certificate-watch.ts';
import { checkAgentFile } from './check.ts';
import type { AgentMember } from './agent-member.ts';
import type { Documents } from './documents/documents.ts';
import { engineOf } from './engines/registry.ts';
import { INIT_USAGE } from './init/usage.ts';
import { FreezeLedger } from './freeze-ledger.ts';
import { membersHeld } from './held.ts';
import { memberMemory } from './member-memory.ts';
import { keptRepository } from './kept-repository.ts';
import { openMetrics } from './open-metrics.ts';
import { RestoreKeeper } from './restore-keeper.ts';
import { ServiceManager } from './service-manager.ts';
import { Service } from './service.ts';
import { openFreezeRecords, openStateDirectory } from './state-directory.ts';
import { lockState } from './state-lock.ts';
import { ofThisProcess } from './surroundings.ts';
import { UndoKeeper } from './undo-keeper.ts';

const USAGE = `stillpoint-agent: the daemon on each host of a grid

  stillpoint-agent --config FILE            (else /etc/stillpoint/agent.yaml)
  stillpoint-agent --check --config FILE    says whether the file is right, and touches nothing
${INIT_USAGE}
  --check            looks at the file, its certificates and members; exit code 0 or 2
  --held             names the members of this host that a freeze or a restore has not let go of, and
                     touches nothing; exit code 0 none, 5 some
  --config FILE      the agent's file: grid, listen address, certificates, members
  --log-level LEVEL  trace, debug, info (default), warn or error
  --version, --help

Example: stillpoint-agent --config /etc/stillpoint/agent.yaml
`;

interface Options {
  readonly config: string;
  readonly logLevel: string;
  readonly check: boolean;
  readonly held: boolean;
}

async function main(): Promise<void> {
  const [verb, ...words] = process.argv.slice(2);
  if (verb === 'init' && !words.includes('--help')) return init(words);
  const options = readOptions();
  if (options.check) return check(options.config);
  if (options.held) return held(options.config);
  const serviceManager = new ServiceManager(process.env);
  const log = createLog({ name: 'stillpoint-agent', level: options.logLevel, neverWaits: true });
  const file = await readAgentFile(options.config);
  const members = new Map<string, AgentMember>(
    await Promise.all(
      file.members.map(
        async (settings) =>
          [
            settings.name,
            {
              name: settings.name,
              engine: await engineOf(settings).create(settings, memberMemory(file.state, settings.name)),
              mayDrill: settings.drill ?? file.drill,
            },
          ] as const,
      ),
    ),
  );
  await lockState(file.state);

  // What a killed predecessor left comes first: nobody may ask for a freeze while one is not undone.
  const undoKeeper = new UndoKeeper(members, await openFreezeRecords(file.state), log);
  await undoKeeper.undoAll();
  try {
    await serve(options, file, members, undoKeeper, serviceManager, log);
  } catch (error) {
    // A file that is damaged keeps the agent from serving; whoever is still frozen is thawed all the same.
    complain(error);
    await undoKeeper.done();
    process.exit(exitCodeOf(error));
  }
}

async function serve(
  options: Options,
  file: AgentFile,
  members: ReadonlyMap<string, AgentMember>,
  undoKeeper: UndoKeeper,
  serviceManager: ServiceManager,
  log: Logger,
): Promise<void> {
  await checkPrivateKeyFile(file.tls.key);
  const state = await openStateDirectory(file.state);
  // One that cannot be read is of a member that nobody has looked at.
  await state.freezeRecords();
  const repository = keptRepository(file.repository, state);
  const restoreKeeper = new RestoreKeeper({ members, state, repository, log });
  await restoreKeeper.recover();

  const freezeLedger = new FreezeLedger({
    budget: { perHour: file.freezeBudget.perHour, totalMs: file.freezeBudget.totalSeconds * 1000 },
    host: file.host,
    spent: state.spent(),
    save: (spending) => state.saveSpent(spending),
    wallNow: () => Date.now(),
    monotonicNow: () => performance.now(),
  });
  // The metrics ask for what begins after them, for their port is opened before anybody can claim this host.
  const running: { service?: Service; server?: AgentServer } = {};
  const metrics = await openMetrics(file.metrics, {
    info: { version, grid: file.grid, host: file.host },
    members,
    statePath: state.path,
    frozenMembers: () => running.service?.claim.frozenMembers() ?? new Set(),
    mayHold: () => running.service?.claim.mayHold() ?? false,
    undoPending: () =>
      new Set([...undoKeeper.left().keys(), ...(running.service?.claim.unfinished().keys() ?? [])]),
    budgetLeft: () => freezeLedger.left(),
    expiry: () => running.server?.expiry() ?? null,
  });
  const documents = await openDocuments(file, log);
  const service = new Service({
    file,
    surroundings: ofThisProcess(options.config, reach),
    host: file.host,
    members,
    state,
    undoKeeper,
    restoreKeeper,
    repository,
    freezeLedger,
    happenings: metrics.happenings,
    documents,
    log,
  });
  running.service = service;
  const server = await serveAgents({
    listen: file.listen,
    tls: file.tls,
    onStream: (stream) => service.serve(stream),
    refusal: () => service.refusal,
    onRefused: ({ peer, cause }) => {
      metrics.happenings.peerRefused();
      log.warn({ event: 'refused', from: peer }, `${peer} refused: ${cause}`);
    },
  });
  running.server = server;
  const certificates = new CertificateWatch({ reload: () => server.reload(), log });
  log.info(
    { event: 'listening', address: file.listen, grid: file.grid, members: [...members.keys()] },
    `listening on ${file.listen}`,
  );
  serviceManager.ready(
    `listening on ${file.listen}; grid ${file.grid}, members: ${[...members.keys()].join(', ')}`,
  );
  giveMemoryBack();
  endOnSignal(log, async () => {
    serviceManager.stopping();
    certificates.stop();
    metrics.close();
    await service.end();
    await documents?.end();
    restoreKeeper.stop();
    await server.close();
  });
}

/** What carries them out takes memory, and most agents have none. */
async function openDocuments({ documents, state }: AgentFile, log: Logger): Promise<Documents | null> {
  if (documents === undefined) return null;
  const { DocumentController } = await import('./documents/controller.ts');
  return DocumentController.open({ settings: documents, state, log, reach, now: () => new Date() });
}

async function check(path: string): Promise<void> {
  const { problems, notes } = await checkAgentFile(path);
  const lines = [
    ...problems.map(({ message, hint }) => `problem: ${message}\n  hint: ${hint}`),
    ...notes.map((note) => `note: ${note}`),
    problems.length === 0 ? `${path} is right` : `${path} is not right`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  process.exit(problems.length === 0 ? 0 : 2);
}

async function held(path: string): Promise<void> {
  const members = await membersHeld(path);
  process.stdout.write(members.map((words) => `${words}\n`).join(''));
  process.exit(members.length === 0 ? EXIT.done : EXIT.maybeFrozen);
}

async function init(words: readonly string[]): Promise<void> {
  const { initialize } = await import('./init/initialize.ts');
  process.exit(await initialize(words, (line) => void process.stdout.write(`${line}\n`)));
}

function readOptions(): Options {
  const [verb] = process.argv.slice(2);
  const { values } = parseArgs({
    args: process.argv.slice(verb === 'init' ? 3 : 2),
    options: {
      config: { type: 'string', default: '/etc/stillpoint/agent.yaml' },
      check: { type: 'boolean', default: false },
      held: { type: 'boolean', default: false },
      'log-level': { type: 'string', default: process.env['STILLPOINT_LOG_LEVEL'] ?? 'info' },
      version: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help || values.version) {
    process.stdout.write(values.help ? USAGE : `${version}\n`);
    process.exit(0);
  }
  return {
    config: values.config,
    logLevel: values['log-level'],
    check: values.check,
    held: values.held,
  };
}

function endOnSignal(log: Logger, end: () => Promise<void>): void {
  let ending = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (ending) return;
      ending = true;
      log.info({ event: 'ending', signal }, `ending on ${signal}`);
      void end().finally(() => process.exit(0));
    });
  }
}

/** What may pass by itself, so that whoever starts the agent starts it again. */
const MAY_PASS = ['cannot-listen', 'agent-disk', 'agent-disk-full'];

/** 2 where a person must mend something first: a file, or the command line, which parseArgs reads. */
function exitCodeOf(error: unknown): 1 | 2 {
  if (error instanceof StillpointError) return MAY_PASS.includes(error.failure.code) ? 1 : 2;
  return (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true ? 2 : 1;
}

function complain(error: unknown): void {
  const { message, hint } =
    error instanceof StillpointError
      ? error.failure
      : { message: error instanceof Error ? error.message : String(error), hint: 'stillpoint-agent --help' };
  process.stderr.write(`stillpoint-agent: ${message}\nhint: ${hint}\n`);
}

try {
  await main();
} catch (error) {
  complain(error);
  process.exit(exitCodeOf(error));
}
