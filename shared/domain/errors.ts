/**
 * Every failure that a person sees is one of these: the fact in lower case, then the remedy.
 * Codes are stable and listed in docs/errors.md.
 */
export const EXIT = {
  done: 0,
  usage: 2,
  refused: 3,
  aborted: 4,
  maybeFrozen: 5,
  invalid: 6,
  rolledBack: 7,
  undecided: 8,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export type Phase =
  | 'preflight'
  | 'prepare'
  | 'freeze'
  | 'thaw'
  | 'collect'
  | 'commit'
  | 'plan'
  | 'stop check'
  | 'stage'
  | 'switch'
  | 'start'
  | 'verify'
  | 'check'
  | 'tear down';

/** What is known of a member when an operation failed. `unknown`: it may still be frozen. */
export type MemberState = 'running' | 'frozen' | 'stopped' | 'unknown';

/** A failure as data: it crosses the wire, and `--output json` prints it. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly host?: string;
  readonly member?: string;
  readonly phase?: Phase;
  /** `host` of those that somebody has to look after: no agent says it, so the wire has no such field. */
  readonly members?: readonly {
    readonly name: string;
    readonly state: MemberState;
    readonly host?: string;
  }[];
  /** The same operation fails with it however often it tries. From engine to member machine: the wire has no such field. */
  readonly isFinal?: boolean;
}

export class StillpointError extends Error {
  readonly failure: Failure;
  readonly exitCode: ExitCode;

  constructor(failure: Failure, exitCode: ExitCode = EXIT.usage, options?: ErrorOptions) {
    super(failure.message, options);
    this.name = 'StillpointError';
    this.failure = failure;
    this.exitCode = exitCode;
  }
}

/** The failure that an unknown thrown value stands for; its own where it is a StillpointError. */
export function failureOf(error: unknown, otherwise: { code: string; hint: string }): Failure {
  if (error instanceof StillpointError) return error.failure;
  const message = error instanceof Error ? error.message : String(error);
  return { code: otherwise.code, message, hint: otherwise.hint };
}
