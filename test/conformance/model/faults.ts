import type { OtherCells } from '../contract/machine.ts';
import { CELL_FAULTS, type CellFault } from './cell-faults.ts';

/** What a model can do wrong besides other cells of the table: by its role, and by the one promise that it then breaks. */
const BEHAVIOUR = {
  node: {
    'describe-complete': [
      'has-an-address-without-a-port',
      'is-of-no-copyset',
      'has-no-data-identity',
      'has-a-relative-data-directory',
      'speaks-another-version-of-the-contract',
      'has-no-journal-directory',
      'belongs-to-no-grid',
    ],
    'describe-in-every-state': [
      'describes-itself-slowly',
      'describes-itself-slowly-at-rest',
      'describes-itself-slowly-while-suspended',
    ],
    'describe-tells-holds': [
      'hides-quiesced',
      'hides-writingSuspended',
      'hides-journalRetained',
      'hides-maintenance',
      'does-not-say-for-whom-it-holds',
    ],
    'size-estimated': ['says-that-it-is-empty', 'says-its-size-in-blocks', 'says-the-size-of-its-disk'],
    'incarnation-stable': [
      'changes-its-incarnation',
      'has-another-incarnation-in-Release',
      'has-another-incarnation-in-Resume',
      'has-another-incarnation-at-the-mark',
    ],
    'health-says-why': [
      'is-unhealthy-for-no-cause',
      'says-its-health-in-two-lines',
      'fails-when-asked-for-its-health',
    ],
    'unknown-fields-ignored': [
      'refuses-fields-that-it-does-not-know',
      'fails-over-fields-that-it-does-not-know',
    ],
    'errors-in-one-line': ['gives-no-remedy', 'explains-itself-in-two-lines', 'gives-no-reason'],
    'refused-not-seen': [
      'sees-the-token-of-a-malformed-request',
      'sees-the-token-of-another-operation',
      'sees-the-token-that-comes-while-it-rests',
    ],
    'release-in-every-state': ['release-forgets-maintenance', 'release-forgets-the-retention'],
    'release-frees-clients': [
      'lets-nobody-in-after-Release',
      'forgets-who-waits-at-Release',
      'disconnects-who-waits-at-Release',
    ],
    'rest-clients-wait': [
      'refuses-in-the-freeze',
      'refuses-one-of-many-in-the-freeze',
      'disconnects-who-waits',
      'disconnects-one-of-many',
      'lets-nobody-in-after-a-rest',
      'forgets-who-waits',
    ],
    'quiesce-comes-to-rest': [
      'never-rests',
      'never-rests-and-does-not-say-what-does-not',
      'clients-keep-it-from-resting',
    ],
    'quiesce-in-time': ['ignores-its-timeout', 'takes-twice-its-timeout-and-more', 'gives-up-at-once'],
    'quiesce-repeats': ['says-the-second-time-that-it-does-not-rest'],
    'repeats-keep-leases': [
      'a-repeated-Quiesce-renews-its-lease',
      'a-repeated-beginning-of-writingSuspended-renews',
      'a-repeated-beginning-of-maintenance-renews',
    ],
    'quiesce-waits': [
      'refuses-a-Quiesce-that-is-repeated-while-it-waits',
      'says-at-once-that-it-rests-when-asked-again',
      'a-Release-leaves-a-Quiesce-that-waits',
    ],
    'rest-acknowledges-nothing': [
      'acknowledges-in-the-freeze',
      'acknowledges-to-one-of-many-in-the-freeze',
      'acknowledges-late',
    ],
    'rest-shows-nothing-new': [
      'shows-what-waits',
      'waits-on-a-short-clock',
      'logs-and-shows-and-holds-back-the-answer',
      'forgets-while-it-rests',
    ],
    'rest-keeps-acknowledged': ['shows-less-at-rest', 'shows-nothing-at-rest', 'loses-a-row-now-and-then'],
    'rest-durable': ['buffers-until-the-mark', 'buffers-some-rows', 'buffers-the-last-row'],
    'rest-reads-answered': ['refuses-reads-at-rest', 'reads-wait-at-rest'],
    'rest-reads-wait': [
      'answers-reads-that-should-wait',
      'refuses-reads-that-should-wait',
      'lets-reads-wait-for-a-while',
    ],
    'rest-journal-still': [
      'journal-grows-in-the-freeze',
      'logs-a-moment-after-it-came-to-rest',
      'logs-what-waits',
    ],
    'not-quiesced-runs-on': [
      'cannot-rest-and-does-not-say-what',
      'stays-at-rest-when-it-does-not-come-to-rest',
      'rests-while-it-is-busy',
    ],
    'mark-repeats': [
      'switches-twice',
      'says-other-content-when-asked-again',
      'says-another-length-when-asked-again',
    ],
    'mark-file': [
      'names-a-file-that-is-not-there',
      'says-more-than-is-in-the-file',
      'goes-on-in-the-same-file',
    ],
    'mark-unchanged': [
      'changes-a-closed-journal-file',
      'shortens-a-closed-journal-file',
      'renames-a-closed-journal-file',
    ],
    'journal-names-sort': [
      'names-journal-files-by-chance',
      'names-journal-files-in-no-order',
      'counts-journal-files-down',
    ],
    'mark-restores': [
      'loses-the-tail',
      'loses-the-head',
      'comes-up-with-a-row-more',
      'says-less-than-was-logged',
    ],
    'content-of-the-mark': [
      'says-at-the-mark-what-it-once-had',
      'counts-rows-and-looks-at-none',
      'counts-each-row-twice',
    ],
    'started-with-told': ['does-not-tell-what-it-was-started-with'],
    'started-with-stays': [
      'takes-what-it-has-for-what-it-was-started-with',
      'counts-what-it-has-for-what-it-was-started-with',
      'says-the-digest-of-now-of-what-it-was-started-with',
    ],
    'started-with-the-mark': [
      'forgets-the-journal-that-it-was-started-with',
      'counts-what-it-was-started-with-as-none',
      'says-another-digest-of-what-it-was-started-with',
    ],
    'live-plain-files': ['has-a-socket-in-live', 'has-a-link-in-live', 'has-a-link-to-nowhere-in-live'],
    'suspended-files-still': [
      'writes-while-suspended',
      'removes-a-database-file-while-suspended',
      'begins-a-database-file-while-suspended',
    ],
    'suspended-clients-go-on': [
      'stops-clients-while-suspended',
      'refuses-while-suspended',
      'stops-one-of-many-while-suspended',
    ],
    'suspended-updates-go-on': [
      'lets-updates-wait-where-a-time-is-given',
      'refuses-updates-where-a-time-is-given',
      'knows-no-time-for-updates',
    ],
    'suspended-past-the-time': [
      'resumes-writing-when-the-time-is-over',
      'writes-when-the-time-is-over',
      'forgets-who-waits-since-the-time-was-over',
    ],
    'suspended-journal-named': [
      'names-a-journal-file-that-is-not-there',
      'names-the-next-journal-file',
      'names-no-journal-file',
    ],
    'suspend-repeats': [
      'names-another-journal-file-when-asked-again',
      'names-no-journal-file-when-asked-again',
    ],
    'suspended-journal-kept': ['removes-journal-while-suspended'],
    'retained-journal-kept': [
      'removes-retained-journal',
      'keeps-only-the-newest-retained',
      'does-not-retain-the-journal',
    ],
    'maintenance-refuses-writes': [
      'writes-in-maintenance',
      'waits-in-maintenance',
      'takes-writes-in-maintenance',
    ],
    'maintenance-reads-go-on': [
      'refuses-reads-in-maintenance',
      'reads-wait-in-maintenance',
      'shows-nothing-in-maintenance',
    ],
    'maintenance-leaves': ['lets-nobody-write-after-maintenance', 'refuses-after-maintenance'],
    'lease-ends': ['lease-never-ends', 'maintenance-never-ends', 'takes-milliseconds-for-seconds'],
    'lease-lasts': ['resumes-early', 'ends-long-leases-early', 'retains-for-half-the-lease'],
    'lease-renewed': [
      'renew-does-nothing',
      'renews-all-but-the-retention',
      'renews-all-but-maintenance',
      'renews-only-the-rest',
      'answers-Renew-with-nothing',
    ],
    'expired-not-held': [
      'claims-held-after-expiry',
      'claims-quiesced-after-expiry',
      'claims-writingSuspended-after-expiry',
      'claims-journalRetained-after-expiry',
      'claims-maintenance-after-expiry',
      'gives-no-cause',
    ],
    'restart-is-another': [
      'has-the-same-incarnation-after-a-restart',
      'is-still-held-after-a-restart',
      'knows-its-tokens-after-a-restart',
    ],
    sequences: [
      'a-Resume-ends-maintenance',
      'a-Release-forgets-the-newest-token',
      'an-EnterMaintenance-ends-a-suspension',
    ],
  },
  'state-keeper': {
    'describe-complete': ['has-no-quorum'],
    'mark-names-state': [
      'names-its-state-by-a-prefix',
      'names-the-version-before',
      'names-its-state-in-hexadecimal',
      'says-a-length-of-its-state',
    ],
    'keeper-state-repeats': [
      'saves-no-state',
      'counts-its-version-down',
      'changes-its-state-and-not-its-version',
    ],
    'recovery-taken': ['leaves-recovery', 'ends-when-it-finds-recovery'],
    'started-with-recovery': [
      'ignores-recovery',
      'says-no-content-of-what-it-was-started-with',
      'changes-its-state-when-it-starts',
    ],
  },
  'realm-service': {
    'describe-complete': ['has-no-definition'],
    'backup-file': ['writes-no-backup', 'backs-up-into-a-directory', 'writes-an-empty-backup'],
    'backup-definition': [
      'says-the-definition-in-no-JSON',
      'says-half-of-the-definition',
      'says-no-definition',
    ],
    'backup-recorded': ['records-no-checkpoint', 'records-one-less', 'records-a-checkpoint-as-a-change'],
    'backup-repeats': ['backs-up-twice'],
    'relocate-raises-version': [
      'relocates-nothing',
      'keeps-the-version-when-it-relocates',
      'counts-what-is-so-as-a-change',
    ],
    'relocate-all-or-none': [
      'relocates-what-it-knows',
      'relocates-some-and-refuses',
      'says-that-it-relocated-nobody',
    ],
  },
} as const;

type Named<Roles> = {
  [Role in keyof Roles]: { [Id in keyof Roles[Role]]: Roles[Role][Id] }[keyof Roles[Role]];
}[keyof Roles];
type Behaviour = Extract<Named<typeof BEHAVIOUR>, readonly string[]>[number];

export type Fault = Behaviour | keyof typeof CELL_FAULTS;
export type HasFault = (name: Behaviour) => boolean;

export interface PlantedFault {
  readonly name: Fault;
  readonly role: 'node' | 'state-keeper' | 'realm-service' | 'satellite' | 'proxy';
  /** The promise that is broken by it, and no other. */
  readonly promise: string;
}

export const FAULTS: readonly PlantedFault[] = [
  ...Object.entries(BEHAVIOUR).flatMap(([role, promises]) =>
    Object.entries(promises as Record<string, readonly Behaviour[]>).flatMap(([promise, names]) =>
      names.map((name) => ({ name, role: role as PlantedFault['role'], promise })),
    ),
  ),
  ...Object.entries(CELL_FAULTS as Readonly<Record<string, CellFault>>).map(
    ([name, { role = 'node', promise }]) => ({
      name: name as Fault,
      role,
      promise,
    }),
  ),
];

export function isFault(name: string): name is Fault {
  return FAULTS.some((one) => one.name === name);
}

/** Where it answers otherwise than the table says. */
export function cellsOf(fault: Fault | null): OtherCells {
  return fault !== null && fault in CELL_FAULTS ? CELL_FAULTS[fault as keyof typeof CELL_FAULTS].cells : {};
}
