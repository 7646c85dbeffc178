/** Counting, apart from what is counted: which of the expected have not answered yet, in their order. */
export function missing<T>(
  expected: readonly string[],
  answered: ReadonlyMap<string, T> | ReadonlySet<string>,
): string[] {
  return expected.filter((name) => !answered.has(name));
}

export function isComplete<T>(
  expected: readonly string[],
  answered: ReadonlyMap<string, T> | ReadonlySet<string>,
): boolean {
  return expected.every((name) => answered.has(name));
}

/** A map with one more entry; the one given stays as it was. */
export function withEntry<T>(map: ReadonlyMap<string, T>, name: string, value: T): ReadonlyMap<string, T> {
  return new Map(map).set(name, value);
}
