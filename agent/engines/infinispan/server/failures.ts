import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import type { ServerSettings } from './settings.ts';

/*
 * What goes wrong between us and a server, as failures with a remedy. The server's own words stand in them, and never a
 * secret: what is sent to a server is in no message, and no cause is handed on that holds a request.
 */

const MOST_WORDS = 500;

export function unreachable(settings: ServerSettings, cause: string): StillpointError {
  return failed(
    'infinispan-unreachable',
    `the server at ${settings.url} does not answer: ${cause}`,
    'see whether it runs, and whether url names its REST endpoint',
  );
}

export function certificateRefused(settings: ServerSettings, cause: string): StillpointError {
  return failed(
    'infinispan-certificate',
    `the certificate of the server at ${settings.url} is not accepted: ${cause}`,
    'tls.ca names the CA that signed it, tls.serverName the name in it where url has another',
  );
}

export function refused(settings: ServerSettings, status: number, words: string): StillpointError {
  const { auth } = settings;
  const who =
    auth === undefined
      ? 'a client without a password'
      : auth.type === 'token'
        ? `the token in ${auth.tokenFile}`
        : `user ${auth.user}`;
  const file = auth === undefined ? null : auth.type === 'token' ? auth.tokenFile : auth.passwordFile;
  const hint =
    status === 403
      ? 'give it the role admin, which may back up, restore and ignore caches: user roles grant --roles=admin NAME in the CLI of the server'
      : file === null
        ? 'write auth with its user and passwordFile'
        : auth?.type === 'token'
          ? `it has expired, or is of another realm: write a new one into ${file}`
          : `write the password of that user, alone, into ${file}; the file is read with every call`;
  return failed(
    'infinispan-refused',
    `the server at ${settings.url} refuses ${who} with status ${status}${spoken(words)}`,
    hint,
  );
}

export function unexpected(
  settings: ServerSettings,
  asked: string,
  status: number,
  words: string,
): StillpointError {
  return failed(
    'infinispan-answer',
    `the server at ${settings.url} answers ${asked} with status ${status}${spoken(words)}`,
    'see the log of the server',
  );
}

/** An answer that is none of this server's: a proxy stands in its place, or a version that we do not know. */
export function misread(settings: ServerSettings, asked: string, what: string): StillpointError {
  return failed(
    'infinispan-answer',
    `the server at ${settings.url} answers ${asked} with what is not understood: ${what}`,
    'see whether url names the REST endpoint of an Infinispan server of version 16',
  );
}

export function secretUnreadable(path: string, cause: string): StillpointError {
  return failed(
    'infinispan-secret',
    `${path} cannot be read: ${cause}`,
    `write the secret into it, alone, for the user of the agent: chmod 600 ${path}`,
  );
}

export function tlsFileUnreadable(key: string, path: string, cause: string): StillpointError {
  return failed(
    'infinispan-certificate',
    `tls.${key} cannot be read: ${cause}`,
    `put it at ${path}, as PEM and for the user of the agent; where the server has no certificate, url begins with http and there is no tls`,
  );
}

function spoken(words: string): string {
  const line = words.trim().replaceAll(/\s+/g, ' ').slice(0, MOST_WORDS);
  return line === '' ? '' : `: ${line}`;
}

function failed(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint }, EXIT.refused);
}
