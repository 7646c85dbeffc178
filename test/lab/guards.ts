import { readdirSync, readFileSync } from 'node:fs';

/** The guard processes that were started with this agent file, whoever is or was their agent. */
export function guardsOf(configuration: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const program = command.findIndex((word) => /agent\/guard\/main\.[jt]s$/.test(word));
      return program >= 0 && command[program + 1] === configuration ? [Number(name)] : [];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });
}

/** The one guard of an agent; throws where there is none or more than one. */
export function guardOf(configuration: string): number {
  const [guard, ...others] = guardsOf(configuration);
  if (guard === undefined || others.length > 0)
    throw new Error(`${guard === undefined ? 'no guard' : 'more than one guard'} of ${configuration}`);
  return guard;
}
