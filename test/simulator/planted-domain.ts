import { plant, type Planted } from './plant.ts';

const ASSIGNMENT = '../coordinator/assignment';
const COMMIT = 'protocol/coordinator-commit';
const COMMANDS = 'protocol/member-commands';
const STEP = 'protocol/coordinator-step';
const VALIDITY = 'protocol/validity';

const BY_THE_LEAD = "? { assignment: { hold: 'lead', part }, heldBy: null }";
const HELD_BY_THE_LEAD = 'if (heldBy !== undefined && leads.has(heldBy)) continue;';
const NOBODY_IS_HELD = "? { assignment: { hold: 'none', part }, heldBy: lead }";

/** Members that share a domain, which its lead holds and copies. */
export const PLANTED_IN_DOMAINS: readonly Planted[] = [
  plant(
    'the-lead-of-a-domain-is-left-out',
    'once',
    [ASSIGNMENT, BY_THE_LEAD, NOBODY_IS_HELD],
    [VALIDITY, HELD_BY_THE_LEAD, 'if (heldBy !== undefined) continue;'],
  ),
  plant('a-domain-without-its-lead-is-never-proven', 'no-reason', [ASSIGNMENT, BY_THE_LEAD, NOBODY_IS_HELD]),
  plant('another-of-the-domain-is-taken-for-its-lead', 'once', [
    ASSIGNMENT,
    'return lead === name',
    'return lead !== name',
  ]),
  plant('each-of-a-domain-is-copied', 'once', [
    ASSIGNMENT,
    "(traits.copies === 'one' && (lead === null || lead === name))",
    "traits.copies === 'one'",
  ]),
  plant('nobody-copies-a-domain', 'once', [ASSIGNMENT, '(lead === null || lead === name)', 'lead === null']),
  plant('who-is-held-by-a-lead-is-armed-too', 'no-reason', [
    STEP,
    "config.members.filter(({ assignment = BY_ITSELF }) => assignment.hold !== 'none')",
    'config.members.filter(({ assignment = BY_ITSELF }) => assignment !== null)',
  ]),
  plant('a-lead-is-not-armed', 'no-reason', [
    STEP,
    "assignment.hold !== 'none'",
    "assignment.hold === 'member'",
  ]),
  plant('the-mark-of-another-is-taken-for-that-of-the-lead', 'proven', [
    COMMIT,
    'mark: marked?.mark ?? null,',
    "mark: (assignment.hold === 'lead' ? [...attempt.marked.values()][0] : marked)?.mark ?? null,",
  ]),
  plant('who-is-held-by-a-lead-is-never-collected', 'no-reason', [
    COMMANDS,
    "if (state.isHeldByLead && phase.name === 'prepared' && isNewer(state, token))",
    'if (false)',
  ]),
];
