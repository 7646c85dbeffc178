/** The names in a list of libraries, as a setting like `shared_preload_libraries` has it: split at commas, quotes taken off. */
export function libraryNames(setting: string): string[] {
  return setting
    .split(',')
    .map((name) => name.trim().replace(/^"(.*)"$/, '$1'))
    .filter((name) => name !== '');
}
