import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assertNever } from '../../shared/domain/assert-never.ts';
import type { TestMember } from '../../test/lab/grid.ts';
import { startProgram, until, type RunningCommand } from '../../test/lab/processes.ts';
import { networkTo, type Network } from '../../test/lab/proxy.ts';
import type { SoakLab } from './lab.ts';
import { cancelOneWait, Traffic } from './noise.ts';
import { kindOf, type Fault } from './plan.ts';

/** What a fault is done with. */
interface Scene {
  readonly lab: SoakLab;
  readonly fault: Fault;
  readonly member: TestMember;
}

/** A scene whose members are held at the moment of the fault. */
interface HeldScene extends Scene {
  readonly command: RunningCommand;
  /** Between the coordinator and the agent of the member; null where the fault is not of the network. */
  readonly network: Network | null;
}

/** A moment that has not come by then is not waited for: as long as a checkpoint may take that hangs. */
const COMES_WITHIN_MS = 180_000;
const CREATE = ['--output', 'json', '--log-level', 'info'];

/** Begins a checkpoint. The caller awaits its end. */
export function beginCheckpoint(lab: SoakLab, name: string, gridFile = lab.grid.gridFile): RunningCommand {
  const args = ['checkpoint', 'create', name, ...CREATE, '--grid', gridFile];
  return startProgram('coordinator/main.ts', args, lab.hooks.env);
}

/**
 * Begins a checkpoint and does to it what the fault says. Resolves, when the fault is over, with the time from
 * the fault until every server committed again. Rejects when that took longer than it may, or when the
 * checkpoint ended before the moment came. `begun` is called with the command as soon as there is one.
 */
export async function beginSpoiled(
  lab: SoakLab,
  name: string,
  fault: Fault,
  begun: (command: RunningCommand) => void,
): Promise<number> {
  const scene = { lab, fault, member: lab.grid.member(fault.member) };
  if (fault.moment === 'before') {
    const thawMs = await doBefore(scene);
    begun(beginCheckpoint(lab, name));
    return thawMs;
  }
  const { agentAddress } = lab.grid.hosts[scene.member.host] ?? { agentAddress: '' };
  const network = isOfNetwork(fault) ? await networkTo(agentAddress) : null;
  try {
    const who = fault.moment === 'committing' ? 'coordinator' : fault.member;
    lab.hooks.hold(fault.moment, who);
    const gridFile = network === null ? lab.grid.gridFile : gridFileThrough(lab, agentAddress, network);
    const command = beginCheckpoint(lab, name, gridFile);
    begun(command);
    await lab.hooks.reachedBy(command, fault.moment, who, COMES_WITHIN_MS);
    const thawMs = await doWhileHeld({ ...scene, command, network });
    // What the network carries is the checkpoint's until it has ended.
    if (network !== null) await command.finished;
    return thawMs;
  } finally {
    lab.hooks.reset();
    network?.close();
  }
}

/** Nothing is frozen. Resolves when what was killed runs again. */
async function doBefore({ lab, fault, member }: Scene): Promise<number> {
  const at = performance.now();
  if (fault.kind === 'agent killed and started') {
    await lab.grid.killAgent(member.host);
    await lab.grid.startAgent(member.host);
    return lab.commitsSince(at, kindOf(fault).thawLimitMs);
  }
  await killServer(member);
  await member.server.start();
  const thawMs = await lab.commitsSince(performance.now(), kindOf(fault).thawLimitMs);
  await standbysToFollow(lab, member);
  return thawMs;
}

async function doWhileHeld(scene: HeldScene): Promise<number> {
  const { lab, fault, member, command, network } = scene;
  const at = performance.now();
  const committing = (since = at): Promise<number> => lab.commitsSince(since, kindOf(fault).thawLimitMs);
  switch (fault.kind) {
    case 'agent killed': {
      await lab.grid.killAgent(member.host);
      // Its guard, and not its successor, is what thaws.
      const thawMs = await committing();
      lab.hooks.reset();
      await lab.grid.startAgent(member.host);
      return thawMs;
    }
    case 'guard killed':
      lab.grid.killGuard(member.host);
      return committing();
    case 'agent stopped': {
      const agent = lab.grid.agents[member.host];
      agent?.signal('SIGSTOP');
      lab.hooks.reset();
      return whileItLasts(fault, committing, () => agent?.signal('SIGCONT'));
    }
    case 'coordinator killed':
      command.signal('SIGKILL');
      await command.finished;
      lab.hooks.reset();
      return committing();
    case 'coordinator interrupted':
      command.signal('SIGINT');
      lab.hooks.reset();
      return committing();
    case 'server killed':
    case 'standby killed': {
      await killServer(member);
      lab.hooks.reset();
      await pause(fault.lastsMs);
      await member.server.start();
      return committing(performance.now());
    }
    case 'wait of a commit cancelled':
      await cancelOneWait(member.server);
      lab.hooks.reset();
      return committing();
    case 'asynchronous commits': {
      const traffic = await Traffic.start(member.server);
      try {
        await traffic.committed();
        lab.hooks.reset();
        const [thawMs] = await Promise.all([committing(), command.finished]);
        return thawMs;
      } finally {
        await traffic.stop();
      }
    }
    case 'network silent both ways':
      network?.cut('toAgent', 'toCoordinator');
      lab.hooks.reset();
      return whileItLasts(fault, committing, () => network?.mend());
    case 'network silent towards the agent':
      network?.cut('toAgent');
      lab.hooks.reset();
      return whileItLasts(fault, committing, () => network?.mend());
    case 'connections broken':
      network?.breakConnections();
      lab.hooks.reset();
      return committing();
    case 'agent killed and started':
    case 'server killed and started':
      throw new Error(`'${fault.kind}' is done before a checkpoint`);
    default:
      return assertNever(fault.kind);
  }
}

/** Ends the fault when its time is over, whether or not servers commit before. */
async function whileItLasts(
  fault: Fault,
  committing: () => Promise<number>,
  end: () => void,
): Promise<number> {
  const [thawMs] = await Promise.all([committing(), pause(fault.lastsMs).then(end)]);
  return thawMs;
}

async function killServer({ name, server }: TestMember): Promise<void> {
  server.kill();
  await until(`${name} to be gone`, () => server.postmasterPid() === null);
}

/** A standby without a connection to its primary refuses a checkpoint: it may lack what is not sent yet. */
async function standbysToFollow(lab: SoakLab, { copyset }: TestMember): Promise<void> {
  for (const { name, server } of lab.grid.members.filter((one) => one.copyset === copyset && one.standby)) {
    await until(`${name} to follow`, async () => {
      const [row] = await server.query<{ status: string }>('SELECT status FROM pg_stat_wal_receiver');
      return row?.status === 'streaming';
    });
  }
}

function isOfNetwork({ kind }: Fault): boolean {
  return (
    kind === 'network silent both ways' ||
    kind === 'network silent towards the agent' ||
    kind === 'connections broken'
  );
}

/** A copy of the grid file in which this agent is behind the network. */
function gridFileThrough(lab: SoakLab, agentAddress: string, network: Network): string {
  const file = join(lab.grid.root, 'grid-through-network.yaml');
  const text = readFileSync(lab.grid.gridFile, 'utf8');
  writeFileSync(file, text.replace(agentAddress, network.address));
  return file;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
