import { pino, type Logger } from 'pino';
import { StillpointError } from '../domain/errors.ts';
import { UnblockedStream } from './unblocked-stream.ts';

export type { Logger };

/** Lines that wait for somebody to read them. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/**
 * One line an event, as JSON on stderr. Connection strings and passwords are never given to it; what an
 * error carries of them is cut out all the same.
 */
export function createLog(options: {
  name: string;
  level: string;
  /** For what must go on though nobody reads its log. */
  neverWaits?: boolean;
}): Logger {
  if (!LEVELS.includes(options.level)) {
    throw new StillpointError({
      code: 'bad-log-level',
      message: `'${options.level}' is not a log level`,
      hint: `use one of ${LEVELS.join(', ')}`,
    });
  }
  return pino(
    {
      name: options.name,
      level: options.level,
      redact: { paths: ['password', '*.password', 'err.connection', 'connection'], censor: '[hidden]' },
      hooks: {
        streamWrite: withoutPasswords,
      },
    },
    (options.neverWaits === true ? UnblockedStream.of(2, MOST_WAITING_BYTES) : null) ??
      pino.destination({ dest: 2, sync: true }),
  );
}

/** In a URL before the host or behind it, and in a string of settings (`host=… password=…`); quotes are those of a JSON line. */
function withoutPasswords(line: string): string {
  return line
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^:@/\s"]*):[^"]*?@(?=[^@"\s]*(?:["\s]|$))/g, '$1:[hidden]@')
    .replace(/(password\s*=\s*)('(?:[^'"\\]|\\\\.)*'|[^\s&"',;)]+)/gi, '$1[hidden]');
}
