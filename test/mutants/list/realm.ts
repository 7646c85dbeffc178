import { edit, type Mutant } from '../mutant.ts';

const PREFLIGHT = { file: 'coordinator/realm-preflight.test.ts' } as const;
/** Of the keepers. */
const IS_QUORUM = 'if (isMajority(seen, configured)) return;\n  const down';
const quorumIs = (condition: string): Mutant['edits'] => [
  edit('coordinator/realm-preflight', IS_QUORUM, `if (${condition}) return;\n  const down`),
];

/** What a grid with a realm and state keepers must have. */
export const REALM_MUTANTS: readonly Mutant[] = [
  {
    id: 'S11',
    breaks: 'does not miss a defined process that no agent has',
    edits: [edit('coordinator/realm-preflight', 'checkDefinition(realm, all);', '')],
    ...PREFLIGHT,
  },
  ...(['S15', 'S24', 'S31'] as const).map((id): Mutant => ({
    id,
    breaks: 'does not look where the process really has its data',
    edits: [edit('agent/engines/native/describe', "['data', settings.data, said.dataDirectory],", '')],
    file: 'engines/native/said.test.ts',
  })),
  {
    id: 'S20',
    breaks: "does not save the realm's definition beside its database",
    edits: [edit('agent/engines/native/state-copy', 'if (definition !== null) await', 'if (false) await')],
    file: 'engines/native/said.test.ts',
  },
  {
    id: 'S23',
    breaks: 'is content with a satellite where the primary realm service is down',
    edits: [
      edit(
        'coordinator/realm-preflight',
        'running.filter(({ description }) => description.primary);\n  const realm',
        'running;\n  const realm',
      ),
    ],
    ...PREFLIGHT,
  },
  {
    id: 'S26',
    breaks: 'needs every keeper, also where another has taken over from the lead',
    edits: quorumIs('seen === configured'),
    ...PREFLIGHT,
  },
  {
    id: 'S27',
    breaks: 'needs every keeper',
    edits: quorumIs('seen === configured'),
    ...PREFLIGHT,
  },
  {
    id: 'S30',
    breaks: 'is content with one keeper',
    edits: quorumIs('seen > 0'),
    ...PREFLIGHT,
  },
  {
    id: 'S46',
    breaks: 'is content with one realm service of three that takes itself for the primary',
    edits: [edit('coordinator/realm-preflight', 'all >= CLUSTER_ADVISED', 'false')],
    ...PREFLIGHT,
  },
  {
    id: 'S50',
    breaks: 'does not show in the status that there is no quorum of keepers',
    edits: [
      edit(
        'coordinator/grid-status',
        "...realm.problems.map((failure) => ({ level: 'problem' as const, failure })),",
        '',
      ),
    ],
    file: 'coordinator/realm-status.test.ts',
  },
  {
    id: 'S51',
    breaks: 'says that keepers which are down are just to be started',
    edits: [edit('coordinator/realm-preflight', 'stop the others too, then start all of them', 'start them')],
    ...PREFLIGHT,
  },
  {
    id: 'S118',
    breaks: 'counts keepers that do not see each other as if they governed together',
    edits: [
      edit(
        'coordinator/realm-preflight',
        ': Math.min(running.length, Math.max(',
        ': Math.max(running.length, Math.max(',
      ),
    ],
    ...PREFLIGHT,
  },
  {
    id: 'S123',
    breaks: 'captures below the quorum of keepers, as operations go on all the same',
    edits: quorumIs('seen > 0'),
    ...PREFLIGHT,
  },
  {
    id: 'S49',
    breaks: 'does not warn of fewer keepers than production needs',
    edits: [edit('coordinator/realm-preflight', '...keeperWarnings(realm),', '')],
    ...PREFLIGHT,
  },
];
