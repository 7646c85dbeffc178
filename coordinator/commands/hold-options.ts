import { InvalidArgumentError, type Command, type Option } from 'commander';
import { EXIT } from '../../shared/domain/errors.ts';
import type { HoldPurpose, Purpose } from '../../shared/domain/purpose.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import {
  endWithForeground,
  goOnInBackground,
  isInBackground,
  tellFailed,
  tellForeground,
} from '../jobs/background.ts';
import { checkRunnable, HeldCommand } from '../jobs/held-command.ts';
import type { Occupation } from '../jobs/held-job.ts';
import { holdGrid } from '../jobs/hold-grid.ts';
import { heldInWords, reportInWords, type HeldGrid } from '../jobs/hold-report.ts';
import { clearInfo, writeInfo } from '../jobs/info-file.ts';
import { checkInvoked, type Invoked } from '../jobs/invoked.ts';
import { untilLetGo } from '../jobs/occupations.ts';
import type { GridFile } from '../grid-file.ts';
import { checkHeldSet, HeldSet, USUAL_IMAGE, type HeldSetInput } from '../sets/held-set.ts';
import { parseDuration } from '../options.ts';
import { withSession, type Session } from '../session.ts';

/** What the commands that hold a grid have in common. */
export interface HoldOptions extends Invoked {
  readonly allowLogical?: boolean;
}

export interface LastingOptions extends HoldOptions {
  /** Milliseconds. */
  readonly timeOut: number;
  readonly info?: string;
  readonly background?: string;
  readonly set?: string;
  readonly image?: string;
}

export function withInvoked(command: Command): Command {
  return command
    .option('--cluster <name>', 'the grid that is meant (default: that of the grid file); another is refused')
    .option(
      '--via <host>',
      'the agent that is asked first; it must be of the grid and answer. Which one it is makes no difference: the operation is of the whole grid',
    );
}

export function withHoldOptions(command: Command): Command {
  return withInvoked(command).option(
    '--allow-logical',
    'go on where a consumer of logical replication outside of the grid gets commits early; what it gets must not come back into the grid',
  );
}

/** Of what lasts until it is let go. */
export function withLastingOptions(command: Command, timeOut: Option): Command {
  return withHoldOptions(command.addOption(timeOut))
    .option(
      '--info <file>',
      'written when all is held, as JSON: job, checkpoint, number, journalMap; not there before',
    )
    .option(
      '--background <file>',
      'return when all is held; a process in the background goes on holding, and writes to this file what it says and its result',
    )
    .option(
      '--set <set>',
      'a backup set of what is copied meanwhile: begun when all is held, ended before it is let go',
    )
    .option(
      '--image <pattern>',
      `with --set: the name of each copy below images of its member, with {member} and {set} (default: ${USUAL_IMAGE})`,
    )
    .argument('[cmd...]', 'behind --: a program that runs while all is held; its end lets go');
}

export function seconds(text: string): number {
  const ms = parseDuration(text);
  if (ms > 0) return ms;
  throw new InvalidArgumentError('write more than 0');
}

/** Holds for an instant; the marks are the result. */
export function holdOnce(
  command: Command,
  options: HoldOptions,
  purpose: Extract<Purpose, { type: 'journalCheckpoint' }>,
  reach: Reach,
): Promise<void> {
  return withSession(
    command,
    async (session) => {
      const gridFile = await session.gridFile();
      await checkInvoked(gridFile, options, session.cancellation.signal);
      const { allowLogical = false } = options;
      const report = await holdGrid({ ...session, gridFile, purpose, allowLogical, occupation: null, reach });
      session.progress.finish();
      session.printer.result(report, reportInWords(report));
    },
    { abortsItself: true },
  );
}

/** Holds until it is let go, by a person, by the end of a program, or from elsewhere. */
export function holdUntilLetGo(
  command: Command,
  options: LastingOptions,
  given: {
    readonly purpose: Extract<Purpose, { type: Exclude<HoldPurpose, 'journalCheckpoint'> }>;
    readonly program: readonly string[];
    readonly reach: Reach;
  },
): Promise<void> {
  if (options.image !== undefined && options.set === undefined)
    command.error('error: --image goes with --set');
  return withSession(
    command,
    async (session) => {
      const { background } = options;
      if (background === undefined || isInBackground()) return holdHere(session, options, given);
      const held = await goOnInBackground(background, session.cancellation);
      session.progress.finish();
      session.printer.result(held, heldInWords(held, endsOf(held, held.pid, given.program, true)));
    },
    { abortsItself: true, letsGo: true },
  ).catch((error: unknown) => {
    tellFailed(error);
    throw error;
  });
}

async function holdHere(
  session: Session,
  options: LastingOptions,
  { purpose, program, reach }: Parameters<typeof holdUntilLetGo>[2],
): Promise<void> {
  const { progress, cancellation, printer } = session;
  const { info, allowLogical = false } = options;
  endWithForeground();
  const gridFile = await session.gridFile();
  if (program.length > 0) await checkRunnable(program);
  if (info !== undefined) await clearInfo(info);
  const ofSet = heldSetOf(session, options, gridFile);
  if (ofSet !== null) await checkHeldSet(ofSet);
  await checkInvoked(gridFile, options, cancellation.signal);
  const told = async (held: HeldGrid): Promise<void> => {
    if (info !== undefined) await writeInfo(info, held);
    progress.note(heldInWords(held, endsOf(held, process.pid, program)));
    tellForeground({ type: 'held', held });
  };
  const ran = program.length > 0 ? new HeldCommand(program, told, cancellation.signal) : null;
  const copying: Occupation = ran ?? untilLetGo(told, process.stdin);
  const set = ofSet === null ? null : new HeldSet(ofSet, copying, () => ran === null || ran.exitCode === 0);
  const occupation = set ?? copying;
  const report = await holdGrid({ ...session, gridFile, purpose, allowLogical, occupation, reach });
  ran?.checkWhole();
  const exitCode = ran?.exitCode ?? null;
  const made = (await set?.read()) ?? null;
  progress.finish();
  const whole = {
    ...report,
    ...(exitCode !== null && { command: { exitCode } }),
    ...(made !== null && { set: made }),
  };
  printer.result(whole, reportInWords(whole));
  process.exitCode = exitCode || (made !== null && made.problems.length > 0 ? EXIT.invalid : EXIT.done);
}

function heldSetOf(
  { progress, cancellation: { signal } }: Session,
  { set, image = USUAL_IMAGE }: LastingOptions,
  gridFile: GridFile,
): HeldSetInput | null {
  return set === undefined ? null : { gridFile, set, image, signal, progress };
}

function endsOf(
  { purpose, job }: HeldGrid,
  pid: number,
  program: readonly string[],
  inBackground = isInBackground(),
): string {
  const elsewhere = purpose === 'freeze' ? 'stillpoint thaw' : `stillpoint resume --job ${job}`;
  const here =
    program.length > 0
      ? `until ${program[0]} ends`
      : inBackground
        ? `until SIGTERM to ${pid}`
        : `until Enter, or SIGTERM to ${pid}`;
  return `${here}; from elsewhere: ${elsewhere}. SIGINT aborts`;
}
