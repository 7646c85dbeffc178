import { writeSync, openSync } from 'node:fs';
import { toLine } from './changes.ts';
import { recordChanges } from './recorder.ts';

/**
 * Loaded into the processes of a lab by `node --import`: records what they change below STILLPOINT_RECORD_BELOW, and
 * what the command says on stdout, in the file STILLPOINT_RECORD. Every line is one write to a file opened for append,
 * so that the lines of several processes do not mix.
 */
const { STILLPOINT_RECORD: log = '', STILLPOINT_RECORD_BELOW: below = '' } = process.env;

if (log !== '' && below !== '') {
  const opened = openSync(log, 'a');
  const append = (line: string): void => void writeSync(opened, line);
  recordChanges(below, append);
  if (process.argv[1]?.endsWith('coordinator/main.ts') === true) {
    const write = process.stdout.write.bind(process.stdout) as (...args: unknown[]) => boolean;
    process.stdout.write = (...args: unknown[]) => {
      const now = process.hrtime.bigint();
      const text = String(args[0]).trim();
      if (text !== '') append(toLine({ call: 'said', text }, now, now));
      return write(...args);
    };
  }
}

/** What processes need in their environment to be recorded. */
export function recordingEnv(file: string, directory: string): NodeJS.ProcessEnv {
  return {
    STILLPOINT_RECORD: file,
    STILLPOINT_RECORD_BELOW: directory,
    NODE_OPTIONS: `--import ${import.meta.url}`,
  };
}
