import { createInterface } from 'node:readline';
import type { Occupation } from './held-job.ts';
import type { HeldGrid } from './hold-report.ts';

type Told = (held: HeldGrid) => Promise<void>;

/** A person, or a script, copies by other means: the grid is held until a line comes, SIGTERM, or a word from elsewhere. */
export function untilLetGo(told: Told, input: NodeJS.ReadableStream): Occupation {
  const { promise, resolve } = Promise.withResolvers<void>();
  // Without its own terminal, which would take Ctrl-C for itself. The end of the input is no word: a service has none.
  const lines = createInterface({ input, terminal: false });
  return {
    async begin(held) {
      // Whatever was typed before is not meant for it.
      lines.once('line', () => resolve());
      await told(held);
      await promise;
    },
    letGoAsked: () => resolve(),
    end() {
      lines.close();
      return Promise.resolve();
    },
  };
}
