import { constants as os, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import type { ChunkTask } from './chunk-tasks.ts';
import { performTask } from './chunk-work.ts';

/**
 * Hashes and compresses in a thread of its own, so that the event loop is free for the grid, and at a low priority,
 * so that on a busy host the grid's own work goes before.
 */
setPriority(os.priority.PRIORITY_BELOW_NORMAL);

parentPort?.on('message', ({ id, task }: { id: number; task: ChunkTask }) => {
  try {
    const { result, transfer } = performTask(task);
    parentPort?.postMessage(
      { id, result },
      transfer.map((bytes) => bytes.buffer),
    );
  } catch (error) {
    parentPort?.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
});
