import { Registry } from 'prom-client';
import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import type { CatalogueEntry, Repository, Verification } from '../shared/repository/repository.ts';
import { addGauge, type Sample } from '../shared/runtime/metrics.ts';
import { version } from '../shared/runtime/version.ts';
import { lastDrills, type EarlierDrill } from './drill/report.ts';
import { newestOfLineages, SHOWN } from './lineage.ts';

const STATES = ['valid', 'damaged', 'deleting', 'uncommitted'] as const;

/** What a repository says of the grids that store in it. */
interface RepositoryFigures {
  readonly id: string;
  readonly freeBytes: number;
  readonly sizeBytes: number;
  readonly grids: readonly GridFigures[];
}

interface GridFigures {
  readonly grid: string;
  readonly entries: readonly CatalogueEntry[];
  /** The newest valid checkpoint of each lineage. */
  readonly newest: readonly { readonly at: number; readonly manifest: GridManifest }[];
  readonly abortedRuns: number;
  readonly verification: Verification | null;
  readonly drill: EarlierDrill | null;
}

/** Looks at all that a monitor may know without an agent. `grid`: of that grid alone. */
export async function readFigures(repository: Repository, grid: string | null): Promise<RepositoryFigures> {
  const entries = await repository.list(grid ?? undefined);
  const grids = [
    ...new Set([...(grid === null ? [] : [grid]), ...entries.map((entry) => entry.grid)]),
  ].sort();
  const [freeBytes, sizeBytes, all] = await Promise.all([
    repository.freeBytes(),
    repository.sizeBytes(),
    Promise.all(grids.map((one) => figuresOf(repository, one, entries))),
  ]);
  return { id: repository.id, freeBytes, sizeBytes, grids: all };
}

async function figuresOf(
  repository: Repository,
  grid: string,
  all: readonly CatalogueEntry[],
): Promise<GridFigures> {
  const entries = all.filter((entry) => entry.grid === grid);
  const [leftovers, verification, drills] = await Promise.all([
    repository.leftovers(grid),
    repository.lastVerification(grid),
    repository.drills(grid),
  ]);
  const newest = newestOfLineages(entries.filter(({ state }) => state === 'valid')).map((manifest) => ({
    at: parseCheckpointId(manifest.checkpoint)?.at.getTime() ?? 0,
    manifest,
  }));
  const [drill = null] = lastDrills(drills, 1);
  return { grid, entries, newest, abortedRuns: leftovers.length, verification, drill };
}

/** In the text that node_exporter reads from its directory, and Prometheus by itself. docs/monitoring.md has every name. */
export function metricsText(figures: RepositoryFigures, now: number): Promise<string> {
  const registry = new Registry();
  const add = (name: string, help: string, labels: readonly string[], samples: readonly Sample[]): void =>
    addGauge(registry, { name: `stillpoint_${name}`, help, labels }, () => samples);
  const { grids } = figures;

  add(
    'metrics_info',
    'Version that wrote these, and the repository',
    ['version', 'repository'],
    [{ labels: { version, repository: figures.id }, value: 1 }],
  );
  add('metrics_timestamp_seconds', 'When these were written', [], [{ value: now / 1000 }]);
  add('repository_free_bytes', 'Free on the disk of the repository', [], [{ value: figures.freeBytes }]);
  add('repository_size_bytes', 'What the repository takes, of all grids', [], [{ value: figures.sizeBytes }]);

  const OF_GRID = ['grid'];
  add(
    'checkpoints',
    'Checkpoints in the repository, by what they are',
    ['grid', 'state'],
    grids.flatMap(({ grid, entries }) =>
      STATES.map((state) => ({
        labels: { grid, state },
        value: entries.filter((entry) => entry.state === state).length,
      })),
    ),
  );
  add(
    'aborted_runs',
    'Runs since the last commit, of the last seven days, that stored something and were not committed, or are under way',
    OF_GRID,
    grids.map(({ grid, abortedRuns }) => ({ labels: { grid }, value: abortedRuns })),
  );
  addCheckpoints(add, grids, now);
  addVerifications(add, grids);
  addDrills(add, grids);
  return registry.metrics();
}

type Add = (name: string, help: string, labels: readonly string[], samples: readonly Sample[]) => void;

/** Of the newest valid checkpoint of each lineage. */
function addCheckpoints(add: Add, grids: readonly GridFigures[], now: number): void {
  const each = (name: string, help: string, value: (newest: GridFigures['newest'][number]) => number): void =>
    add(
      `checkpoint_${name}`,
      `${help} the newest valid checkpoint`,
      ['grid', 'lineage'],
      grids.flatMap(({ grid, newest }) =>
        newest.map((one) => ({
          labels: { grid, lineage: one.manifest.lineage.slice(0, SHOWN) },
          value: value(one),
        })),
      ),
    );
  each('timestamp_seconds', 'When it was begun:', ({ at }) => at / 1000);
  each('age_seconds', 'How old it was when this was written:', ({ at }) => (now - at) / 1000);
  each('window_seconds', 'How long the grid was held for', ({ manifest }) => manifest.windowMs / 1000);
  each('duration_seconds', 'How long it took:', ({ manifest }) => manifest.durationMs / 1000);
  each('size_bytes', 'What is in', ({ manifest }) => manifest.sizeBytes);
  each('stored_bytes', 'What was new in', ({ manifest }) => manifest.storedBytes);
  each('members', 'Members in', ({ manifest }) => manifest.members.length);
  each('absent_members', 'Members that were down at', ({ manifest }) => manifest.absent.length);
  each('warnings', 'Warnings of', ({ manifest }) => manifest.warnings.length);
}

function addVerifications(add: Add, grids: readonly GridFigures[]): void {
  const each = (name: string, help: string, value: (verification: Verification) => number): void =>
    add(
      `last_verify_${name}`,
      help,
      ['grid'],
      grids.flatMap(({ grid, verification }) =>
        verification === null ? [] : [{ labels: { grid }, value: value(verification) }],
      ),
    );
  each('timestamp_seconds', 'When a checkpoint was last verified', ({ verifiedAtMs }) => verifiedAtMs / 1000);
  each('duration_seconds', 'How long the last verification took', ({ durationMs }) => durationMs / 1000);
  each('bytes', 'What the last verification read', ({ bytes }) => bytes);
  each('damaged_places', 'What the last verification found', ({ damagedPlaces }) => damagedPlaces);
}

function addDrills(add: Add, grids: readonly GridFigures[]): void {
  const each = (name: string, help: string, value: (drill: EarlierDrill) => number | null): void =>
    add(
      `last_drill_${name}`,
      help,
      ['grid'],
      grids.flatMap(({ grid, drill }) => {
        const found = drill === null ? null : value(drill);
        return found === null ? [] : [{ labels: { grid }, value: found }];
      }),
    );
  each('timestamp_seconds', 'When the last drill began', ({ startedAt }) => Date.parse(startedAt) / 1000);
  each('passed', 'Whether a person could have gone live on it', ({ outcome }) =>
    outcome === 'passed' ? 1 : 0,
  );
  each('rto_seconds', 'How long the last drill took to its last check', ({ rtoMs }) =>
    rtoMs === null ? null : rtoMs / 1000,
  );
  each('rpo_seconds', 'How old its checkpoint was when the last drill began', ({ rpoMs }) => rpoMs / 1000);
}
