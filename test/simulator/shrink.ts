import type { Machines } from './machines.ts';
import { simulate, type Run } from './run.ts';
import type { Scenario } from './scenario.ts';

/**
 * The shortest list of faults, of those that the scenario has, with which the same promise still breaks: first
 * without halves of it, then without single ones, until none can be spared; with the real repository also of its
 * faults and its operators, with a job also of operators' backups. Then fewer clients.
 */
export async function shrink(
  scenario: Scenario,
  machines: Machines,
): Promise<{ scenario: Scenario; run: Run; runs: number }> {
  let best = scenario;
  let run = await simulate(scenario, { machines });
  const { failure } = run;
  let runs = 1;
  const stillFails = async (smaller: Scenario): Promise<boolean> => {
    runs += 1;
    const attempted = await simulate(smaller, { machines });
    if (attempted.failure === null || attempted.failure.promise !== failure?.promise) return false;
    best = smaller;
    run = attempted;
    return true;
  };
  const spare = async <T>(
    of: (one: Scenario) => readonly T[],
    withThese: (these: readonly T[]) => Scenario,
  ) => {
    for (let size = Math.ceil(of(best).length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let from = 0; from < of(best).length;) {
        const these = of(best).filter((_, index) => index < from || index >= from + size);
        if (!(await stillFails(withThese(these)))) from += size;
        else if (size === 1) from = 0;
      }
    }
  };
  await spare(
    (one) => one.faults,
    (faults) => ({ ...best, faults }),
  );
  const { storage } = best;
  if (storage !== null) {
    await spare(
      (one) => one.storage?.faults ?? [],
      (faults) => ({ ...best, storage: { ...(best.storage ?? storage), faults } }),
    );
    await spare(
      (one) => one.storage?.operators ?? [],
      (operators) => ({ ...best, storage: { ...(best.storage ?? storage), operators } }),
    );
  }
  const { hold } = best;
  if (hold !== undefined)
    await spare(
      (one) => one.hold?.backups ?? [],
      (backups) => ({ ...best, hold: { ...hold, backups } }),
    );
  while (best.clients > 1 && (await stillFails({ ...best, clients: best.clients - 1 })));
  return { scenario: best, run, runs };
}
