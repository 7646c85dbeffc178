import type { Machines } from './machines.ts';
import type { Promised } from './promises.ts';

/** One rule broken: what is replaced in which source, and the promise that must be seen to break. */
export interface Planted {
  readonly id: string;
  readonly breaks: Promised;
  readonly edits: readonly Edit[];
  /** A faulty part that is handed in, where that says more than a changed text. */
  readonly handIn?: (machines: Machines) => Partial<Machines>;
}

interface Edit {
  /** From shared/ on. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export function plant(
  id: string,
  breaks: Promised,
  ...edits: readonly (readonly [string, string, string])[]
): Planted {
  return { id, breaks, edits: edits.map(([file, from, to]) => ({ file: `${file}.ts`, from, to })) };
}

/** The same by a part that does what no real one may. */
export function handIn(
  id: string,
  breaks: Promised,
  faulty: (machines: Machines) => Partial<Machines>,
): Planted {
  return { id, breaks, edits: [], handIn: faulty };
}
