import { BootedHost, removeDisks } from './booted-host.ts';
import { rootImage } from './image.ts';
import { endControlGroups } from './machine.ts';
import { addressOf, makeSwitch, removeNetwork } from './network.ts';

/** Alphabetical; the first is where the coordinator's commands are given. */
export const NAMES = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'] as const;

/** Hosts of one network that know each other by name. */
export class HostsLab {
  readonly #hosts = NAMES.map((short, index) => new BootedHost(short, index));
  #image = '';

  /** Boots what is off. Idempotent. */
  async up(say: (words: string) => void, shorts: readonly string[] = NAMES): Promise<void> {
    this.#image = rootImage(say);
    makeSwitch();
    // Two at a time: a boot is work for the processor.
    const waiting = this.#hosts.filter(({ short }) => shorts.includes(short));
    const worker = async (): Promise<void> => {
      for (let host = waiting.shift(); host !== undefined; host = waiting.shift()) {
        say(`booting ${host.name}`);
        await this.boot(host);
      }
    };
    await Promise.all([worker(), worker()]);
  }

  boot(host: BootedHost): Promise<void> {
    return host.boot(this.#image, this.#names());
  }

  host(short: string): BootedHost {
    const found = this.#hosts.find((host) => host.short === short);
    if (found === undefined) throw new Error(`the lab has no host ${short}: ${NAMES.join(', ')}`);
    return found;
  }

  hosts(): readonly BootedHost[] {
    return this.#hosts.filter((host) => host.leader() !== null);
  }

  #names(): string {
    const lines = this.#hosts.map(({ name, short }, index) => `${addressOf(index)} ${name} ${short}\n`);
    return lines.join('');
  }
}

/** Ends and removes all that a lab has left on this machine, but the root image. Idempotent. */
export async function down(): Promise<void> {
  await endControlGroups();
  removeDisks();
  removeNetwork();
}
