export const LEASE_MS = 1000;
export const MAX_ATTEMPTS = 3;

/** As the command's own deadlines, in the proportion to its lease that they have there. */
export const DEADLINES = { armMs: 1500, freezeMs: 800, thawMs: 1200, abortRetryMs: 200, abortGiveUpMs: 4000 };
