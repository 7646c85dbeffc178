import type { Outcome } from '../shared/protocol/coordinator-machine.ts';
import type { AgentConnection } from './agents.ts';
import { CheckpointRun, type CheckpointRunInput } from './checkpoint-run.ts';
import { GatedStream, PreparedGate } from './prepared-gate.ts';
import { WindowRehearsal, type RehearsalCheck } from './window-rehearsal.ts';

/** So much longer a checkpoint may take for its window being short. */
const MOST_MS = 1500;

/**
 * Drives one checkpoint to its end. When all members are prepared, and before any is armed, the window is rehearsed with
 * stand-ins: the run hears that they are prepared when that is over. `check`: of what stand-ins may say, anew for each round.
 */
export async function runRehearsed(
  run: CheckpointRunInput<AgentConnection>,
  check: () => RehearsalCheck,
): Promise<Outcome> {
  let stop = (): void => undefined;
  const gate = new PreparedGate(
    run.config.members.map(({ name }) => name),
    async () => {
      // Then clients' writes are refused since the prepare: they would be for longer.
      if (run.config.maintenance) return;
      const rehearsal = new WindowRehearsal(run, check, MOST_MS);
      stop = () => rehearsal.stop();
      await rehearsal.start();
    },
  );
  const streams = new Map([...run.streams].map(([address, one]) => [address, new GatedStream(one, gate)]));
  const reconnect = async (address: string): Promise<{ stream: GatedStream; resumed: boolean }> => {
    const { stream, resumed } = await run.reconnect(address);
    // The frame of the operation ends those that stand there.
    run.streams.set(address, stream);
    return { stream: new GatedStream(stream, gate), resumed };
  };
  try {
    return await new Promise<Outcome>((resolve) =>
      new CheckpointRun({ ...run, streams, reconnect }, resolve).start(),
    );
  } finally {
    stop();
  }
}
