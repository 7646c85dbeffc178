import { edit, type Mutant } from '../mutant.ts';

const HOLD = { file: 'coordinator/jobs/hold-grid.test.ts' } as const;
const LET_GO = { file: 'coordinator/jobs/let-go.test.ts' } as const;
const INVOKED = { file: 'coordinator/jobs/invoked.test.ts' } as const;
const AGENT = { file: 'agent/jobs.test.ts' } as const;

/** What operations that copy nothing promise, and the jobs that hold a grid for them. */
export const JOB_MUTANTS: readonly Mutant[] = [
  {
    id: 'S53',
    breaks: 'quiesces processes that store nothing, beside those that do',
    edits: [
      edit(
        'coordinator/jobs/hold-preflight',
        "all.filter(({ description }) => description.role === 'node')",
        'all',
      ),
    ],
    ...HOLD,
  },
  {
    id: 'S54',
    breaks: 'lets an operation be invoked through the first agent of the grid alone',
    edits: [
      edit(
        'coordinator/jobs/invoked',
        'agents.find((address) => address === via || hostOf(address) === via)',
        'agents.slice(0, 1).find((address) => address === via || hostOf(address) === via)',
      ),
    ],
    ...INVOKED,
  },
  {
    id: 'S55',
    breaks: 'takes any name for that of the grid',
    edits: [
      edit(
        'coordinator/jobs/invoked',
        'if (cluster !== gridFile.grid) throw otherCluster(gridFile, cluster);',
        '',
      ),
    ],
    ...INVOKED,
  },
  {
    id: 'S69',
    breaks: 'says that all is quiesced when the first has come to rest',
    edits: [
      edit(
        'shared/protocol/coordinator-attempt',
        'const next = { ...attempt, marked: withEntry(attempt.marked, member, answer) };',
        'const next = { ...attempt, marked: withEntry(attempt.marked, member, answer) }; if (state.config.purpose?.type === "quiesce") return becomeHolding(state, next);',
      ),
    ],
    ...HOLD,
  },
  {
    id: 'S70',
    breaks: 'waits for a member that comes to rest no longer than for an instant',
    edits: [edit('coordinator/jobs/hold-grid', 'freezeMs: purpose.timeOutMs + FREEZE_MARGIN_MS,', '')],
    ...HOLD,
  },
  {
    id: 'S72',
    breaks: 'names the first member that did not come to rest, and no other',
    edits: [edit('coordinator/jobs/held-job', 'input.waitsForMembers ? GATHER_MS : 0', '0')],
    ...HOLD,
  },
  {
    id: 'S73',
    breaks: 'lets a quiesce go as soon as it is there',
    edits: [
      edit(
        'coordinator/jobs/held-job',
        'await this.#occupation?.begin(held);',
        'void this.#occupation?.begin(held);',
      ),
    ],
    ...HOLD,
  },
  {
    id: 'S74',
    breaks: 'lets anybody resume, whatever token is given',
    edits: [
      edit(
        'agent/jobs',
        "if (asked.operation !== '' && asked.operation !== held.operation) throw otherJob(held.holder);",
        '',
      ),
    ],
    ...AGENT,
  },
  {
    id: 'S74',
    breaks: 'takes whichever quiesce there is for the one whose token was given',
    edits: [
      edit(
        'coordinator/jobs/let-go',
        'job === null ? held.purpose?.type === purpose : held.operation === job',
        'held.purpose?.type === purpose',
      ),
    ],
    ...LET_GO,
  },
  {
    id: 'S75',
    breaks: 'calls a job that is over resumed, whatever it has proven',
    edits: [
      edit(
        'coordinator/jobs/let-go',
        'if (manifest === null) throw alreadyResumed({ held, purpose, hosts, unreached: [] });',
        'if (manifest === null) return { state: "resumed" } as never;',
      ),
    ],
    ...LET_GO,
  },
  {
    id: 'S76',
    breaks: 'gives a journal checkpoint the number of the last one',
    edits: [
      edit('coordinator/operation-run', 'counter: known.counter + 1', 'counter: Math.max(1, known.counter)'),
    ],
    ...HOLD,
  },
  {
    id: 'S77',
    breaks: "leaves a data server's journal out where another's is of the same name",
    edits: [
      edit(
        'coordinator/checkpoint-report',
        ': [[address, mark.journalFile]],',
        ': [[mark.journalFile, mark.journalFile]],',
      ),
    ],
    ...HOLD,
  },
  {
    id: 'S88',
    breaks: 'says that all is frozen without the journal checkpoint in it',
    edits: [edit('coordinator/jobs/hold-report', 'journalMap: journalMapOf(members),', 'journalMap: {},')],
    ...HOLD,
  },
  {
    id: 'S91',
    breaks: 'takes a freeze for held though a write daemon had resumed',
    edits: [
      edit(
        'shared/protocol/validity',
        'if (!suspension.held) return { member, cause: suspension.cause };',
        '',
      ),
    ],
    ...HOLD,
  },
  {
    id: 'S91',
    breaks: "leaves nothing in the members' logs where a thaw finds nobody frozen",
    edits: [edit('agent/jobs', 'if (isThaw) await sayAlreadyResumed(context, work);', '')],
    ...AGENT,
  },
  {
    id: 'S92',
    breaks: "takes a host's silence for the word that its members run",
    edits: [edit('coordinator/jobs/let-go', 'if (isHeld || unreached.length > 0)', 'if (isHeld)')],
    ...LET_GO,
  },
  {
    id: 'S125',
    breaks: 'lets go of all members but one at the end of a quiesce',
    edits: [
      edit(
        'shared/protocol/coordinator-hold',
        "...toEach(holders(state), { type: 'thaw'",
        "...toEach(holders(state).slice(1), { type: 'thaw'",
      ),
    ],
    file: 'protocol/coordinator-hold.test.ts',
  },
  {
    id: 'S130',
    breaks: 'warns of no node whose memory is full before the time of a freeze is over',
    edits: [
      edit(
        'coordinator/jobs/hold-preflight',
        'updatesHaveRoomMs >= purpose.timeOutMs',
        'updatesHaveRoomMs >= 0',
      ),
    ],
    file: 'coordinator/jobs/hold-preflight.test.ts',
  },
];
