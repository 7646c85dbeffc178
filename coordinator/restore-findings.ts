import type { BackupSet } from '../shared/domain/backup-set.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import { EXIT, StillpointError, type Phase } from '../shared/domain/errors.ts';
import { warningLine, type Warning } from '../shared/domain/warning.ts';
import type { AddressMoves, NamedAddress } from '../shared/domain/wire.ts';
import { hostOf } from './agents.ts';
import type { PlannedMember } from './planned-member.ts';
import type { AddressReport, RestoreReport } from './reports.ts';
import { listed } from './restore-check.ts';
import type { RestorePlan } from './restore-plan.ts';

/** What an operator asks of a restore beyond the data's being that of the checkpoint. */
export interface RestoreDemands {
  /** What in the data leads to the old grid is to lead to the restored one. */
  readonly rewriteAddresses: boolean;
  /** Where that cannot be done, it is told and no more. */
  readonly allowOldAddresses: boolean;
  /** What is doubtful about the restored data ends the restore. */
  readonly strict: boolean;
}

/** What a restore has found out about the data, and whether that is what its operator asked for. */
export class RestoreFindings {
  readonly #demands: RestoreDemands;
  readonly #maps: ReadonlyMap<string, string>;
  readonly #warnings: Warning[] = [];
  readonly #addresses = new Map<string, readonly NamedAddress[]>();

  constructor(
    demands: RestoreDemands = { rewriteAddresses: false, allowOldAddresses: false, strict: false },
    maps: ReadonlyMap<string, string>,
  ) {
    this.#demands = demands;
    this.#maps = maps;
  }

  get warnings(): readonly Warning[] {
    return this.#warnings;
  }

  get addresses(): AddressReport[] {
    return [...this.#addresses].flatMap(([member, addresses]) =>
      addresses.map((address) => ({ member, ...address })),
    );
  }

  warn(warning: Warning): void {
    this.#warnings.push(warning);
  }

  /** What was planned for a member counts until it is known what was done. */
  named({ name }: PlannedMember, addresses: readonly NamedAddress[]): void {
    this.#addresses.set(name, addresses);
  }

  /** Null where nothing in the data is to be changed. */
  movesOf(members: readonly PlannedMember[]): AddressMoves | null {
    if (!this.#demands.rewriteAddresses) return null;
    return {
      members: members.flatMap(({ wasAt, to }) => (wasAt === null ? [] : [{ from: wasAt, to: to.address }])),
      hosts: [...this.#maps].map(([from, to]) => ({ from, to: this.#addressHostOf(members, to) })),
    };
  }

  /** Agents may call a host otherwise than its members' addresses do. */
  #addressHostOf(members: readonly PlannedMember[], host: string): string {
    const hosts = new Set(members.filter(({ to }) => to.host === host).map(({ to }) => hostOf(to.address)));
    const [only] = hosts;
    return only !== undefined && hosts.size === 1 ? only : host;
  }

  /** Rejects `restore-doubtful` or `addresses-left`, naming all of it. */
  mustSatisfy(phase: Phase): void {
    const left = this.addresses.filter(({ state }) => state === 'left');
    if (left.length > 0 && !this.#demands.allowOldAddresses) throw addressesLeft(left, phase);
    const doubtful = this.#warnings.filter((warning) => warning.doubtful === true);
    if (doubtful.length > 0 && this.#demands.strict) throw restoreDoubtful(doubtful, phase);
  }
}

export function restoreReport(input: {
  readonly manifest: Pick<GridManifest, 'checkpoint'>;
  readonly grid: string;
  readonly set?: { readonly set: BackupSet };
  readonly plan: RestorePlan;
  readonly findings: RestoreFindings;
  readonly state: string;
  readonly durationMs: number;
  readonly bytes: number;
  readonly prepared: RestoreReport['prepared'];
  readonly verified: boolean;
}): RestoreReport {
  const set = input.set?.set;
  const { manifest, grid, plan, findings, state, durationMs, bytes, prepared, verified } = input;
  return {
    checkpoint: manifest.checkpoint,
    grid,
    ...(set !== undefined && { set: set.name }),
    members: plan.members.map(({ name, from, to, image }) => ({
      name,
      from: from.address,
      ...(image !== undefined && { image: image.name }),
      to: to.address,
      state,
    })),
    relocations: plan.relocation?.moved ?? [],
    addresses: findings.addresses,
    durationMs,
    bytes,
    verified,
    prepared,
    warnings: findings.warnings.map(warningLine),
  };
}

/** One line for each, in words. */
export function addressLine({ member, database, kind, name, from, to, state, why }: AddressReport): string {
  const what = `${member}: in database ${database}: ${kind} ${name}`;
  if (state === 'changed') return `${what}: now leads to ${to}, and led to ${from}`;
  if (state === 'planned') return `${what}: is to lead to ${to}, and leads to ${from}`;
  return `${what}${from === '' ? '' : `: leads to ${from} as it did`}: ${why}`;
}

function addressesLeft(left: readonly AddressReport[], phase: Phase): StillpointError {
  const [first] = left;
  return new StillpointError(
    {
      code: 'addresses-left',
      message: `something in the data leads to the old grid, and cannot be changed: ${listed(left.map(addressLine))}`,
      hint: 'name its host with --map OLD=NEW where that is what lacks; or restore with --allow-old-addresses besides, and change it before clients come in: it is told again then',
      phase,
      ...(first !== undefined && { member: first.member }),
    },
    phase === 'plan' ? EXIT.refused : EXIT.rolledBack,
  );
}

function restoreDoubtful(doubtful: readonly Warning[], phase: Phase): StillpointError {
  return new StillpointError(
    {
      code: 'restore-doubtful',
      message: `with --strict this is not restored: ${listed(doubtful.map(warningLine))}`,
      hint: 'restore another checkpoint, or onto hosts like those of the checkpoint; without --strict it is restored, and told',
      phase,
    },
    phase === 'plan' ? EXIT.invalid : EXIT.rolledBack,
  );
}
