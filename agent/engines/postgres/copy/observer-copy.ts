import type { Copy, CopyContext } from '../../engine.ts';
import { ownerOf } from '../../restore/owner.ts';
import { storeConfiguration, storeDirectories } from './collect.ts';
import { serverError } from '../server/connection.ts';
import type { PostgresFacts } from './facts.ts';
import { linkAt } from './left-out.ts';
import type { ServerFacts } from '../server/server-facts.ts';
import type { PostgresSettings } from '../settings.ts';

/** Of a hot standby's data nothing is stored, for its primary's is; of its configuration everything. */
export class ObserverCopy implements Copy {
  readonly #settings: PostgresSettings;
  readonly #context: CopyContext;
  readonly #hold: { known(): ServerFacts };

  constructor(settings: PostgresSettings, context: CopyContext, hold: { known(): ServerFacts }) {
    this.#settings = settings;
    this.#context = context;
    this.#hold = hold;
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  async finish(): Promise<PostgresFacts> {
    const { artifacts } = this.#context;
    try {
      const owner = await ownerOf(this.#settings);
      await storeConfiguration(artifacts, this.#settings.data, owner);
      await storeDirectories(artifacts, this.#settings.also, owner);
      const walLink = await linkAt(this.#settings.data, 'pg_wal');
      return { ...observerFacts(this.#hold.known(), this.#settings), walLink };
    } catch (error) {
      throw serverError(this.#settings, error);
    }
  }

  abandon(): Promise<void> {
    return Promise.resolve();
  }
}

/** What is known of a standby's server. */
export function observerFacts(facts: ServerFacts, settings: PostgresSettings): PostgresFacts {
  return {
    kind: 'observer',
    serverVersion: facts.serverVersion,
    systemIdentifier: facts.systemIdentifier,
    timeline: 0,
    walSegmentSizeBytes: facts.walSegmentSizeBytes,
    startPosition: null,
    markPosition: null,
    restorePoint: null,
    synchronousStandbyNames: facts.standbyNames,
    synchronousStandbyNamesInAutoConf: facts.standbyNamesFile?.endsWith('postgresql.auto.conf') ?? false,
    port: facts.port,
    listenAddresses: facts.listenAddresses,
    archiving: facts.archiving,
    subscriptions: [],
    tablespaces: [],
    outsideFiles: facts.outsideFiles,
    also: settings.also,
    preparedAtMark: [],
    preparedEnded: [],
    preparedReused: [],
    configFile: null,
    needs: [],
    preload: [],
    leftOut: [],
    walLink: null,
    damagedPages: [],
    collations: [],
    locales: [],
    inForce: [],
    outbound: [],
  };
}
