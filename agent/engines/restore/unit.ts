import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Finding } from '../engine.ts';
import { readRecord, type SwitchRecord } from './directory-switch.ts';
import { controlGroups, systemctl } from '../systemctl.ts';

// A member that systemd runs: `unit` in the agent's file. systemd is told, and then asked; no call of ours waits for a
// job of its, which may take for ever.

const LOOK_EVERY_MS = 100;
/** What has ended is seen by systemd a moment later. */
const SETTLE_MS = 5000;
/** What a unit does behind the start of its process: Debian's pg_ctlcluster looks whether the server answers. */
const ACTIVE_MS = 30_000;

interface UnitState {
  /** The name that it has besides aliases. */
  readonly id: string;
  /** `loaded`, `masked`, `not-found`, … */
  readonly load: string;
  readonly active: string;
  readonly sub: string;
  /** Why it ended: `success`, `exit-code`, `timeout`, … */
  readonly result: string;
  /** The file that says what it is. */
  readonly file: string;
  readonly controlGroup: string;
}

/** What is asked of a member's settings here. */
interface Supervised {
  readonly name: string;
  readonly unit: string;
}

interface MaybeSupervised {
  readonly name: string;
  readonly unit?: string | undefined;
}

export function hasUnit<T extends MaybeSupervised>(settings: T): settings is T & Supervised {
  return settings.unit !== undefined;
}

/** systemd runs something of this unit, or will by itself. */
export async function isUnitUp(member: Supervised): Promise<boolean> {
  return isUp(await stateOf(member));
}

/** Why systemd has given up on a unit that was told to start; null while it has not. */
export async function whyUnitFailed(member: Supervised): Promise<string | null> {
  const { load, active, result } = await stateOf(member);
  if (active !== 'failed' && !(active === 'inactive' && result !== 'success')) return null;
  return `systemd says of ${member.unit}: ${load === 'masked' ? 'masked' : active} (${result})`;
}

/**
 * Why systemd does not count the start of a unit as done although its member does its work; null when it does, which is
 * waited for. A unit that waits for a pid file of another name stays so until systemd ends the member again.
 */
export async function whyNotActive(member: Supervised, limitMs = ACTIVE_MS): Promise<string | null> {
  const { active, sub } = await stateWhen(member, limitMs, (state) => state.active !== 'activating');
  if (active === 'active' || active === 'reloading') return null;
  return `${member.name} does its work, and systemd says of ${member.unit}: ${active} (${sub}); it may end it again: systemctl status ${member.unit} says what it waits for`;
}

/** Gives the start. Whether it was one, the member itself says. */
export async function startUnit(member: Supervised): Promise<void> {
  await releaseUnit(member);
  // A unit that failed often is not started any more; there may be nothing to reset.
  await tell(member, 'reset-failed').catch(() => undefined);
  await tell(member, 'start', '--no-block');
}

/** Resolves when nothing of the unit runs any more. */
export async function stopUnit(member: Supervised, signal: AbortSignal, limitMs: number): Promise<void> {
  if (!(await isUnitUp(member))) return;
  await tell(member, 'stop', '--no-block');
  if (isDown(await stateWhen(member, limitMs, isDown, signal))) return;
  throw new StillpointError({
    code: 'cannot-stop',
    message: `${member.unit} of ${member.name} still runs ${limitMs / 1000} s after it was told to stop`,
    hint: `see what it waits for (systemctl status ${member.unit}), and stop it by hand`,
  });
}

/** From here to the end of the restore that has the directory nobody starts the member, which has been stopped. */
export async function holdForRestore(settings: MaybeSupervised, directory: string): Promise<void> {
  if (hasUnit(settings) && (await readRecord(directory)) !== null) await holdUnit(settings);
}

/** The same of a member that still runs: what is masked has lost its own way of stopping, so its process is ended. */
export async function maskForRestore(settings: MaybeSupervised, directory: string): Promise<void> {
  if (hasUnit(settings) && (await readRecord(directory)) !== null) await mask(settings);
}

/** Idempotent; the record of the restore knows the unit, also when the agent's file names another by now. */
export async function releaseAfterRestore(name: string, { unit }: SwitchRecord): Promise<void> {
  if (unit !== undefined) await releaseUnit({ name, unit });
}

/** Keeps systemd from starting the unit, whoever asks for it, until it is released or the host is booted anew. */
async function holdUnit(member: Supervised): Promise<void> {
  await mask(member);
  if (isDown(await stateWhen(member, SETTLE_MS, isDown))) return;
  await releaseUnit(member);
  throw new StillpointError({
    code: 'member-running',
    message: `${member.name} runs again: something started ${member.unit} after it was stopped`,
    hint: 'pause what supervises it (Patroni, a health check) for the time of the restore',
  });
}

async function mask(member: Supervised): Promise<void> {
  await tell(member, 'mask', '--runtime');
  const state = await stateOf(member);
  if (state.load === 'masked') return;
  await releaseUnit(member);
  throw notMaskable(member, state);
}

/** Idempotent. A mask that its owner has made to stay is left. */
async function releaseUnit(member: Supervised): Promise<void> {
  await tell(member, 'unmask', '--runtime');
}

/** Rejects where a restore could not start, stop and hold the member by its unit. `pid`: of its process, if it runs. */
export async function mustBeUsable(member: Supervised, pid: number | null): Promise<void> {
  const state = await stateOf(member);
  mustBeHoldable(member, state);
  await mustRun(member, state, pid);
}

function mustBeHoldable(member: Supervised, state: UnitState): void {
  const { name, unit } = member;
  mustBeLoaded(member, state);
  if (state.id !== unit)
    throw unusable(
      `${unit} of ${name} is another name of ${state.id}, which would not be held during a restore`,
      `write unit: ${state.id} in the agent file`,
    );
  if (isShadowed(state.file, unit)) throw notMaskable(member, state);
}

function mustBeLoaded({ name, unit }: Supervised, { load }: UnitState): void {
  if (load === 'masked')
    throw unusable(`${unit} of ${name} is masked: systemd does not start it`, `systemctl unmask ${unit}`);
  if (load !== 'loaded')
    throw unusable(
      `systemd cannot load ${unit} of ${name}: ${load}`,
      'correct unit in the agent file: systemctl list-units --type=service --all',
    );
}

async function mustRun(
  { name, unit }: Supervised,
  { controlGroup }: UnitState,
  pid: number | null,
): Promise<void> {
  if (pid === null || (await isIn(pid, controlGroup))) return;
  throw unusable(
    `${name} runs (process ${pid}), and not in ${unit}: systemd could not stop it`,
    `name the unit that runs it (systemctl status ${pid}), or stop it and: systemctl start ${unit}`,
  );
}

/** For `grid doctor`: what would keep a restore from starting, stopping and holding a member by its unit. */
export function unitFindings(member: Supervised, pid: number | null): Promise<Finding[]> {
  return findings(() => mustBeUsable(member, pid));
}

/** The same of a member that a restore leaves running: it is stopped by its unit, and nobody is kept from starting it. */
export function stopFindings(member: Supervised, pid: number | null): Promise<Finding[]> {
  return findings(async () => {
    const state = await stateOf(member);
    mustBeLoaded(member, state);
    await mustRun(member, state, pid);
  });
}

async function findings(look: () => Promise<void>): Promise<Finding[]> {
  try {
    await look();
    return [];
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    return [{ level: 'problem', failure: error.failure }];
  }
}

function isDown(state: UnitState): boolean {
  return !isUp(state);
}

function isUp({ active, sub }: UnitState): boolean {
  // A unit that stays active when its program has ended, as Debian's postgresql.service, runs nothing.
  return !['inactive', 'failed'].includes(active) && sub !== 'exited';
}

/** systemd looks in /etc before it looks in /run, where a mask for this boot stands. */
function isShadowed(file: string, unit: string): boolean {
  return file.startsWith('/etc/systemd/system/') && basename(file) === unit;
}

async function isIn(pid: number, controlGroup: string): Promise<boolean> {
  const groups = controlGroups(await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''));
  return (
    controlGroup !== '' &&
    groups.some((group) => group === controlGroup || group.startsWith(`${controlGroup}/`))
  );
}

/** As it is when it is so, or when the time is over. */
async function stateWhen(
  member: Supervised,
  limitMs: number,
  isSo: (state: UnitState) => boolean,
  signal?: AbortSignal,
): Promise<UnitState> {
  const until = performance.now() + limitMs;
  for (;;) {
    const state = await stateOf(member);
    if (isSo(state) || performance.now() > until) return state;
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function stateOf(member: Supervised): Promise<UnitState> {
  const names = ['Id', 'LoadState', 'ActiveState', 'SubState', 'Result', 'FragmentPath', 'ControlGroup'];
  const text = await tell(member, 'show', `--property=${names.join(',')}`);
  const said = new Map(text.split('\n').map((line) => [line.split('=')[0] ?? '', line]));
  const [id = '', load = '', active = '', sub = '', result = '', file = '', controlGroup = ''] = names.map(
    (name) => said.get(name)?.slice(name.length + 1) ?? '',
  );
  if (load !== '' && active !== '') return { id, load, active, sub, result, file, controlGroup };
  throw failed(member, 'show', `it said: ${text.trim()}`);
}

async function tell(member: Supervised, verb: string, ...options: string[]): Promise<string> {
  try {
    return await systemctl(member.unit, [verb, ...options]);
  } catch (error) {
    throw failed(member, verb, (error as Error).message);
  }
}

function failed({ name, unit }: Supervised, verb: string, why: string): StillpointError {
  return new StillpointError({
    code: 'systemctl-failed',
    message: `systemctl ${verb} ${unit} for ${name} failed: ${why}`,
    hint: 'a member with unit needs a host that systemd has booted, and an agent that runs as root',
  });
}

function notMaskable({ name, unit }: Supervised, { file }: UnitState): StillpointError {
  return unusable(
    `${unit} of ${name} cannot be kept from starting during a restore: its file is ${file}`,
    `mv ${file} /usr/local/lib/systemd/system/ && systemctl daemon-reload (what is in /etc wins over a mask for this boot)`,
  );
}

function unusable(message: string, hint: string): StillpointError {
  return new StillpointError({ code: 'unit-unusable', message, hint });
}
