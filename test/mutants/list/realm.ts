import { edit, type Mutant } from '../mutant.ts';

const PREFLIGHT = { file: 'coordinator/realm-preflight.test.ts' } as const;
const MAIN_JOB = { file: 'e2e/reference/main-job.test.ts' } as const;
const IS_QUORUM = 'if (isMajority(seen, configured)) return;';

/** What a grid with a realm and state keepers must have. */
export const REALM_MUTANTS: readonly Mutant[] = [
  {
    id: 'S11',
    breaks: 'does not miss a defined process that no agent has',
    edits: [edit('coordinator/realm-preflight', 'checkDefinition(realm, all);', '')],
    ...PREFLIGHT,
  },
  {
    id: 'S20',
    breaks: "does not save the realm's definition beside its database",
    edits: [edit('agent/engines/native/state-capture', 'if (definition !== null) await', 'if (false) await')],
    ...MAIN_JOB,
    only: 'is captured while|backups/ of the primary',
  },
  {
    id: 'S23',
    breaks: 'is content with a satellite where the primary realm service is down',
    edits: [
      edit(
        'coordinator/realm-preflight',
        'running.filter(({ description }) => description.primary);',
        'running;',
      ),
    ],
    ...PREFLIGHT,
  },
  {
    id: 'S26',
    breaks: 'needs every keeper, also where another has taken over from the lead',
    edits: [edit('coordinator/realm-preflight', IS_QUORUM, 'if (seen === configured) return;')],
    file: 'e2e/reference/refusals.test.ts',
    only: 'another has taken over',
  },
  {
    id: 'S27',
    breaks: 'needs every keeper',
    edits: [edit('coordinator/realm-preflight', IS_QUORUM, 'if (seen === configured) return;')],
    ...PREFLIGHT,
  },
  {
    id: 'S30',
    breaks: 'is content with one keeper',
    edits: [edit('coordinator/realm-preflight', IS_QUORUM, 'if (seen > 0) return;')],
    ...PREFLIGHT,
  },
  {
    id: 'S49',
    breaks: 'does not warn of fewer keepers than production needs',
    edits: [edit('coordinator/realm-preflight', '...keeperWarnings(realm), ', '')],
    ...PREFLIGHT,
  },
];
