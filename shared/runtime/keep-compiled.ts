import { setFlagsFromString } from 'node:v8';

// A checkpoint walks the same path once a day, while clients wait: what was compiled stays compiled, and what a path has
// learned of its types it learns from its first call on.
setFlagsFromString('--no-flush-bytecode');
setFlagsFromString('--no-lazy-feedback-allocation');
