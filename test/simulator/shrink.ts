import type { Machines } from './machines.ts';
import { simulate, type Run } from './run.ts';
import type { Scenario } from './scenario.ts';

/**
 * The shortest list of faults, of those that the scenario has, with which the same promise still breaks: first
 * without halves of it, then without single ones, until none can be spared. Then fewer clients.
 */
export function shrink(
  scenario: Scenario,
  machines: Machines,
): { scenario: Scenario; run: Run; runs: number } {
  let best = scenario;
  let run = simulate(scenario, { machines });
  const { failure } = run;
  let runs = 1;
  const stillFails = (smaller: Scenario): boolean => {
    runs += 1;
    const attempted = simulate(smaller, { machines });
    if (attempted.failure === null || attempted.failure.promise !== failure?.promise) return false;
    best = smaller;
    run = attempted;
    return true;
  };
  for (let size = Math.ceil(best.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.faults.length;) {
      const faults = best.faults.filter((_, index) => index < from || index >= from + size);
      if (!stillFails({ ...best, faults })) from += size;
      else if (size === 1) from = 0;
    }
  }
  while (best.clients > 1 && stillFails({ ...best, clients: best.clients - 1 }));
  return { scenario: best, run, runs };
}
