/**
 * A token identifies one attempt to bring the grid to a still point. Agents keep the highest token they
 * have seen on disk and refuse every older one, so a delayed command of a dead coordinator does nothing.
 */
export interface Token {
  readonly epoch: number;
  readonly counter: number;
  readonly attempt: number;
}

/** Negative when `a` is older than `b`, 0 when they are the same attempt, positive when newer. */
export function compareTokens(a: Token, b: Token): number {
  return a.epoch - b.epoch || a.counter - b.counter || a.attempt - b.attempt;
}

export function sameToken(a: Token | null, b: Token | null): boolean {
  return a !== null && b !== null && compareTokens(a, b) === 0;
}

/** `0/7/1`: epoch, counter, attempt. For logs and errors. */
export function formatToken(token: Token): string {
  return `${token.epoch}/${token.counter}/${token.attempt}`;
}
