import { access } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import * as z from 'zod';
import { StillpointError } from '../shared/domain/errors.ts';
import { NAME, NAME_RULE } from '../shared/domain/name.ts';
import { MAX_LEASE_MS } from '../shared/domain/wire.ts';
import { absoluteTls, tlsSchema } from '../shared/rpc/tls-files.ts';
import { loadYamlFile } from '../shared/runtime/configuration.ts';
import { drillChecksSchema } from './drill/checks.ts';

const name = z.string().regex(NAME, NAME_RULE);

const gridFileSchema = z.strictObject({
  grid: name,
  agents: z
    .array(z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port'))
    .min(1, 'must name at least one agent')
    .refine((agents) => new Set(agents).size === agents.length, 'must name each agent once'),
  repository: z.string().min(1),
  tls: tlsSchema,
  copysets: z.array(name).optional(),
  /** There is none: processes that a realm could define are a grid by themselves (docs/realm-grids.md). */
  realm: z.literal('none', 'must be none, or be left out').optional(),
  leaseSeconds: z
    .number()
    .min(1, 'must be at least 1')
    .max(MAX_LEASE_MS / 1000, 'must be at most 600')
    .default(10),
  drill: z.strictObject({ checks: drillChecksSchema.default([]) }).optional(),
});

/** The grid file, its paths made absolute. */
export type GridFile = z.infer<typeof gridFileSchema>;

/** From `--grid`, else STILLPOINT_GRID, else ./grid.yaml, else /etc/stillpoint/grid.yaml. */
export async function loadGridFile(given?: string): Promise<GridFile> {
  const path = resolve(
    given ?? process.env['STILLPOINT_GRID'] ?? (await firstThere(['grid.yaml', '/etc/stillpoint/grid.yaml'])),
  );
  const file = await loadYamlFile(path, gridFileSchema);
  const absolute = (relative: string): string => resolve(dirname(path), relative);
  return {
    ...file,
    repository: /^[a-z0-9]+:\/\//.test(file.repository) ? file.repository : absolute(file.repository),
    tls: absoluteTls(file.tls, absolute),
  };
}

async function firstThere(paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    try {
      await access(path);
      return path;
    } catch {
      // The next place.
    }
  }
  throw new StillpointError({
    code: 'bad-configuration',
    message: 'no grid file was named, and there is none at ./grid.yaml or /etc/stillpoint/grid.yaml',
    hint: 'name it with --grid FILE or the environment variable STILLPOINT_GRID',
  });
}
