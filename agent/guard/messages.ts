import type { Undo } from '../engines/engine.ts';

/** What agent and guard say to each other: one JSON object a line, over the guard's stdin and stdout. */
export type ToGuard =
  /** Be ready to undo this on the member, and open what that needs now. Replaces an earlier undo. */
  | { readonly type: 'watch'; readonly member: string; readonly undo: Undo; readonly silenceMs: number }
  | { readonly type: 'unwatch'; readonly member: string }
  /** The agent is alive. */
  | { readonly type: 'alive' };

export type FromGuard =
  | { readonly type: 'watching'; readonly member: string }
  | { readonly type: 'refused'; readonly member: string; readonly cause: string }
  /** The guard has undone the member by itself: the agent was silent for too long. */
  | { readonly type: 'undone'; readonly member: string };

/** Splits a byte stream into the JSON objects of its lines. */
export async function* jsonLines<T>(stream: AsyncIterable<Buffer | string>): AsyncIterable<T> {
  let rest = '';
  for await (const chunk of stream) {
    rest += chunk.toString();
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      if (line !== '') yield JSON.parse(line) as T;
    }
  }
}
