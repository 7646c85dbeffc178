/**
 * What is told as it happens, to whoever counts it. Told in the midst of a freeze: a listener must return at once and
 * never throw.
 */
export interface Happenings {
  /** The members of this host run again, after they were held for so long, the first fence to the last release. */
  membersReleased(heldMs: number): void;
  /** A coordinator was told of a failure. */
  failed(code: string): void;
  /** A peer was turned away before it was heard. */
  peerRefused(): void;
}

export const NOBODY_LISTENS: Happenings = {
  membersReleased: () => undefined,
  failed: () => undefined,
  peerRefused: () => undefined,
};
