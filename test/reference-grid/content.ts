import { createHash } from 'node:crypto';
import type { Content } from '../../shared/rpc/generated/participant.ts';

const MODULUS = 2n ** 256n;

/** How many rows there are, and a digest that does not depend on the order in which they were written. */
export class RowContent {
  #count = 0;
  #sum = 0n;

  /** The row's value was `before` and is `after`; null is no row. */
  change(row: string, before: string | null, after: string | null): void {
    if (before !== null) this.#add(row, before, -1);
    if (after !== null) this.#add(row, after, 1);
  }

  copy(): RowContent {
    const copy = new RowContent();
    copy.#count = this.#count;
    copy.#sum = this.#sum;
    return copy;
  }

  get message(): Content {
    return {
      count: BigInt(this.#count),
      digest: Buffer.from(this.#sum.toString(16).padStart(64, '0'), 'hex'),
    };
  }

  #add(row: string, value: string, times: 1 | -1): void {
    this.#count += times;
    const digest = createHash('sha256')
      .update(JSON.stringify([row, value]))
      .digest('hex');
    this.#sum = (this.#sum + BigInt(times) * BigInt(`0x${digest}`) + MODULUS) % MODULUS;
  }
}

/** Of a process that had nothing ever. */
export const NO_CONTENT: Content = { count: 0n, digest: Buffer.of() };

/** Of a state that is kept as JSON. */
export function contentOf(count: number, state: unknown): Content {
  return { count: BigInt(count), digest: createHash('sha256').update(JSON.stringify(state)).digest() };
}
