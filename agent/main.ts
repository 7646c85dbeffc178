import { parseArgs } from 'node:util';
import { StillpointError } from '../shared/domain/errors.ts';
import { openRepository } from '../shared/repository/open.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { serveAgents } from '../shared/rpc/agent-server.ts';
import { createLog, type Logger } from '../shared/runtime/log.ts';
import { giveMemoryBack } from '../shared/runtime/memory.ts';
import { version } from '../shared/runtime/version.ts';
import { loadAgentFile, type AgentFile } from './agent-file.ts';
import type { AgentMember } from './checkpoint-operation.ts';
import { createEngine } from './engines/registry.ts';
import { FreezeLedger } from './freeze-ledger.ts';
import { RestoreKeeper } from './restore-keeper.ts';
import { Service } from './service.ts';
import { openStateDirectory } from './state-directory.ts';
import { UndoKeeper } from './undo-keeper.ts';
import { hostPort } from './engines/member-schema.ts';

const USAGE = `stillpoint-agent: the daemon on each host of a grid

  stillpoint-agent --config FILE    (else /etc/stillpoint/agent.yaml)

  --config FILE      the agent's file: grid, listen address, certificates, members
  --log-level LEVEL  trace, debug, info (default), warn or error
  --version, --help

Example: stillpoint-agent --config /etc/stillpoint/agent.yaml
`;

async function main(): Promise<void> {
  const options = readOptions();
  const log = createLog({ name: 'stillpoint-agent', level: options.logLevel });
  const file = await loadAgentFile(options.config);
  const members = new Map<string, AgentMember>(
    file.members.map((settings) => [settings.name, { name: settings.name, engine: createEngine(settings) }]),
  );
  const state = await openStateDirectory(file.state);
  const undoKeeper = new UndoKeeper(members, state, log);
  const repository = keptRepository(file);

  // What a killed predecessor left comes first: nobody may ask for a freeze while one is not undone.
  await undoKeeper.undoAll();
  const restoreKeeper = new RestoreKeeper({ members, state, repository, log });
  await restoreKeeper.recover();

  const service = new Service({
    file,
    configuration: options.config,
    host: hostPort(file.listen).host,
    members,
    state,
    undoKeeper,
    restoreKeeper,
    repository,
    freezeLedger: new FreezeLedger({
      budget: { perHour: file.freezeBudget.perHour, totalMs: file.freezeBudget.totalSeconds * 1000 },
      host: hostPort(file.listen).host,
      spent: state.spent(),
      save: (spending) => state.saveSpent(spending),
      wallNow: () => Date.now(),
      monotonicNow: () => performance.now(),
    }),
    log,
  });
  const server = await serveAgents({
    listen: file.listen,
    tls: file.tls,
    onStream: (stream) => service.serve(stream),
    onRefused: ({ peer, cause }) => log.warn({ event: 'refused', from: peer }, `${peer} refused: ${cause}`),
  });
  log.info(
    { event: 'listening', address: file.listen, grid: file.grid, members: [...members.keys()] },
    `listening on ${file.listen}`,
  );
  giveMemoryBack();
  endOnSignal(log, async () => {
    await service.end();
    restoreKeeper.stop();
    await server.close();
  });
}

function readOptions(): { config: string; logLevel: string } {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', default: '/etc/stillpoint/agent.yaml' },
      'log-level': { type: 'string', default: process.env['STILLPOINT_LOG_LEVEL'] ?? 'info' },
      version: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help || values.version) {
    process.stdout.write(values.help ? USAGE : `${version}\n`);
    process.exit(0);
  }
  return { config: values.config, logLevel: values['log-level'] };
}

/** Opened when first needed, and anew after it could not be: an agent starts before its mounts do. */
function keptRepository(file: AgentFile): () => Promise<Repository> {
  let opened: Promise<Repository> | null = null;
  return () => {
    opened ??= openRepository(file.repository, { create: true }).catch((error: unknown) => {
      opened = null;
      throw error;
    });
    return opened;
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

try {
  await main();
} catch (error) {
  const { message, hint } =
    error instanceof StillpointError
      ? error.failure
      : { message: error instanceof Error ? error.message : String(error), hint: 'stillpoint-agent --help' };
  process.stderr.write(`stillpoint-agent: ${message}\nhint: ${hint}\n`);
  process.exit(2);
}
