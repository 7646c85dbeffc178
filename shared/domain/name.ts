/**
 * What grids, members, checkpoints and operations may be called. A name becomes part of paths, statements and
 * lines of logs, and of this form it leads nowhere else in any of them.
 */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** What a configuration file is told where it has none. */
export const NAME_RULE = 'must be letters, digits, dots, dashes or underscores';

/** What an image may be called below the directory that the agent's file names for images: names, one below the other. */
export const IMAGE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(\/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,7}$/;
