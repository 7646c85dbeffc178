/**
 * Who gets a member's journal as it is written. A member's fence keeps a commit from being seen on that member;
 * whoever has its journal may show the commit all the same.
 */
export interface Viewer {
  /** `standby`: a copy that replays. `logical`: a consumer of decoded changes. */
  readonly kind: 'standby' | 'logical';
  /** The name under which the member knows it. A member that is this viewer says the same of itself. */
  readonly key: string;
  /** The operator has said that clients cannot read from it. */
  readonly isBlind: boolean;
  /** For people: `standby ab at 10.0.0.7`. */
  readonly words: string;
}

/** A member's place among those that pass journals on, as its engine saw it at one moment. */
export interface Viewing {
  /** The key by which this member is known where it streams from; null: it does not stream now. */
  readonly streamsAs: string | null;
  /** What this member subscribes to; `key` is that of the logical viewer which it would be. */
  readonly subscriptions: readonly Subscription[];
  readonly viewers: readonly Viewer[];
}

export interface Subscription {
  readonly name: string;
  readonly key: string;
  readonly publications: readonly string[];
}
