import { expect } from 'chai';
import type { RestoreReport } from '../../../coordinator/reports.ts';
import type { History, Moment } from '../../lab/history.ts';

interface Lab {
  readonly history: History;
  done<T>(...words: string[]): Promise<T>;
}

/**
 * Restores, and holds what the grid shows then against what its clients saw: nothing missing, no B without its A.
 * `running`: resolves when the processes of the grid can be asked.
 */
export async function restored(
  lab: Lab,
  { checkpoint, set }: { readonly checkpoint: string; readonly set: string },
  moment: Moment,
  running = (): Promise<void> => Promise.resolve(),
): Promise<void> {
  const { history } = lab;
  await history.stop();
  const report = await lab.done<RestoreReport>('restore', checkpoint, '--set', set, '--stop', '--yes');
  expect(report).to.deep.include({ checkpoint, set, verified: true });
  await running();
  const shown = await history.compare(moment);
  expect(shown).to.include({ missing: 0, withoutCause: 0, lateShown: 0 });
  expect(shown.found).to.be.greaterThan(100);
  expect(shown.late, 'writes after the mark').to.be.greaterThan(50);
}
