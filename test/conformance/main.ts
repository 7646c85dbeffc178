import { readFile, writeFile } from 'node:fs/promises';
import { EXIT, failureOf, StillpointError } from '../../shared/domain/errors.ts';
import type { ParticipantDescription } from '../../shared/domain/participant.ts';
import { version } from '../../shared/runtime/version.ts';
import { END_TO_END, runEndToEnd } from './checkpoint/end-to-end.ts';
import { readSequence, type Sequence } from './contract/sequence-file.ts';
import { junitOf } from './junit.ts';
import { epochOfNow, readOptions, suiteInputOf, targetOf, USAGE, usage, type Options } from './options.ts';
import type { Result, Verdict } from './promise.ts';
import { replay } from './replay.ts';
import { PROMISES, runSuite } from './suite.ts';

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

async function run(options: Options): Promise<number> {
  if (options.help === true) return print(USAGE);
  if (options.version === true) return print(`${version}\n`);
  if (options.list === true)
    return print([...PROMISES, ...END_TO_END].map(({ id, says }) => `${id.padEnd(28)}${says}\n`).join(''));
  if (options.replay !== undefined) return await replayed(options, options.replay);
  return await check(options);
}

/** Prints the sequence as it goes, to the first answer that is other than recorded. */
async function replayed(options: Options, file: string): Promise<number> {
  const json = options.json === true;
  const done = await replay({
    ...targetOf(options),
    sequence: await sequenceIn(file),
    epoch: epochOfNow(),
    onStep: ({ line, difference }) => {
      if (!json)
        process.stdout.write(`${difference === null ? 'as recorded' : 'differs'.padEnd(11)}  ${line}\n`);
    },
  });
  const last = done.at(-1);
  const difference = last?.difference ?? null;
  if (json) process.stdout.write(`${JSON.stringify({ file, steps: done })}\n`);
  else if (difference === null) process.stdout.write(`${done.length} calls, all as recorded\n`);
  else process.stdout.write(`recorded: ${last?.line ?? ''}\nseen: ${difference}\n`);
  return difference === null ? EXIT.done : EXIT.invalid;
}

async function sequenceIn(file: string): Promise<Sequence> {
  try {
    return readSequence(await readFile(file, 'utf8'));
  } catch (error) {
    throw usage(`${file} cannot be replayed: ${(error as Error).message}`);
  }
}

async function check(options: Options): Promise<number> {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
  const { input, timeOutMs } = suiteInputOf(options);
  const late = AbortSignal.timeout(timeOutMs);
  const json = options.json === true;
  const runs = options.checkpoint === true ? runEndToEnd : runSuite;
  const { description, verdicts } = await runs({
    ...input,
    signal: AbortSignal.any([interrupted.signal, late]),
    onVerdict: (verdict) => {
      if (!json) process.stdout.write(inWords(verdict));
    },
  });
  if (options.junit !== undefined) await writeReport(options.junit, verdicts, description);
  process.stdout.write(json ? `${JSON.stringify(summary(description, verdicts))}\n` : closing(verdicts));
  if (verdicts.some(({ result }) => result === 'broken')) return EXIT.invalid;
  if (interrupted.signal.aborted || late.aborted) return EXIT.aborted;
  const isStrict = options.strict === true;
  return isStrict && verdicts.some(({ result }) => result === 'not-tried') ? EXIT.invalid : EXIT.done;
}

async function writeReport(
  path: string,
  verdicts: readonly Verdict[],
  description: ParticipantDescription | null,
): Promise<void> {
  try {
    await writeFile(path, junitOf(description?.name ?? 'unknown', verdicts));
  } catch (error) {
    throw usage(`the report cannot be written: ${(error as Error).message}`);
  }
}

function inWords({ id, says, result, seen }: Verdict): string {
  const line = `${result.padEnd(15)} ${id.padEnd(28)} ${seen}\n`;
  return result === 'broken' ? `${line}${' '.repeat(16)}contract: ${says}\n` : line;
}

/** The last line says what was not tried, and why. */
function closing(verdicts: readonly Verdict[]): string {
  const count = (result: Result): number => verdicts.filter((one) => one.result === result).length;
  const counts = (['kept', 'broken', 'not-tried', 'not-applicable'] as const).map(
    (result) => `${count(result)} ${result.replace('-', ' ')}`,
  );
  const reasons = Map.groupBy(
    verdicts.filter(({ result }) => result === 'not-tried'),
    ({ seen }) => seen,
  );
  const untried = [...reasons].map(([why, those]) => `${those.map(({ id }) => id).join(', ')} (${why})`);
  return `${counts.join(', ')}\n${untried.length === 0 ? 'nothing was left untried' : `not tried: ${untried.join('; ')}`}\n`;
}

function summary(description: ParticipantDescription | null, verdicts: readonly Verdict[]): object {
  const idsOf = (wanted: Result): string[] =>
    verdicts.filter(({ result }) => result === wanted).map(({ id }) => id);
  return {
    process: description?.name ?? null,
    role: description?.role ?? null,
    version: description?.version ?? null,
    broken: idsOf('broken'),
    notTried: idsOf('not-tried'),
    promises: verdicts,
  };
}

function print(text: string): number {
  process.stdout.write(text);
  return EXIT.done;
}

process.exitCode = await main();
process.stdout.write('', () => process.stderr.write('', () => process.exit()));
