import { spawnSync } from 'node:child_process';
import { run } from './machine.ts';

// A bridge in a network namespace of its own, and one namespace for each host. The machine has one cable to it, for tests
// that are clients. With the namespaces all of it goes.

const SWITCH = 'stillpoint-switch';
const FIRST = 11;
/** As the machine calls its cable. */
const CABLE = 'stillpoint-lab';
export const NETWORK = '10.213.77.0/24';

export const addressOf = (index: number): string => `10.213.77.${FIRST + index}`;
export const namespaceOf = (host: string): string => `stillpoint-${host}`;

function hasNamespace(name: string): boolean {
  return namespaces().includes(name);
}

export function makeSwitch(): void {
  if (hasNamespace(SWITCH)) return;
  run('ip', ['netns', 'add', SWITCH]);
  inside(SWITCH, ['link', 'add', 'bridge', 'type', 'bridge']);
  inside(SWITCH, ['link', 'set', 'bridge', 'up']);
  run('ip', ['link', 'add', CABLE, 'type', 'veth', 'peer', 'name', 'machine', 'netns', SWITCH]);
  run('ip', ['address', 'add', '10.213.77.1/24', 'dev', CABLE]);
  run('ip', ['link', 'set', CABLE, 'up']);
  inside(SWITCH, ['link', 'set', 'machine', 'master', 'bridge', 'up']);
}

/** A namespace for a host, with a cable to the switch. */
export function connectHost(host: string, index: number): void {
  const name = namespaceOf(host);
  if (hasNamespace(name)) return;
  run('ip', ['netns', 'add', name]);
  inside(name, ['link', 'set', 'lo', 'up']);
  inside(name, ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', host, 'netns', SWITCH]);
  inside(name, ['address', 'add', `${addressOf(index)}/24`, 'dev', 'eth0']);
  inside(name, ['link', 'set', 'eth0', 'up']);
  inside(SWITCH, ['link', 'set', host, 'master', 'bridge', 'up']);
}

/** A station that no host of the network is. */
const NOBODY = '02:00:00:00:00:01';

/**
 * From now on nothing that one host sends reaches the others, nor the other way round, and none of them is told. Whoever
 * else is on the network reaches all of them. A host that boots again is parted no more.
 */
export function part(one: Station, others: readonly Station[]): void {
  for (const other of others) {
    lead(one, other, ['lladdr', NOBODY, 'nud', 'permanent']);
    lead(other, one, ['lladdr', NOBODY, 'nud', 'permanent']);
  }
}

/** Undoes `part`. */
export function heal(one: Station, others: readonly Station[]): void {
  for (const other of others) {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const)
      spawnSync('ip', ['-netns', namespaceOf(from.short), 'neigh', 'delete', to.address, 'dev', 'eth0']);
  }
}

interface Station {
  readonly short: string;
  readonly address: string;
}

function lead(from: Station, to: Station, where: readonly string[]): void {
  inside(namespaceOf(from.short), ['neigh', 'replace', to.address, 'dev', 'eth0', ...where]);
}

export function removeNetwork(): void {
  // Its other end goes with it at once; a namespace is emptied some time after it is deleted.
  spawnSync('ip', ['link', 'delete', CABLE]);
  for (const name of namespaces()) if (name.startsWith('stillpoint-')) run('ip', ['netns', 'delete', name]);
}

function namespaces(): string[] {
  const { stdout } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').map((line) => line.split(' ')[0] ?? '');
}

function inside(namespace: string, words: readonly string[]): void {
  run('ip', ['-netns', namespace, ...words]);
}
