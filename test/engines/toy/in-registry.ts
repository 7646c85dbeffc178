import { registerHooks } from 'node:module';

/**
 * For `node --import`: the agent and its guard as they are, but for the registry, in whose place they find the one beside
 * this. Production code has no such door.
 */
const REAL = new URL('../../../agent/engines/registry.ts', import.meta.url).href;
const WITH_TOY = new URL('./registry.ts', import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context);
    return resolved.url === REAL && context.parentURL !== WITH_TOY
      ? { ...resolved, url: WITH_TOY }
      : resolved;
  },
});
