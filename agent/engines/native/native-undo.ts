import * as z from 'zod';
import type { Guardian, Undo } from '../engine.ts';
import { connectTo } from './link.ts';
import { isProcessRunning } from './native-process.ts';
import type { NativeSettings } from './settings.ts';

const undoSchema = z.object({ kind: z.literal('native'), operation: z.string().min(1) });

export type NativeUndo = z.infer<typeof undoSchema>;

/** A connection that waits for the bad moment. The process's own leases stand behind it. */
export class NativeGuardian implements Guardian {
  readonly #settings: NativeSettings;
  #participant: Awaited<ReturnType<typeof connectTo>> | null = null;

  constructor(settings: NativeSettings) {
    this.#settings = settings;
  }

  async open(): Promise<this> {
    this.#participant ??= await connectTo(this.#settings);
    return this;
  }

  /** Everything that the operation holds ends. A process that is gone holds nothing. */
  async undo(undo: Undo): Promise<string | null> {
    const { operation } = undoSchema.parse(undo);
    try {
      await this.open();
      await this.#participant?.release({ operation });
    } catch (error) {
      await this.close();
      if (await isProcessRunning(this.#settings)) throw error;
    }
    return null;
  }

  close(): Promise<void> {
    this.#participant?.close();
    this.#participant = null;
    return Promise.resolve();
  }
}
