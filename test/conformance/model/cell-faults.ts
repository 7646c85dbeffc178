import type { OtherCells } from '../contract/machine.ts';

export interface CellFault {
  readonly promise: string;
  readonly role?: 'node' | 'state-keeper' | 'realm-service' | 'satellite' | 'proxy';
  readonly cells: OtherCells;
}

const OK = { status: 'OK' } as const;
const NOTHING = { status: 'OK', effect: 'none' } as const;
const TAKES = { status: 'OK', effect: 'take' } as const;
const NOT_HELD = { status: 'OK', effect: 'none', held: false } as const;
const HELD = { status: 'OK', effect: 'none', held: true } as const;
const NOT_NOW = { status: 'FAILED_PRECONDITION', effect: 'none' } as const;
const MISSING = { status: 'UNIMPLEMENTED', effect: 'none' } as const;

/** A model that answers otherwise than the table of the contract says, in one cell or a few: `call.state`. */
export const CELL_FAULTS = {
  'has-no-Renew': { promise: 'calls-of-the-role', cells: { 'renew.*': MISSING } },
  'has-no-Release': { promise: 'calls-of-the-role', cells: { 'release.*': MISSING } },
  'has-no-SwitchJournal': { promise: 'calls-of-the-role', cells: { 'switchJournal.*': MISSING } },
  'has-no-LeaveMaintenance': { promise: 'calls-of-the-role', cells: { 'leaveMaintenance.*': MISSING } },
  'has-no-SaveKeeperState': {
    promise: 'calls-of-the-role',
    role: 'state-keeper',
    cells: { 'saveKeeperState.*': MISSING },
  },
  'saves-the-state-of-a-keeper': {
    promise: 'calls-of-other-roles',
    cells: { 'saveKeeperState.foreign': OK },
  },
  'says-that-it-is-no-time-for-a-backup': {
    promise: 'calls-of-other-roles',
    cells: { 'backUpDatabase.foreign': NOT_NOW },
  },
  'comes-to-rest-as-a-proxy': {
    promise: 'calls-of-other-roles',
    role: 'proxy',
    cells: { 'quiesce.foreign': NOTHING },
  },
  'takes-malformed-requests': { promise: 'malformed-refused', cells: { '*.malformed': NOTHING } },
  'takes-a-malformed-Quiesce': { promise: 'malformed-refused', cells: { 'quiesce.malformed': NOTHING } },
  'suspends-without-a-lease': { promise: 'malformed-refused', cells: { 'suspendWriting.malformed': TAKES } },
  'retains-without-a-lease': { promise: 'malformed-refused', cells: { 'resumeWriting.malformed': NOT_HELD } },
  'releases-nobody-in-particular': { promise: 'malformed-refused', cells: { 'release.malformed': NOTHING } },
  'renews-nobody-in-particular': { promise: 'malformed-refused', cells: { 'renew.malformed': NOT_NOW } },
  'says-at-once-that-it-was-not-at-rest': {
    promise: 'endings-held',
    cells: { 'resume.resting': { held: false }, 'resume.marked': { held: false } },
  },
  'says-at-once-that-it-was-not-suspended': {
    promise: 'endings-held',
    cells: { 'resumeWriting.held': { held: false } },
  },
  'says-at-once-that-it-did-not-retain': {
    promise: 'endings-held',
    cells: { 'releaseJournal.held': { held: false } },
  },
  'says-at-once-that-it-was-not-in-maintenance': {
    promise: 'endings-held',
    cells: { 'leaveMaintenance.held': { held: false } },
  },
  'refuses-a-Release-of-nothing': { promise: 'release-in-every-state', cells: { 'release.free': NOT_NOW } },
  'does-not-release-a-rest': { promise: 'release-in-every-state', cells: { 'release.resting': NOTHING } },
  'refuses-a-Quiesce-that-is-repeated': {
    promise: 'quiesce-repeats',
    cells: { 'quiesce.resting': NOT_NOW, 'quiesce.marked': NOT_NOW },
  },
  'refuses-a-Quiesce-that-is-repeated-after-the-mark': {
    promise: 'quiesce-repeats',
    cells: { 'quiesce.marked': NOT_NOW },
  },
  'quiesces-what-was-resumed': { promise: 'quiesce-not-again', cells: { 'quiesce.endedHeld': TAKES } },
  'says-that-it-rests-what-was-resumed': {
    promise: 'quiesce-not-again',
    cells: { 'quiesce.endedHeld': NOTHING },
  },
  'says-superseded-of-what-was-resumed': {
    promise: 'quiesce-not-again',
    cells: { 'quiesce.endedHeld': { status: 'ABORTED' } },
  },
  'lets-a-Quiesce-wait-after-its-Resume': {
    promise: 'quiesce-waits',
    cells: { 'resume.coming': NOT_HELD },
  },
  'marks-before-it-rests': { promise: 'quiesce-waits', cells: { 'switchJournal.coming': OK } },
  'accepts-an-older-token': { promise: 'older-token-refused', cells: { 'quiesce.older': TAKES } },
  'says-that-it-rests-by-an-older-token': {
    promise: 'older-token-refused',
    cells: { 'quiesce.older': NOTHING },
  },
  'says-not-now-to-an-older-token': { promise: 'older-token-refused', cells: { 'quiesce.older': NOT_NOW } },
  'takes-another-operation': { promise: 'other-operation-refused', cells: { 'quiesce.another': TAKES } },
  'suspends-for-another-operation': {
    promise: 'other-operation-refused',
    cells: { 'suspendWriting.another': TAKES },
  },
  'enters-maintenance-for-another-operation': {
    promise: 'other-operation-refused',
    cells: { 'enterMaintenance.another': NOTHING },
  },
  'marks-without-a-rest': { promise: 'mark-only-at-rest', cells: { 'switchJournal.fresh': OK } },
  'marks-with-a-newer-token': { promise: 'mark-only-at-rest', cells: { 'switchJournal.otherToken': OK } },
  'marks-after-the-rest': { promise: 'mark-only-at-rest', cells: { 'switchJournal.endedHeld': OK } },
  'refuses-a-mark-that-is-repeated': { promise: 'mark-repeats', cells: { 'switchJournal.marked': NOT_NOW } },
  'refuses-a-suspension-that-is-repeated': {
    promise: 'suspend-repeats',
    cells: { 'suspendWriting.held': NOT_NOW },
  },
  'forgets-that-it-was-at-rest': { promise: 'endings-repeat', cells: { 'resume.endedHeld': NOT_HELD } },
  'forgets-that-it-was-suspended': {
    promise: 'endings-repeat',
    cells: { 'resumeWriting.endedHeld': NOT_HELD },
  },
  'forgets-that-it-retained': { promise: 'endings-repeat', cells: { 'releaseJournal.endedHeld': NOT_HELD } },
  'forgets-that-it-was-in-maintenance': {
    promise: 'endings-repeat',
    cells: { 'leaveMaintenance.endedHeld': NOT_HELD },
  },
  'names-no-primary': {
    promise: 'satellite-names-primary',
    role: 'satellite',
    cells: { 'backUpDatabase.satellite': { says: 'not here' } },
  },
  'backs-up-as-a-satellite': {
    promise: 'satellite-names-primary',
    role: 'satellite',
    cells: { 'backUpDatabase.satellite': OK },
  },
  'says-unsupported-as-a-satellite': {
    promise: 'satellite-names-primary',
    role: 'satellite',
    cells: { 'backUpDatabase.satellite': { status: 'INVALID_ARGUMENT' } },
  },
  'quiesces-what-has-lapsed': { promise: 'table-Quiesce', cells: { 'quiesce.endedLost': TAKES } },
  'goes-over-to-a-newer-token': { promise: 'table-Quiesce', cells: { 'quiesce.otherToken': TAKES } },
  'says-that-it-rests-by-a-newer-token': {
    promise: 'table-Quiesce',
    cells: { 'quiesce.otherToken': NOTHING },
  },
  'marks-what-has-lapsed': { promise: 'table-SwitchJournal', cells: { 'switchJournal.endedLost': OK } },
  'marks-for-an-older-token': { promise: 'table-SwitchJournal', cells: { 'switchJournal.older': OK } },
  'marks-for-another-operation': { promise: 'table-SwitchJournal', cells: { 'switchJournal.another': OK } },
  'says-that-it-was-at-rest-and-never-was': { promise: 'table-Resume', cells: { 'resume.fresh': HELD } },
  'forgets-a-Resume-that-came-first': { promise: 'table-Resume', cells: { 'resume.fresh': NOT_HELD } },
  'resumes-with-a-newer-token': {
    promise: 'table-Resume',
    cells: { 'resume.otherToken': { status: 'OK', effect: 'end', held: true } },
  },
  'resumes-with-an-older-token': { promise: 'table-Resume', cells: { 'resume.older': NOT_HELD } },
  'resumes-for-another-operation': {
    promise: 'table-Resume',
    cells: { 'resume.another': { status: 'OK', effect: 'end', held: true } },
  },
  'suspends-a-second-time': { promise: 'table-SuspendWriting', cells: { 'suspendWriting.endedHeld': TAKES } },
  'suspends-what-has-lapsed': {
    promise: 'table-SuspendWriting',
    cells: { 'suspendWriting.endedLost': TAKES },
  },
  'says-that-it-is-suspended-when-it-was': {
    promise: 'table-SuspendWriting',
    cells: { 'suspendWriting.endedHeld': NOTHING },
  },
  'says-that-it-was-suspended-and-never-was': {
    promise: 'table-ResumeWriting',
    cells: { 'resumeWriting.fresh': HELD },
  },
  'says-that-a-released-suspension-was-held': {
    promise: 'table-ResumeWriting',
    cells: { 'resumeWriting.endedLost': HELD },
  },
  'resumes-writing-for-another-operation': {
    promise: 'table-ResumeWriting',
    cells: { 'resumeWriting.another': { status: 'OK', effect: 'end', held: true } },
  },
  'says-that-it-retained-and-never-did': {
    promise: 'table-ReleaseJournal',
    cells: { 'releaseJournal.fresh': HELD },
  },
  'releases-the-journal-of-another-operation': {
    promise: 'table-ReleaseJournal',
    cells: { 'releaseJournal.another': { status: 'OK', effect: 'end', held: true } },
  },
  'refuses-to-release-what-was-not-retained': {
    promise: 'table-ReleaseJournal',
    cells: { 'releaseJournal.fresh': NOT_NOW },
  },
  'enters-maintenance-again': {
    promise: 'table-EnterMaintenance',
    cells: { 'enterMaintenance.endedHeld': TAKES },
  },
  'enters-maintenance-that-has-lapsed': {
    promise: 'table-EnterMaintenance',
    cells: { 'enterMaintenance.endedLost': TAKES },
  },
  'refuses-maintenance-that-is-repeated': {
    promise: 'table-EnterMaintenance',
    cells: { 'enterMaintenance.held': NOT_NOW },
  },
  'says-that-it-was-in-maintenance-and-never-was': {
    promise: 'table-LeaveMaintenance',
    cells: { 'leaveMaintenance.fresh': HELD },
  },
  'forgets-a-LeaveMaintenance-that-came-first': {
    promise: 'table-LeaveMaintenance',
    cells: { 'leaveMaintenance.fresh': NOT_HELD },
  },
  'leaves-maintenance-for-another-operation': {
    promise: 'table-LeaveMaintenance',
    cells: { 'leaveMaintenance.another': { status: 'OK', effect: 'end', held: true } },
  },
  'renews-for-another-operation': {
    promise: 'table-Renew',
    cells: { 'renew.another': { status: 'OK', effect: 'renew' } },
  },
  'refuses-a-Renew-of-nothing': { promise: 'table-Renew', cells: { 'renew.free': NOT_NOW } },
  'says-that-a-Renew-is-older': { promise: 'table-Renew', cells: { 'renew.held': { status: 'ABORTED' } } },
  'releases-for-another-operation': {
    promise: 'table-Release',
    cells: { 'release.another': { status: 'OK', effect: 'release' } },
  },
  'refuses-the-Release-of-another-operation': {
    promise: 'table-Release',
    cells: { 'release.another': NOT_NOW },
  },
  'backs-up-at-rest': {
    promise: 'table-BackUpDatabase',
    role: 'realm-service',
    cells: { 'backUpDatabase.resting': OK },
  },
  'backs-up-for-another-operation': {
    promise: 'table-BackUpDatabase',
    role: 'realm-service',
    cells: { 'backUpDatabase.another': OK },
  },
  'relocates-at-rest': {
    promise: 'table-Relocate',
    role: 'realm-service',
    cells: { 'relocate.another': OK },
  },
  'saves-state-for-another-operation': {
    promise: 'table-SaveKeeperState',
    role: 'state-keeper',
    cells: { 'saveKeeperState.another': OK },
  },
  'saves-no-state-at-rest': {
    promise: 'table-SaveKeeperState',
    role: 'state-keeper',
    cells: { 'saveKeeperState.resting': NOT_NOW },
  },
} as const satisfies Readonly<Record<string, CellFault>>;
