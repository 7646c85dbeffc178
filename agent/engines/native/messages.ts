import { join } from 'node:path';
import { appendBeside } from '../../safe-files.ts';
import { ownerOf } from '../restore/owner.ts';
import type { NativeSettings } from './settings.ts';

/** Beside `live/`: the member's own log of what was done with it, for operators. */
const MESSAGES = 'messages.log';
const MOST_CHARACTERS = 1000;

/** Adds one line. */
export async function addMessage(settings: NativeSettings, line: string): Promise<void> {
  await appendBeside(join(settings.data, MESSAGES), `${oneLine(line)}\n`, await ownerOf(settings));
}

/** What a process says of itself goes into it, and must not look like more lines, or be without end. */
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it is for
  const line = text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ');
  return line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}…` : line;
}
