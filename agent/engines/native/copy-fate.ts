/**
 * Whether what lies of a checkpoint beside the live data stays. Its commit and an abort may come at the same moment (a
 * guard dies when the coordinator has just committed): whoever comes first decides, and the other leaves it alone.
 */
export class CopyFate {
  #kept: string | null = null;
  #abandoned: string | null = null;

  /** Of a committed checkpoint. False where an abort was first. */
  keep(checkpoint: string): boolean {
    if (this.#abandoned === checkpoint) return false;
    this.#kept = checkpoint;
    return true;
  }

  /** Takes it away, unless the checkpoint is committed. May be called again when `remove` fails. */
  async abandon(checkpoint: string, remove: () => Promise<void>): Promise<void> {
    if (this.#kept === checkpoint) return;
    this.#abandoned = checkpoint;
    await remove();
  }
}
