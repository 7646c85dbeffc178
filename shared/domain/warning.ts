/** What an operator should know, but nothing that stops an operation. It crosses the wire. */
export interface Warning {
  /** Stable, and listed in docs/errors.md: rules go by the code, and never by the text. */
  readonly code: string;
  /** The member, host or copyset that it is about; null where it is the grid as a whole. */
  readonly about: string | null;
  /** The fact, for people. */
  readonly text: string;
  /** What to do about it, or see to. */
  readonly hint: string;
  /** What is restored may be damaged, or not as its users left it: where this is asked for, a restore ends of it. */
  readonly doubtful?: boolean;
}

/** One line, as commands and their reports show it. */
export function warningLine({ about, text, hint }: Warning): string {
  return about === null ? `${text}; ${hint}` : `${about}: ${text}; ${hint}`;
}
