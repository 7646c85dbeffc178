/**
 * Told by an operation that it has come to a named moment, and waited for: a test may hold it there. `who` is a member, or
 * `coordinator`. The programs hand it to all that takes part (hooks.ts), so that no room but theirs knows of tests.
 */
export type Reach = (moment: string, who: string) => Promise<void>;

/** No moment holds anything. */
export const goOn: Reach = () => Promise.resolve();
