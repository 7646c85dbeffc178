import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { EXIT, failureOf, StillpointError } from '../../shared/domain/errors.ts';
import type { ParticipantDescription } from '../../shared/domain/participant.ts';
import { version } from '../../shared/runtime/version.ts';
import type { Programs } from './programs.ts';
import type { Verdict } from './promise.ts';
import { PROMISES, runSuite } from './suite.ts';

const USAGE = `stillpoint-conformance: does a process keep the contract of participants?

  stillpoint-conformance --socket PATH

  --socket PATH     the Unix socket on which the process serves proto/participant.proto
  --writer ARGV     writes rows numbered from {from} on without end, one line for each: its number when it is
                    acknowledged, or: refused
  --reader ARGV     prints the numbers that are visible, one a line, and ends
  --busy ARGV       keeps the process from coming to rest: one line when it does, until it is ended
  --start ARGV      runs a process on the files in {data}, until it is ended; it serves the contract at {socket},
                    where that is named
  --only ID         this promise only; may be repeated
  --lease-ms N      of leases that are meant to run out (300)
  --hold-ms N       for how long is watched what must not happen (500)
  --list            the promises
  --json            one object for scripts
  --version, --help

ARGV is a JSON array of strings; {data} in it is the data directory. Use a process of its own for this: its tokens
are far ahead afterwards. Exit codes: 0 kept, 2 usage, 3 cannot be called, 4 interrupted, 6 a promise is broken.

Example: stillpoint-conformance --socket /run/orders-1a.sock --reader '["./rows", "{data}"]' \\
           --writer '["./write", "{data}", "{from}"]' --start '["./orders", "--data", "{data}", "--participant", "{socket}"]'
`;

const argvSchema = z.array(z.string()).min(1);
const PROGRAMS = ['writer', 'reader', 'busy', 'start'] as const;
const MIN_LEASE_MS = 50;

async function main(): Promise<number> {
  const json = process.argv.includes('--json');
  try {
    return await run(readOptions());
  } catch (error) {
    const failure = failureOf(error, { code: 'internal', hint: 'report it with what it was run against' });
    if (json) process.stdout.write(`${JSON.stringify({ error: failure })}\n`);
    else process.stderr.write(`stillpoint-conformance: ${failure.message}\nhint: ${failure.hint}\n`);
    return error instanceof StillpointError ? error.exitCode : EXIT.usage;
  }
}

async function run(options: ReturnType<typeof readOptions>): Promise<number> {
  if (options.help === true) return print(USAGE);
  if (options.version === true) return print(`${version}\n`);
  if (options.list === true)
    return print(PROMISES.map(({ id, says }) => `${id.padEnd(28)}${says}\n`).join(''));
  if (options.socket === undefined) throw usage('no socket was given');
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
  const json = options.json === true;
  const { description, verdicts } = await runSuite({
    target: `unix:${resolve(options.socket)}`,
    programs: programsOf(options),
    pace: {
      leaseMs: milliseconds(options['lease-ms'], 'lease-ms', MIN_LEASE_MS),
      holdMs: milliseconds(options['hold-ms'], 'hold-ms', 1),
    },
    // Seconds since 1970: ahead of every real checkpoint's and of every earlier run.
    epoch: Math.floor(Date.now() / 1000),
    ...(options.only !== undefined && { only: known(options.only) }),
    signal: interrupted.signal,
    onVerdict: (verdict) => {
      if (!json) process.stdout.write(inWords(verdict));
    },
  });
  process.stdout.write(json ? `${JSON.stringify(summary(description, verdicts))}\n` : closing(verdicts));
  if (verdicts.some(({ result }) => result === 'broken')) return EXIT.invalid;
  return interrupted.signal.aborted ? EXIT.aborted : EXIT.done;
}

function readOptions() {
  try {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean' } as const;
    const { values } = parseArgs({
      options: {
        socket: text,
        writer: text,
        reader: text,
        busy: text,
        start: text,
        only: { ...text, multiple: true },
        'lease-ms': { ...text, default: '300' },
        'hold-ms': { ...text, default: '500' },
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

function programsOf(options: ReturnType<typeof readOptions>): Programs {
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

function milliseconds(text: string, name: string, least: number): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= least) return value;
  throw usage(`--${name} is not a number of milliseconds from ${least} on`);
}

function known(ids: readonly string[]): readonly string[] {
  const unknown = ids.find((id) => !PROMISES.some((promise) => promise.id === id));
  if (unknown !== undefined) throw usage(`there is no promise ${unknown}`);
  return ids;
}

function inWords({ id, says, result, seen }: Verdict): string {
  const line = `${result.padEnd(15)} ${id.padEnd(28)} ${seen}\n`;
  return result === 'broken' ? `${line}${' '.repeat(16)}contract: ${says}\n` : line;
}

function closing(verdicts: readonly Verdict[]): string {
  const count = (result: Verdict['result']): number => verdicts.filter((one) => one.result === result).length;
  return `${count('kept')} kept, ${count('broken')} broken, ${count('not-applicable')} not applicable\n`;
}

function summary(description: ParticipantDescription | null, verdicts: readonly Verdict[]): object {
  return {
    process: description?.name ?? null,
    role: description?.role ?? null,
    version: description?.version ?? null,
    broken: verdicts.filter(({ result }) => result === 'broken').map(({ id }) => id),
    promises: verdicts,
  };
}

function print(text: string): number {
  process.stdout.write(text);
  return EXIT.done;
}

function usage(message: string): StillpointError {
  return new StillpointError({
    code: 'usage',
    message,
    hint: 'stillpoint-conformance --help shows an example',
  });
}

process.exitCode = await main();
process.stdout.write('', () => process.stderr.write('', () => process.exit()));
