/** What the model node can do wrong, and the one promise that it then breaks. */
export const FAULTS = {
  'acknowledges-in-the-freeze': 'rest-acknowledges-nothing',
  'shows-what-waits': 'rest-shows-nothing-new',
  'refuses-in-the-freeze': 'rest-clients-wait',
  'answers-reads-that-should-wait': 'rest-reads-wait',
  'journal-grows-in-the-freeze': 'rest-journal-still',
  'cannot-rest-and-does-not-say-what': 'not-quiesced-runs-on',
  'resumes-early': 'lease-lasts',
  'lease-never-ends': 'lease-ends',
  'renew-does-nothing': 'lease-renewed',
  'claims-held-after-expiry': 'expired-not-held',
  'accepts-an-older-token': 'older-token-refused',
  'takes-another-operation': 'other-operation-refused',
  'quiesces-what-was-resumed': 'quiesce-not-again',
  'changes-its-incarnation': 'incarnation-stable',
  'hides-what-it-holds': 'describe-tells-holds',
  'takes-malformed-requests': 'malformed-refused',
  'release-forgets-maintenance': 'release-in-every-state',
  'changes-a-closed-journal-file': 'mark-unchanged',
  'switches-twice': 'mark-repeats',
  'loses-the-tail': 'mark-restores',
  'writes-while-suspended': 'suspended-files-still',
  'removes-retained-journal': 'retained-journal-kept',
  'writes-in-maintenance': 'maintenance-refuses-writes',
} as const;

export type Fault = keyof typeof FAULTS;
