/**
 * Work that many may ask for at once, and that is done once at a time: who asks while it is under way gets the
 * result of the next one, which begins when this one has ended. So every result was looked for after it was
 * asked for, and a flood of askers costs no more than two.
 */
export function shareNext<T>(work: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | null = null;
  let next: Promise<T> | null = null;
  const begin = (): Promise<T> => {
    next = null;
    const started = work().finally(() => {
      // Where one waits to begin, it follows at once.
      if (next === null) current = null;
    });
    current = started;
    return started;
  };
  return () => {
    if (current === null) return begin();
    next ??= current.then(begin, begin);
    return next;
  };
}
