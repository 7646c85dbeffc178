import type { Command } from 'commander';
import { parseCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { HOLD_PURPOSES, PURPOSE_WORDS } from '../../shared/domain/purpose.ts';
import type {
  CatalogueEntry,
  Leftover,
  Repository,
  Retained,
  Retention,
} from '../../shared/repository/repository.ts';
import { askHosts } from '../agents.ts';
import { notValid, selectCheckpoint } from '../checkpoint-selector.ts';
import { confirm } from '../confirm.ts';
import { damageOf } from '../damaged-entries.ts';
import { journalEnd } from '../journal-words.ts';
import { LINEAGE_HELP, lineageToSelect, SHOWN } from '../lineage.ts';
import { table } from '../output.ts';
import { inMegabytes } from '../megabytes.ts';
import { importedInWords } from '../archives/imported-words.ts';
import { inFields, retentionOf } from '../retention-words.ts';
import { type Session, withSession } from '../session.ts';
import { stderr } from '../words.ts';

/** The commands that read and change the repository alone; no agent is asked, no grid need live. */
export function registerCatalogue(checkpoint: Command): Command[] {
  return [
    registerList(checkpoint),
    registerDescribe(checkpoint),
    registerVerify(checkpoint),
    registerDelete(checkpoint),
  ];
}

export interface SelectOptions {
  readonly lineage?: string;
}

/** With a grid file its hosts are asked, where the repository alone does not tell. */
function lineageFor(
  { gridFile, repositoryLocation, cancellation }: Session,
  options: SelectOptions,
): (entries: readonly CatalogueEntry[]) => Promise<string | null> {
  return async (entries) => {
    const { grid } = await repositoryLocation();
    const ask = async (): Promise<HostDescription[]> => askHosts(await gridFile(), cancellation.signal);
    return lineageToSelect({ entries, named: options.lineage ?? null, ask: grid === null ? null : ask });
  };
}

/** The one that is meant, and the repository that has it. */
export async function selected(
  session: Session,
  id: string,
  options: SelectOptions,
): Promise<{ readonly repository: Repository; readonly entry: CatalogueEntry }> {
  const { repository, grid } = await session.repository();
  const entry = await selectCheckpoint(repository, grid, id, lineageFor(session, options));
  return { repository, entry };
}

function registerList(checkpoint: Command): Command {
  return checkpoint
    .command('list')
    .description('the checkpoints in the repository, newest first')
    .option('--all', 'also journal checkpoints, quiesces and freezes, of which the repository has no copy')
    .addHelpText('after', '\nExample: stillpoint checkpoint list --repository /srv/stillpoint')
    .action(({ all }: { all?: boolean }, command: Command) =>
      withSession(command, async ({ repository: open, printer }) => {
        const { repository, grid } = await open();
        const purposes = all === true ? HOLD_PURPOSES : [];
        const entries = await repository.list(grid ?? undefined, { purposes, imported: true });
        const problems = entries.flatMap((one) => damageOf(one) ?? []);
        const grids = [...new Set([...(grid === null ? [] : [grid]), ...entries.map((entry) => entry.grid)])];
        const leftovers = (await Promise.all(grids.map((one) => repository.leftovers(one)))).flat();
        const retained = (await Promise.all(grids.map((one) => repository.retained(one)))).flat();
        printer.result(
          {
            checkpoints: entries.map((entry) => listed(entry, retentionOf(entry, retained))),
            ...(leftovers.length > 0 && { leftovers: leftovers.map(inTime) }),
            ...(problems.length > 0 && { problems }),
          },
          [
            listInWords(entries, retained),
            ...leftoversInWords(leftovers),
            ...problems.map(({ message, hint }) => `problem: ${message}\n  hint: ${hint}`),
          ].join('\n'),
        );
      }),
    );
}

function registerDescribe(checkpoint: Command): Command {
  return checkpoint
    .command('describe <id>')
    .description('everything that is recorded of one checkpoint (ID, NAME or latest)')
    .addHelpText('after', '\nExample: stillpoint checkpoint describe latest --repository /srv/stillpoint')
    .option('--lineage <lineage>', LINEAGE_HELP)
    .action((id: string, options: SelectOptions, command: Command) =>
      withSession(command, async (session) => {
        const { printer } = session;
        const { repository, entry } = await selected(session, id, options);
        const manifest = entry.manifest ?? (await repository.readCheckpoint(entry.grid, entry.checkpoint));
        const retention = retentionOf(entry, await repository.retained(entry.grid));
        printer.result(
          {
            ...manifest,
            state: entry.state,
            ...(entry.cause !== null && { cause: entry.cause }),
            ...(retention !== null && { held: inFields(retention) }),
          },
          describeInWords(manifest, entry, retention),
        );
      }),
    );
}

function registerVerify(checkpoint: Command): Command {
  return checkpoint
    .command('verify <id>')
    .description('re-read every byte of a checkpoint and name each damaged file')
    .addHelpText('after', '\nExample: stillpoint checkpoint verify latest --repository /srv/stillpoint')
    .option('--lineage <lineage>', LINEAGE_HELP)
    .action((id: string, options: SelectOptions, command: Command) =>
      withSession(command, async (session) => {
        const { printer, progress } = session;
        const { repository, entry } = await selected(session, id, options);
        if (entry.state === 'uncommitted' || entry.state === 'deleting') throw notValid(entry);
        progress.phase(null, 'verify', entry.checkpoint);
        const begunAt = performance.now();
        const damage = await repository.verify(entry.grid, entry.checkpoint, (done, total) =>
          progress.bytes('bytes read', done, total),
        );
        progress.finish();
        await noteVerification(session, repository, {
          entry,
          durationMs: performance.now() - begunAt,
          damagedPlaces: damage.length,
        });
        if (damage.length > 0) {
          const named = damage.map(({ member, file, cause }) => `${member ?? 'grid'}: ${file}: ${cause}`);
          for (const line of named) stderr.write(`${line}\n`);
          throw new StillpointError(
            {
              code: 'checkpoint-damaged',
              message: `${entry.checkpoint} is damaged in ${damage.length} ${damage.length === 1 ? 'place' : 'places'}: ${named.slice(0, 20).join('; ')}`,
              hint: 'restore another checkpoint, and look at the disk of the repository',
            },
            EXIT.invalid,
          );
        }
        const sizeBytes = entry.manifest?.sizeBytes ?? 0;
        printer.result(
          { checkpoint: entry.checkpoint, verified: true, sizeBytes, damage: [] },
          `${entry.checkpoint}: ${inMegabytes(sizeBytes)} read, no damage${notCopied(entry.manifest)}`,
        );
      }),
    );
}

/** A repository that can only be read is verified all the same: nothing but a monitor misses the note. */
async function noteVerification(
  { log }: Session,
  repository: Repository,
  done: { entry: CatalogueEntry; durationMs: number; damagedPlaces: number },
): Promise<void> {
  const { entry, durationMs, damagedPlaces } = done;
  const { grid, checkpoint, manifest } = entry;
  const verification = {
    checkpoint,
    verifiedAtMs: Date.now(),
    durationMs: Math.round(durationMs),
    bytes: manifest?.sizeBytes ?? 0,
    damagedPlaces,
  };
  await repository
    .recordVerification(grid, verification)
    .catch((error: unknown) =>
      log.warn({ event: 'notNoted', err: error }, 'that it was verified is not noted'),
    );
}

function registerDelete(checkpoint: Command): Command {
  return checkpoint
    .command('delete <id>')
    .description('delete one checkpoint and what only it needs')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExample: stillpoint checkpoint delete nightly --yes --repository /srv/stillpoint',
    )
    .option('--lineage <lineage>', LINEAGE_HELP)
    .action((id: string, options: SelectOptions & { yes?: boolean }, command: Command) =>
      withSession(command, async (session) => {
        const { printer } = session;
        const { repository, entry } = await selected(session, id, options);
        await confirm(`delete checkpoint ${entry.checkpoint} for good`, { yes: options.yes ?? false });
        const { removedBytes } = await repository.deleteCheckpoint(entry.grid, entry.checkpoint);
        printer.result(
          { checkpoint: entry.checkpoint, deleted: true, removedBytes },
          `${entry.checkpoint} deleted, ${inMegabytes(removedBytes)} freed`,
        );
      }),
    );
}

function listed(entry: CatalogueEntry, retention: Retention | null): object {
  const id = parseCheckpointId(entry.checkpoint);
  const { manifest } = entry;
  return {
    checkpoint: entry.checkpoint,
    grid: entry.grid,
    name: id?.name,
    epoch: id?.epoch,
    counter: id?.counter,
    createdAt: manifest?.createdAt ?? id?.at.toISOString(),
    state: entry.state,
    ...(entry.cause !== null && { cause: entry.cause }),
    ...(retention !== null && { held: inFields(retention) }),
    ...(manifest !== null && {
      ...(manifest.purpose !== undefined && { purpose: manifest.purpose }),
      ...(manifest.imported !== undefined && { imported: manifest.imported }),
      lineage: manifest.lineage,
      windowMs: manifest.windowMs,
      durationMs: manifest.durationMs,
      sizeBytes: manifest.sizeBytes,
      storedBytes: manifest.storedBytes,
      members: manifest.members.length,
      journalMap: manifest.journalMap,
      absent: manifest.absent,
    }),
  };
}

function inTime({ checkpoint, sinceMs, untilMs }: Leftover): object {
  return { checkpoint, since: new Date(sinceMs).toISOString(), until: new Date(untilMs).toISOString() };
}

function leftoversInWords(leftovers: readonly Leftover[]): string[] {
  return leftovers.map(
    ({ checkpoint, untilMs }) =>
      `${checkpoint} was not committed; what it stored waits for the next run until ${new Date(untilMs).toISOString()} (stillpoint checkpoint prune --leftovers)`,
  );
}

function listInWords(entries: readonly CatalogueEntry[], retained: readonly Retained[]): string {
  if (entries.length === 0) return 'no checkpoints';
  const rows = entries.map((entry) => [entry, retentionOf(entry, retained)] as const).map(rowOf);
  return table([['CHECKPOINT', 'STATE', 'LINEAGE', 'SIZE', 'FROZEN', ''], ...rows]);
}

function rowOf([{ checkpoint, state, manifest, cause }, retention]: readonly [
  CatalogueEntry,
  Retention | null,
]): string[] {
  const kind = manifest?.purpose === undefined ? [] : [PURPOSE_WORDS[manifest.purpose]];
  const origin = manifest?.imported === undefined ? [] : [`imported: ${manifest.imported.file}`];
  const kept = retention === null ? [] : [`held: ${retention.reason}`];
  return [
    checkpoint,
    state,
    manifest?.lineage.slice(0, SHOWN) ?? '',
    manifest === null ? '' : inMegabytes(manifest.sizeBytes),
    manifest === null || manifest.imported !== undefined ? '' : `${manifest.windowMs.toFixed(1)} ms`,
    [...(cause === null ? [...kind, ...origin] : [cause]), ...kept].join('; '),
  ];
}

function describeInWords(manifest: GridManifest, entry: CatalogueEntry, retention: Retention | null): string {
  const rows = manifest.members.map((member) => [
    `  ${member.name}`,
    member.host,
    member.role,
    member.engine,
    member.copyset ?? '',
    manifest.imported === undefined
      ? journalEnd({
          file: member.mark?.journalFile ?? null,
          isMarked: member.mark !== null,
          isCovered: member.assignment.hold === 'none',
        })
      : '(imported)',
    member.mark?.position ?? '',
    inMegabytes(member.sizeBytes),
  ]);
  return [
    `${manifest.checkpoint}: ${entry.state}${entry.cause === null ? '' : ` (${entry.cause})`}`,
    `  grid ${manifest.grid}, lineage ${manifest.lineage}, epoch ${manifest.epoch}, counter ${manifest.counter}, attempt ${manifest.token.attempt}, ${manifest.createdAt}`,
    ...(manifest.purpose === undefined
      ? []
      : [
          `  a ${PURPOSE_WORDS[manifest.purpose]}: its members were held, and nothing of them is stored but their marks`,
        ]),
    ...(retention === null
      ? []
      : [
          `  kept for good: ${retention.reason} (${retention.by}, ${new Date(retention.sinceMs).toISOString()})`,
        ]),
    ...(manifest.imported === undefined ? [] : [`  ${importedInWords(manifest.imported)}`]),
    `  ${manifest.imported === undefined ? `frozen for ${manifest.windowMs.toFixed(2)} ms; ` : ''}${inMegabytes(manifest.sizeBytes)}, ${inMegabytes(manifest.storedBytes)} of it new`,
    table([['  MEMBER', 'HOST', 'ROLE', 'ENGINE', 'COPYSET', 'JOURNAL ENDS WITH', 'AT', 'SIZE'], ...rows]),
    ...manifest.absent.map((member) => `  absent: ${member} was down`),
    ...manifest.warnings.map((warning) => `  warning: ${warning}`),
  ].join('\n');
}

/** Whole as it is, the checkpoint does not bring these back. */
function notCopied(manifest: GridManifest | null): string {
  if (manifest?.purpose !== undefined)
    return `; it is a ${PURPOSE_WORDS[manifest.purpose]}: nothing of its members was copied, only held still`;
  const held = manifest?.members.filter(
    ({ mark, assignment }) => mark !== null && assignment.part === 'none',
  );
  if (held === undefined || held.length === 0) return '';
  return `; nothing of ${held.map(({ name }) => name).join(', ')} was copied, only held still`;
}
