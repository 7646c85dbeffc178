import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BootedHost } from './booted-host.ts';
import { until } from './machine.ts';

/** Where the kernel bounds memory by groups of the first kind, and not by those that systemd makes on the host. */
const FIRST_KIND = '/sys/fs/cgroup/memory';
/** Much less than an agent has: the kernel takes the largest process of a group. */
const LIMIT_BYTES = 24 * 1024 * 1024;
const KILL_MS = 30_000;

/**
 * Has the kernel kill the main process of a unit, and no other, because memory has run out where it stands: its group
 * gets a bound and something that takes all of it. Resolves when it is gone. The bound goes with it.
 */
export async function runOutOfMemory(host: BootedHost, unit: string): Promise<void> {
  const inside = Number(host.shell(`systemctl show --value -p MainPID ${unit}`));
  const pid = host.processes().find((process) => process.inside === inside)?.pid;
  if (pid === undefined) throw new Error(`${host.name}: ${unit} does not run`);
  if (!existsSync(join(FIRST_KIND, 'cgroup.procs'))) {
    host.shell(`systemctl set-property --runtime ${unit} MemoryMax=${LIMIT_BYTES}`);
    await until(`the kernel to kill ${unit}`, KILL_MS, () => !existsSync(`/proc/${pid}`));
    host.shell(`systemctl set-property --runtime ${unit} MemoryMax=infinity`);
    return;
  }
  const group = join(FIRST_KIND, `stillpoint-lab-${host.short}`);
  mkdirSync(group, { recursive: true });
  try {
    writeFileSync(join(group, 'memory.limit_in_bytes'), String(LIMIT_BYTES));
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
    const hog = `echo $$ > ${group}/cgroup.procs; head -c ${8 * LIMIT_BYTES} /dev/zero | tail -c ${8 * LIMIT_BYTES} > /dev/null`;
    spawnSync('sh', ['-c', hog], { timeout: KILL_MS, killSignal: 'SIGKILL' });
    await until(`the kernel to kill ${unit}`, KILL_MS, () => !existsSync(`/proc/${pid}`));
    const kills = /^oom_kill (\d+)$/m.exec(readFileSync(join(group, 'memory.oom_control'), 'utf8'))?.[1];
    if (Number(kills) === 0) throw new Error(`${host.name}: it was not the kernel that ended ${unit}`);
  } finally {
    spawnSync('rmdir', [group]);
  }
}
