/** The journal file that ends at a member's mark; in brackets why none does. */
export function journalEnd({
  file,
  isMarked,
  isCovered,
}: {
  readonly file: string | null;
  readonly isMarked: boolean;
  /** Held by the lead of its domain, with the lead's mark. */
  readonly isCovered: boolean;
}): string {
  if (isMarked) return file ?? '(no journal)';
  return isCovered ? '(held by its lead)' : '(observer)';
}
