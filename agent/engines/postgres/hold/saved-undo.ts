import type { Guardian, HoldContext, Undo } from '../../engine.ts';

/** What a hold has changed on its server: on disk and with the guard before the change, and until it is taken back. */
export class SavedUndo<Kind extends Undo> {
  readonly #context: Pick<HoldContext, 'saveUndo'>;
  #undo: Kind | null = null;
  #saving: Promise<void> = Promise.resolve();

  constructor(context: Pick<HoldContext, 'saveUndo'>) {
    this.#context = context;
  }

  /** Null while nothing is to be taken back. */
  get current(): Kind | null {
    return this.#undo;
  }

  /** Awaited before the change. */
  async save(undo: Kind): Promise<void> {
    this.#undo = undo;
    await this.#write(undo);
  }

  /** The change was taken back. */
  async clear(): Promise<void> {
    await this.#write(null);
    this.#undo = null;
  }

  /** Takes the change back over the guardian, in whatever state. What could not be is kept. */
  async perform(guardian: Guardian): Promise<void> {
    await this.#saving.catch(() => undefined);
    if (this.#undo === null) return;
    await guardian.undo(this.#undo);
    await this.clear();
  }

  #write(undo: Kind | null): Promise<void> {
    this.#saving = this.#context.saveUndo(undo);
    return this.#saving;
  }
}
