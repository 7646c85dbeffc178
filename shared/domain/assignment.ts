/** What the coordinator has one member do in a checkpoint. */
export interface Assignment {
  /**
   * `member`: it holds itself still. `lead`: it holds its domain, for all members of that. `none`: the lead of its domain
   * holds it, and nothing of the freeze is asked of it.
   */
  readonly hold: 'member' | 'lead' | 'none';
  /**
   * What is stored of it. `whole`: its state, and its journal up to the mark. `journal`: that alone. `none`: nothing;
   * another member of its domain is copied, or nobody is.
   */
  readonly part: 'whole' | 'journal' | 'none';
}

/** Of a member that stands for itself. */
export const BY_ITSELF: Assignment = { hold: 'member', part: 'whole' };
/** Of one that was stored from an archive that somebody brought: nobody held it for that. */
export const HELD_BY_NOBODY: Assignment = { hold: 'none', part: 'whole' };
