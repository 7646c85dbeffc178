/** For one job of a quiesce or a freeze. */
export const HOLD_MS = 3_600_000;
export const LEASE_MS = 1000;
export const MAX_ATTEMPTS = 3;
export const MAX_ARMS = 5;

/** As the command's own deadlines, in the proportion to its lease that they have there. */
export const DEADLINES = {
  pauseMs: 6000,
  armMs: 800,
  disarmMs: 1200,
  armAgainMs: 100,
  reconnectMs: 6000,
  freezeMs: 800,
  thawMs: 1200,
  abortRetryMs: 200,
  abortGiveUpMs: 4000,
};
