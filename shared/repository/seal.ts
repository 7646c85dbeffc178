import { sha256 } from './digest.ts';

/**
 * A file that has nothing above it which names its digest carries its own. The digest is of the text as it stands, and
 * what stands around it is fixed: every flipped bit is found before anything is made of the text.
 */
const END = '}\n';

/** `word`: what the text is, as the file says it. */
export function seal(word: string, text: string): string {
  return `{"digest":"${sha256(text)}","${word}":${text}${END}`;
}

/** The text; null where it does not have its own digest. */
export function unseal(word: string, sealed: string): string | null {
  const [head = '', digest] = new RegExp(`^\\{"digest":"([0-9a-f]{64})","${word}":`).exec(sealed) ?? [];
  const text = sealed.slice(head.length, -END.length);
  return sealed.endsWith(END) && sha256(text) === digest ? text : null;
}
