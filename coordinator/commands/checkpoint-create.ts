import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Reach } from '../../shared/runtime/moments.ts';
import { createCheckpoint } from '../checkpoint.ts';
import { journalEnd } from '../journal-words.ts';
import { table } from '../output.ts';
import { inMegabytes } from '../megabytes.ts';
import type { CheckpointReport } from '../reports.ts';
import { withSession } from '../session.ts';
import type { CheckpointTrace } from '../trace/checkpoint-trace.ts';

interface CreateOptions {
  readonly maintenance?: boolean;
  readonly adopt?: string | true;
  readonly allowLogical?: boolean;
  readonly trace?: string;
}

export function registerCheckpointCreate(checkpoint: Command, reach: Reach): Command {
  return checkpoint
    .command('create <name>')
    .description('bring the whole grid to a still point for milliseconds and store it')
    .option(
      '--maintenance',
      "refuse clients' writes while the checkpoint is made; they are always allowed again",
    )
    .option(
      '--adopt [lineage]',
      'go on in a lineage of the repository that is not that of the hosts; it may be left out where there is one',
    )
    .option(
      '--allow-logical',
      'go on where a consumer of logical replication outside of the grid gets commits early; what it gets must not come back into the grid',
    )
    .option(
      '--trace <file>',
      'write every step of every process there, on one clock, however it ends; ui.perfetto.dev opens it',
    )
    .addHelpText('after', '\nExample: stillpoint checkpoint create nightly --grid /etc/stillpoint/grid.yaml')
    .action((name: string, options: CreateOptions, command: Command) =>
      withSession(
        command,
        async ({ gridFile, cancellation, progress, log, printer }) => {
          const file = await gridFile();
          const trace = options.trace === undefined ? undefined : await openTrace(options.trace);
          const report = await createCheckpoint({
            gridFile: file,
            name,
            maintenance: options.maintenance ?? false,
            adopt: options.adopt,
            allowLogical: options.allowLogical ?? false,
            trace,
            cancellation,
            progress,
            log,
            reach,
          });
          progress.finish();
          printer.result(report, inWords(report));
        },
        { abortsItself: true },
      ),
    );
}

/** What it takes is loaded where it is asked for. */
async function openTrace(path: string): Promise<CheckpointTrace> {
  const trace = await import('../trace/checkpoint-trace.ts');
  return trace.CheckpointTrace.open(resolve(path));
}

function inWords(report: CheckpointReport): string {
  const rows = report.members.map((member) => [
    member.name,
    member.address,
    journalEnd({
      file: report.journalMap[member.address] ?? null,
      isMarked: member.mark !== null,
      isCovered: member.state === 'covered',
    }),
    member.mark ?? '',
  ]);
  return [
    `checkpoint ${report.checkpoint}`,
    `  frozen for ${report.windowMs} ms; ${inMegabytes(report.sizeBytes)} in ${(report.durationMs / 1000).toFixed(1)} s, ${inMegabytes(report.storedBytes)} of it new`,
    table([
      ['  member', 'address', 'journal ends with', 'at'],
      ...rows.map(([name = '', ...others]) => [`  ${name}`, ...others]),
    ]),
    ...tracedInWords(report),
    ...report.absent.map((member) => `  absent: ${member} was down`),
    ...report.warnings.map((warning) => `  warning: ${warning}`),
  ].join('\n');
}

function tracedInWords({ trace, members }: CheckpointReport): string[] {
  if (trace === undefined) return [];
  const rows = members.flatMap(({ name, window }) =>
    window === null || window === undefined
      ? []
      : [
          [
            `  ${name}`,
            ...[window.wireMs, window.agentMs, window.serverMs, window.othersMs, window.waitedMs].map(ms),
          ],
        ],
  );
  return [
    '',
    table([['  of the window (ms)', 'wire', 'agent', 'server', 'others', 'no processor'], ...rows]),
    `  every step: ${trace.file}`,
  ];
}

function ms(value: number | null): string {
  return value === null ? '?' : value.toFixed(2);
}
