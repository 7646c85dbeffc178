import type { ImageManifest } from '../../../../shared/domain/backup-set.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { parseSettings } from '../restore/auto-conf.ts';
import { decodeConfiguration } from '../restore/configuration-text.ts';
import { libraryNames } from '../server/library-names.ts';
import type { ImageFacts } from './image-facts.ts';
import type { ImageFiles } from './image-files.ts';

/**
 * The facts of a server that was shut down when it was copied: nobody could ask it, so they are what its files say. What
 * lies outside of its data directory is not known.
 */
export async function stoppedFacts(
  image: ImageManifest,
  { majorVersion, timeline, walSegmentSizeBytes }: ImageFacts,
  files: ImageFiles,
): Promise<PostgresFacts> {
  const configured = new Map<string, string>();
  const inAutoConf = new Set<string>();
  for (const name of ['postgresql.conf', 'postgresql.auto.conf']) {
    const linked = image.entries.some(({ path, kind }) => path === name && kind === 'symlink');
    const bytes = linked ? null : await files.read(name);
    for (const [setting, value] of parseSettings(decodeConfiguration(bytes ?? Buffer.alloc(0)))) {
      configured.set(setting, value);
      if (name === 'postgresql.auto.conf') inAutoConf.add(setting);
    }
  }
  return {
    kind: 'primary',
    serverVersion: majorVersion * 10_000,
    systemIdentifier: image.dataIdentity,
    timeline,
    walSegmentSizeBytes,
    startPosition: null,
    markPosition: null,
    restorePoint: null,
    synchronousStandbyNames: configured.get('synchronous_standby_names') ?? '',
    synchronousStandbyNamesInAutoConf: inAutoConf.has('synchronous_standby_names'),
    port: Number(configured.get('port') ?? 5432),
    listenAddresses: configured.get('listen_addresses') ?? 'localhost',
    archiving: !['off', 'false', 'no', '0'].includes(configured.get('archive_mode') ?? 'off'),
    subscriptions: [],
    tablespaces: [],
    outsideFiles: [],
    also: [],
    preparedAtMark: [],
    preparedEnded: [],
    preparedReused: [],
    configFile: null,
    needs: [],
    preload: libraryNames(configured.get('shared_preload_libraries') ?? ''),
    leftOut: [],
    walLink: null,
    damagedPages: [],
    collations: [],
    locales: [],
    inForce: [],
    outbound: [],
  };
}
