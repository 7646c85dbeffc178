import * as z from 'zod';
import { NAME, NAME_RULE } from '../../shared/domain/name.ts';
import type { Answer } from '../../shared/domain/wire.ts';

const DEFAULT_SECONDS = 60;
const SHOWN_CHARACTERS = 500;

const checkSchema = z
  .strictObject({
    name: z.string().min(1).max(100),
    /** Whom it is about; `sql` is asked there. */
    member: z.string().regex(NAME, NAME_RULE).optional(),
    command: z
      .array(z.string(), 'must be a list: the program, then its arguments')
      .min(1, 'must be a list: the program, then its arguments')
      .optional(),
    sql: z.string().min(1).max(64_000).optional(),
    /** Where `sql` is asked; by default the database of the agent's connection. */
    database: z.string().min(1).optional(),
    expect: z
      .union([z.string(), z.number(), z.boolean(), z.strictObject({ atLeast: z.number() })])
      .optional(),
    /** How long `command` may take. */
    seconds: z.number().min(1, 'must be at least 1').max(86_400, 'must be at most 86400').optional(),
  })
  .refine(({ command, sql }) => (command === undefined) !== (sql === undefined), {
    message: 'must have either command or sql',
  })
  .refine(({ sql, member, expect }) => sql === undefined || (member !== undefined && expect !== undefined), {
    message: 'with sql must say the member that is asked, and what to expect',
  });

/** The operator's own checks, as the grid file has them. */
export const drillChecksSchema = z
  .array(checkSchema)
  .refine((checks) => new Set(checks.map(({ name }) => name)).size === checks.length, {
    message: 'must have a name of its own each',
  });

export type DrillCheck = z.infer<typeof checkSchema>;

/** What became of one check. */
export interface CheckResult {
  readonly name: string;
  readonly member: string | null;
  readonly kind: 'command' | 'sql';
  readonly passed: boolean;
  /** In words; null where the end of the command alone counts. */
  readonly expected: string | null;
  /** What it said, shortened; empty where it said nothing. */
  readonly said: string;
  /** Why it failed; empty where it passed. */
  readonly cause: string;
  readonly durationMs: number;
}

export function timeLimitMs({ seconds = DEFAULT_SECONDS }: DrillCheck): number {
  return seconds * 1000;
}

/** Holds what was said against what was expected. */
export function resultOf(check: DrillCheck, { text, error, durationMs }: Omit<Answer, 'name'>): CheckResult {
  const expected = check.expect === undefined ? null : inWords(check.expect);
  const met = check.expect === undefined || isMet(check.expect, text.trim());
  const cause = error !== '' ? error : met ? '' : `it said ${shortened(text) || 'nothing'}`;
  return {
    name: check.name,
    member: check.member ?? null,
    kind: check.sql === undefined ? 'command' : 'sql',
    passed: cause === '',
    expected,
    said: shortened(text),
    cause,
    durationMs,
  };
}

function isMet(expect: NonNullable<DrillCheck['expect']>, said: string): boolean {
  if (typeof expect === 'object') return isNumber(said) && Number(said) >= expect.atLeast;
  if (typeof expect === 'number') return isNumber(said) && Number(said) === expect;
  if (typeof expect === 'boolean') return (expect ? ['true', 't'] : ['false', 'f']).includes(said);
  return said === expect.trim();
}

function isNumber(said: string): boolean {
  return said !== '' && Number.isFinite(Number(said));
}

function inWords(expect: NonNullable<DrillCheck['expect']>): string {
  return typeof expect === 'object' ? `at least ${expect.atLeast}` : String(expect);
}

function shortened(text: string): string {
  const trimmed = text.trim();
  return trimmed.length > SHOWN_CHARACTERS ? `${trimmed.slice(0, SHOWN_CHARACTERS)}…` : trimmed;
}
