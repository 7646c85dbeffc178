import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as z from 'zod';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import type { Programs } from './programs.ts';
import { PROMISES, type SuiteInput } from './suite.ts';

export const USAGE = `stillpoint-conformance: does a process keep the contract of participants?

  stillpoint-conformance --socket PATH
  stillpoint-conformance --address HOST:PORT --ca FILE --cert FILE --key FILE

  --socket PATH     the Unix socket on which the process serves proto/participant.proto; also unix:/PATH
  --address H:P     the address on which it does so, with mutual TLS: --ca, --cert and --key are those of its agent
  --writer ARGV     writes rows numbered from {from} on without end, one line for each: its number when it is
                    acknowledged, or: refused
  --reader ARGV     prints the numbers that are visible, one a line, and ends
  --busy ARGV       keeps the process from coming to rest: one line when it does, until it is ended
  --start ARGV      runs a process on the files in {data}, until it is ended; it serves the contract at {socket},
                    where that is named
  --checkpoint      instead: takes checkpoints of it as agent and command do, restores one in another place with
                    --start, and looks at what came back; {address} in --start is a free one
  --writers N       how many writers at once (3)
  --only ID         this promise only; may be repeated
  --strict          what was not tried counts as broken, for the exit code
  --time-out S      ends the whole run after so many seconds (900): what is left is not tried
  --lease-ms N      of leases that are meant to run out (300)
  --hold-ms N       for how long is watched what must not happen (500)
  --sequences N     how many generated sequences of calls (30)
  --seed N          which ones (1)
  --replay FILE     makes the calls of a recorded sequence (proto/sequences) and compares the answers, nothing else
  --junit FILE      a report for build servers
  --list            the promises
  --json            one object for scripts
  --version, --help

ARGV is a JSON array of strings; {data} in it is the data directory. Use a process of its own for this: its tokens
are far ahead afterwards. Exit codes: 0 kept, 2 usage, 3 cannot be called, 4 interrupted or out of time, 6 a promise is
broken (or, with --strict, not tried).

Example: stillpoint-conformance --socket /run/orders-1a.sock --reader '["./rows", "{data}"]' \\
           --writer '["./write", "{data}", "{from}"]' --start '["./orders", "--data", "{data}", "--participant", "{socket}"]'
`;

const argvSchema = z.array(z.string()).min(1);
const PROGRAMS = ['writer', 'reader', 'busy', 'start'] as const;
const MIN_LEASE_MS = 50;
const MOST = 2 ** 31 - 1;

export type Options = ReturnType<typeof readOptions>;

/** Throws where the command line is not understood. */
export function readOptions() {
  try {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean' } as const;
    const { values } = parseArgs({
      options: {
        socket: text,
        address: text,
        ca: text,
        cert: text,
        key: text,
        writer: text,
        reader: text,
        busy: text,
        start: text,
        only: { ...text, multiple: true },
        junit: text,
        replay: text,
        writers: { ...text, default: '3' },
        'time-out': { ...text, default: '900' },
        'lease-ms': { ...text, default: '300' },
        'hold-ms': { ...text, default: '500' },
        sequences: { ...text, default: '30' },
        seed: { ...text, default: '1' },
        checkpoint: flag,
        strict: flag,
        list: flag,
        json: flag,
        version: flag,
        help: flag,
      },
    });
    return values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

/** Newer than every real checkpoint's, and than every earlier run's: seconds since 1970. */
export function epochOfNow(): number {
  return Math.floor(Date.now() / 1000);
}

export function suiteInputOf(options: Options): { input: SuiteInput; timeOutMs: number } {
  const input: SuiteInput = {
    ...targetOf(options),
    programs: programsOf(options),
    writers: numberFrom(options.writers, 'writers', 1),
    pace: {
      leaseMs: numberFrom(options['lease-ms'], 'lease-ms', MIN_LEASE_MS),
      holdMs: numberFrom(options['hold-ms'], 'hold-ms', 1),
    },
    sequences: {
      runs: numberFrom(options.sequences, 'sequences', 1),
      seed: numberFrom(options.seed, 'seed', 0),
    },
    epoch: epochOfNow(),
    ...(options.only !== undefined && { only: known(options.only) }),
  };
  return { input, timeOutMs: numberFrom(options['time-out'], 'time-out', 1) * 1000 };
}

/** Where the process is called: rejected by usage where it is not said, or said twice. */
export function targetOf({ socket, address, ca, cert, key }: Options): { target: string; tls?: TlsFiles } {
  const given = [socket, address].filter((one) => one !== undefined);
  if (given.length !== 1) throw usage('give either --socket or --address');
  const files = [ca, cert, key].filter((one) => one !== undefined);
  if (socket !== undefined) {
    if (files.length > 0) throw usage('--ca, --cert and --key belong to --address');
    if (!socket.startsWith('unix:') && /^[^/]+:\d+$/.test(socket))
      throw usage(`'${socket}' is an address: give it with --address`);
    return { target: `unix:${resolve(socket.replace(/^unix:/, ''))}` };
  }
  if (ca === undefined || cert === undefined || key === undefined)
    throw usage('--address needs --ca, --cert and --key');
  return { target: address ?? '', tls: { ca: resolve(ca), cert: resolve(cert), key: resolve(key) } };
}

function programsOf(options: Options): Programs {
  const programs: Partial<Record<(typeof PROGRAMS)[number], string[]>> = {};
  for (const name of PROGRAMS) {
    const text = options[name];
    if (text !== undefined) programs[name] = argvOf(name, text);
  }
  if ((programs.writer === undefined) !== (programs.reader === undefined)) {
    throw usage(
      '--writer and --reader need each other: what was acknowledged is compared with what is visible',
    );
  }
  if (programs.start !== undefined && !programs.start.some((word) => word.includes('{data}'))) {
    throw usage('--start has no {data}: the process would not run on the restored files');
  }
  return programs;
}

function argvOf(name: string, text: string): string[] {
  try {
    return argvSchema.parse(JSON.parse(text));
  } catch {
    throw usage(`--${name} is not a JSON array of strings`);
  }
}

function numberFrom(text: string, name: string, least: number): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value >= least && value <= MOST) return value;
  throw usage(`--${name} is not a number from ${least} on`);
}

function known(ids: readonly string[]): readonly string[] {
  const unknown = ids.find((id) => !PROMISES.some((promise) => promise.id === id));
  if (unknown !== undefined) throw usage(`there is no promise ${unknown}`);
  return ids;
}

export function usage(message: string): StillpointError {
  return new StillpointError({
    code: 'usage',
    message,
    hint: 'stillpoint-conformance --help shows an example',
  });
}
