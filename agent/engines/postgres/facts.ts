/**
 * What a PostgreSQL capture knows and its restore needs: `engineFacts` of the member manifest.
 *
 * Artifacts of a primary: `base/…` the data directory, `tablespaces/<oid>/…`, `journal/<file>` every WAL
 * segment from the start of the base copy to the mark (whole segments; zeros from the mark on) and timeline
 * history files, `also/<n>/…` the n-th directory of `also`. Of an observer (standby): `config/<file>` its
 * own postgresql.conf, postgresql.auto.conf, pg_hba.conf, pg_ident.conf where they lie in the data
 * directory, and `also/<n>/…`.
 */
export interface PostgresFacts {
  readonly kind: 'primary' | 'observer';
  /** `server_version_num`, e.g. 180004. */
  readonly serverVersion: number;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly walSegmentSizeBytes: number;
  /** Where the base copy's WAL starts; null for an observer. */
  readonly startPosition: string | null;
  /** The end of the restore point's record; null for an observer. */
  readonly markPosition: string | null;
  readonly restorePoint: string | null;
  /** The user's own `synchronous_standby_names`, as it was before it was armed. */
  readonly synchronousStandbyNames: string;
  /** Whether that value stood in postgresql.auto.conf (else in another file or nowhere). */
  readonly synchronousStandbyNamesInAutoConf: boolean;
  readonly port: number;
  readonly listenAddresses: string;
  readonly archiving: boolean;
  readonly subscriptions: readonly {
    readonly database: string;
    readonly name: string;
    readonly enabled: boolean;
  }[];
  readonly tablespaces: readonly { readonly oid: string; readonly location: string }[];
  /** Configuration files outside the data directory, as the server names them. */
  readonly outsideFiles: readonly string[];
  readonly also: readonly string[];
  /** Prepared transactions that stood at the mark. */
  readonly preparedAtMark: readonly {
    readonly gid: string;
    readonly database: string;
    readonly owner: string;
  }[];
  /** Prepared transactions that ended between the start of the base copy and the mark. */
  readonly preparedEnded: readonly { readonly gid: string; readonly outcome: 'committed' | 'rolledBack' }[];
  /** Gids that more than one transaction had in that time: how one ended says nothing of another. */
  readonly preparedReused: readonly string[];
}
