/** What users rely on, each by a word that a failure names. */
export const PROMISES = {
  'consistent-cut': 'a committed cut holds no effect without its cause',
  'nothing-missing': 'nothing acknowledged before the first fence is missing in a committed cut',
  order: 'every member marks behind its fence, and none thaws before all have marked',
  once: 'a domain is held and copied once, by its lead',
  proven: 'a checkpoint that could not be proven is not committed',
  stored: 'a checkpoint is committed only when every member has stored what belongs to its mark',
  'in-vain': 'nobody is armed or frozen for a cut of which it is known that it can be none',
  held: 'no member says that it held when it did not',
  'first-answer': 'a repeated command gets its first answer',
  truth: 'a member says that it runs only when it runs',
  'thaws-by-itself':
    'nobody is frozen or suspended for longer than its lease without word from the coordinator',
  'undone-where-it-was-done':
    'what a freeze has changed is undone on the server that it changed, and nothing else is',
  holds: 'a job has the grid when every member is held for it, until it lets go, and only once',
  'held-for-its-job':
    'a hold that is proven held every member from when its job was told so until it let go: nothing became visible, no database file changed',
  'one-moment':
    'what is copied while a proven hold lasts is of one moment on all members, in the order of causes',
  'updates-go-on':
    'in a freeze updates go on until memory is full or their time is over; who waits goes on when writing does, and no update is lost',
  job: 'only a job, or whoever has its token, lets go of what it holds; and then it does',
  'time-out': 'a member that comes to rest in its time is not given up',
  stamp:
    'a checkpoint counts for every backup that ended before it, a hold for what was copied in it, and neither for any else',
  'lease-lasts': 'a member whose lease is renewed does not let go',
  'thawed-after-the-end': 'nobody is frozen after the end of a checkpoint that does not say so',
  ending: 'what the coordinator says in the end is what happened',
  names: 'an abort names the member and the phase of the first failure, and the state of every member',
  'tokens-grow': 'tokens only grow',
  'durable-token': 'a token is on disk before a fence closes',
  claim: 'one operation at a time holds the grid, a dead one no longer than its lease',
  window: 'the window is not told shorter than it was',
  ends: 'every checkpoint ends',
  'in-time': 'while members are held no phase takes longer than its deadline',
  pauses: 'what is repeated is repeated with a pause',
  'next-succeeds': 'once faults have stopped, the next checkpoint succeeds',
  resumes: 'a stream that is lost before the first arm costs nothing',
  'no-reason': 'a checkpoint in which nothing goes wrong that matters is committed',
  'tries-again': 'a cut that could not be proven is tried again, and no more often than was asked for',
  confirms: 'what can be confirmed is confirmed: nobody is called maybe frozen for nothing',
  restores: 'a committed checkpoint restores: every byte that its members captured, and no other',
  'survives-power-cut': 'all that a committed checkpoint needs is durable when it is said to be committed',
  'listed-only-if-committed':
    'a checkpoint is listed as valid only when its commit was not said to have failed',
  'no-reachable-partial': 'nothing of a checkpoint that was given up can be restored',
  keeps: 'no deletion, prune, sweep or collection takes what a valid checkpoint needs',
  'stays-deleted': 'a checkpoint that is said to be deleted does not come back',
  'write-once': 'what has its final name is never written again and never replaced',
  'says-damage': 'damage is named, file by file, and nothing else is called damaged; no wrong byte is read',
  'space-comes-back': 'a collection leaves nothing that no checkpoint needs',
  'no-crash': 'the code has an answer to every event and every error',
} as const;

export type Promised = keyof typeof PROMISES;

/** A promise was broken: the run ends here. */
export class Broken extends Error {
  readonly promise: Promised;

  constructor(promise: Promised, message: string) {
    super(message);
    this.promise = promise;
  }
}
