/** Does something again and again, never twice at once, with a pause between; `now` does without the pause. */
export interface Repetition {
  now(): void;
  /** Resolves when it is not under way any more. */
  stop(): Promise<void>;
}

export function every(pauseMs: () => number, work: () => Promise<void>): Repetition {
  let wake = Promise.withResolvers<void>();
  let stopped = false;
  const underWay = (async () => {
    while (!stopped) {
      wake = Promise.withResolvers();
      await work();
      const timer = setTimeout(wake.resolve, pauseMs());
      await wake.promise;
      clearTimeout(timer);
    }
  })();
  return {
    now: () => wake.resolve(),
    async stop() {
      stopped = true;
      wake.resolve();
      await underWay;
    },
  };
}

/** The answer, or undefined where there was an error, or none in time. */
export async function answerOf<T>(call: Promise<T>, withinMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, withinMs, undefined)));
  try {
    return await Promise.race([call, late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
