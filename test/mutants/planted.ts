import { PLANTED } from '../simulator/planted.ts';
import type { Edit } from './mutant.ts';

/** A rule of the protocol that the simulator is known to find broken. */
export function planted(id: string): readonly Edit[] {
  const found = PLANTED.find((one) => one.id === id);
  if (found === undefined) throw new Error(`the simulator has nothing planted by the name of ${id}`);
  return found.edits.map((edit) => ({ ...edit, file: `shared/${edit.file}` }));
}
