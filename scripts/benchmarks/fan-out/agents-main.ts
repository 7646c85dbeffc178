import { readAgentFile } from '../../../agent/agent-file.ts';
import { FreezeLedger } from '../../../agent/freeze-ledger.ts';
import type { StartGuard } from '../../../agent/guard/guard-process.ts';
import { NOBODY_LISTENS } from '../../../agent/happenings.ts';
import { keptRepository } from '../../../agent/kept-repository.ts';
import { RestoreKeeper } from '../../../agent/restore-keeper.ts';
import { Service } from '../../../agent/service.ts';
import { openFreezeRecords, openStateDirectory } from '../../../agent/state-directory.ts';
import { ofThisProcess } from '../../../agent/surroundings.ts';
import { UndoKeeper } from '../../../agent/undo-keeper.ts';
import { serveAgents } from '../../../shared/rpc/agent-server.ts';
import { createLog } from '../../../shared/runtime/log.ts';
import { goOn } from '../../../shared/runtime/moments.ts';
import { pacedEngine, type Pace } from './paced-engine.ts';
import type { FromAgents, Planned, ToAgents } from './messages.ts';

// Many agents in one process: each with its own port, certificate, state directory and service, as agent/main.ts makes
// them, but for the guard, which is not a process here.

const log = createLog({ name: 'fan-out', level: 'silent', neverWaits: true });
const seen = new Map<string, { first: number; last: number; count: number }>();
const heldSince = new Map<string, number>();
let longestHeldMs = 0;
let plan: Planned | null = null;

const now = (): number => Number(process.hrtime.bigint()) / 1e6;

const pace: Pace = {
  stepMs: 1,
  noted(step, _member, at) {
    const [key, time] = [`${step} ${at}`, now()];
    const known = seen.get(key);
    seen.set(key, { first: known?.first ?? time, last: time, count: (known?.count ?? 0) + 1 });
  },
  fault: (step, member) => (plan?.step === step && plan.member === member ? plan.fault : null),
  die: () => process.kill(process.pid, 'SIGKILL') as never,
  held(member, isHeld) {
    const since = heldSince.get(member);
    if (isHeld) heldSince.set(member, now());
    else if (since !== undefined) {
      longestHeldMs = Math.max(longestHeldMs, now() - since);
      heldSince.delete(member);
    }
  },
};

const withinThisProcess: StartGuard = (_operation, heard) => {
  const gone = Promise.withResolvers<void>();
  return {
    say: (message) => {
      if (message.type === 'watch') setImmediate(() => heard({ type: 'watching', member: message.member }));
    },
    hangUp: gone.resolve,
    kill: gone.resolve,
    gone: gone.promise,
  };
};

async function startAgent(configuration: string, names: readonly string[]): Promise<void> {
  const file = await readAgentFile(configuration);
  const members = new Map(
    names.map((name, index) => {
      const address = `${file.host}:${7800 + index}`;
      return [name, { name, engine: pacedEngine(name, address, pace) }] as const;
    }),
  );
  const undoKeeper = new UndoKeeper(members, await openFreezeRecords(file.state), log);
  const state = await openStateDirectory(file.state);
  const repository = keptRepository(file.repository, state);
  const service = new Service({
    file,
    surroundings: { ...ofThisProcess(configuration, goOn), startGuard: withinThisProcess },
    host: file.host,
    members,
    state,
    undoKeeper,
    restoreKeeper: new RestoreKeeper({ members, state, repository, log }),
    repository,
    freezeLedger: new FreezeLedger({
      budget: { perHour: file.freezeBudget.perHour, totalMs: file.freezeBudget.totalSeconds * 1000 },
      host: file.host,
      spent: state.spent(),
      save: (spending) => state.saveSpent(spending),
      wallNow: () => Date.now(),
      monotonicNow: () => performance.now(),
    }),
    happenings: NOBODY_LISTENS,
    documents: null,
    log,
  });
  await serveAgents({ listen: file.listen, tls: file.tls, onStream: (stream) => service.serve(stream) });
}

function answer(message: FromAgents): void {
  process.send?.(message);
}

process.on('message', (message: ToAgents) => {
  if (message.type === 'start') {
    const started = message.agents.map(({ configuration, members }) => startAgent(configuration, members));
    void Promise.all(started).then(() => answer({ type: 'started' }));
  } else if (message.type === 'plan') {
    plan = message.plan;
    seen.clear();
    longestHeldMs = 0;
    answer({ type: 'started' });
  } else {
    const still = [...heldSince.values()].map((since) => now() - since);
    answer({
      type: 'figures',
      seen: Object.fromEntries(seen),
      heldNow: heldSince.size,
      longestHeldMs: Math.max(longestHeldMs, ...still),
      residentMB: process.memoryUsage().rss / 1e6,
    });
  }
});
process.on('disconnect', () => process.exit(0));
