import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Hold } from '../engine.ts';
import { aborted } from './calls.ts';
import { withParticipant } from './link.ts';
import type { NativeSettings } from './settings.ts';

/**
 * Proxies and satellites store nothing of their own: what they show is held still where it is stored. Only that the
 * same process was there from the beginning to the end is seen to.
 */
export class ObserverHold implements Hold {
  readonly #settings: NativeSettings;
  readonly #cancelled = new AbortController();

  constructor(settings: NativeSettings) {
    this.#settings = settings;
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  async arm(): Promise<{ incarnation: string }> {
    return { incarnation: await this.#incarnation() };
  }

  disarm(): Promise<void> {
    return Promise.resolve();
  }

  async freeze(): Promise<{ incarnation: string; mark: null; fencedAt: number; markedAt: number }> {
    const incarnation = await this.#incarnation();
    const now = performance.now();
    return { incarnation, mark: null, fencedAt: now, markedAt: now };
  }

  async thaw(_token: unknown, released: () => void): Promise<ThawProof> {
    released();
    return { type: 'held', incarnation: await this.#incarnation() };
  }

  release(): Promise<void> {
    this.#cancelled.abort(aborted());
    return Promise.resolve();
  }

  async #incarnation(): Promise<string> {
    this.#cancelled.signal.throwIfAborted();
    const { incarnation } = await withParticipant(this.#settings, (participant) => participant.describe());
    this.#cancelled.signal.throwIfAborted();
    return incarnation;
  }
}
