import { StillpointError } from '../../../../shared/domain/errors.ts';

/**
 * Where each directory of configuration in a checkpoint goes: to the same path, where `also` of this host has it; the
 * others in their order to what is left of `also`. What has no place, or could have another, is refused: one directory
 * of configuration is not replaced by another.
 */
export function alsoPlaces(
  member: string,
  captured: readonly string[],
  here: readonly string[],
): readonly string[] {
  const names = here.map(plain);
  const kept = new Set(captured.map(plain).filter((path) => names.includes(path)));
  const moved = captured.filter((path) => !kept.has(plain(path)));
  const free = here.filter((path) => !kept.has(plain(path)));
  if (moved.length > 0 && moved.length !== free.length) throw withoutPlace(member, moved, free);
  return captured.map((path) => {
    const own = here[names.indexOf(plain(path))];
    return own ?? free[moved.indexOf(path)] ?? path;
  });
}

function plain(path: string): string {
  return path.replace(/\/+$/, '');
}

function withoutPlace(member: string, moved: readonly string[], free: readonly string[]): StillpointError {
  return new StillpointError({
    code: 'also-without-place',
    message: `${member}: the checkpoint has ${moved.join(', ')} from outside the data directory, and \`also\` in the agent file ${free.length === 0 ? 'has no place for it' : `has ${free.join(', ')} besides`}`,
    hint: 'let `also` in the agent file have a place for each of these: the same path, or as many others in the same order',
    member,
  });
}
