import { isUtf8 } from 'node:buffer';

// Files of configuration are bytes: a server of another encoding has others than UTF-8 in its comments and values. A
// byte that is no UTF-8 is kept as half a surrogate pair, which no text has, and is that byte again when it is written.

const KEPT = 0xdc00;

export function decodeConfiguration(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const character = bytes.subarray(at, at + lengthFrom(bytes[at] ?? 0));
    const isText = isUtf8(character);
    text += isText ? character.toString('utf8') : String.fromCharCode(KEPT + (bytes[at] ?? 0));
    at += isText ? character.length : 1;
  }
  return text;
}

export function encodeConfiguration(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  return Buffer.concat(
    Array.from(text, (character) => {
      const code = character.codePointAt(0) ?? 0;
      const isKept = code >= KEPT + 0x80 && code <= KEPT + 0xff;
      return isKept ? Buffer.from([code - KEPT]) : Buffer.from(character);
    }),
  );
}

/** Of a character in UTF-8, by its first byte. */
function lengthFrom(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}
