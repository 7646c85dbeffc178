/** Something a client wrote. It must not be in a cut without all that its writer knew. */
export interface Effect {
  readonly member: number;
  readonly causes: readonly Effect[];
  /** Its place in the member's log; null before it is there. */
  place: number | null;
  /** When its writer was told of it; null before. */
  acknowledgedAt: number | null;
}

interface Writer {
  readonly effect: Effect;
  readonly answer: (acknowledged: boolean) => void;
}

/** What clients wrote on one member: what is in its log, what of it is visible, and who waits for what. */
export class Written {
  readonly log: Effect[] = [];
  /** So much of the log is visible to everyone. */
  visible = 0;
  #unacknowledged: Writer[] = [];
  #blocked: Writer[] = [];

  /** It waits before the log. */
  block(effect: Effect, answer: Writer['answer']): void {
    this.#blocked.push({ effect, answer });
  }

  /** It is in the log, durable from here on; nobody sees it yet. */
  append(effect: Effect, answer: Writer['answer']): void {
    effect.place = this.log.length;
    this.log.push(effect);
    this.#unacknowledged.push({ effect, answer });
  }

  /** Whoever waited before the log is let in, one after the other, as long as there is room. */
  letIn(hasRoom: () => boolean, logged: (effect: Effect) => void): void {
    while (this.#blocked.length > 0 && hasRoom()) {
      const [{ effect, answer }] = this.#blocked.splice(0, 1) as [Writer];
      this.append(effect, answer);
      logged(effect);
    }
  }

  /** So many wait before the log. */
  get waiting(): number {
    return this.#blocked.length;
  }

  /** Where a mark that is made now ends: what only waits is behind it. */
  get end(): number {
    return this.log.length;
  }

  /** All that is in the log becomes visible, and its writers are told, but for those whose answer is lost. */
  show(isTold: () => boolean): void {
    this.visible = this.log.length;
    const writers = this.#unacknowledged;
    this.#unacknowledged = [];
    for (const { answer } of writers) answer(isTold());
  }

  /** Nobody who waits is told anything. */
  disconnect(): void {
    const writers = [...this.#unacknowledged, ...this.#blocked];
    this.#unacknowledged = [];
    this.#blocked = [];
    for (const { answer } of writers) answer(false);
  }
}
