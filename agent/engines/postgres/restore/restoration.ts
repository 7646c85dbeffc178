import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';
import type {
  ArtifactSource,
  OpenedMember,
  ProveInput,
  RestoreCheck,
  RestoreContext,
  Restoration,
  VerifiedMember,
} from '../../engine.ts';
import type { AddressMoves, RestoreRoom } from '../../../../shared/domain/wire.ts';
import { hostPort } from '../../../address.ts';
import type { Owner } from '../../../foreign-files.ts';
import { within } from '../../../safe-files.ts';
import { mustBeMakeable, mustBeProgram, roomFor } from '../../restore/host-check.ts';
import {
  mustBeReplaceable,
  readRecord,
  stageOf,
  switchDirectories,
  writeRecord,
  type SwitchRecord,
} from '../../restore/directory-switch.ts';
import { hasUnit, holdForRestore, mustBeUsable } from '../../restore/unit.ts';
import { readIfThere, Stage } from '../../restore/stage.ts';
import { parseFacts, type PostgresFacts } from '../copy/facts.ts';
import { parseLsn } from '../journal/lsn.ts';
import { makesTablespace } from '../journal/tablespace-records.ts';
import { stagedJournal } from './staged-journal.ts';

import type { PostgresSettings } from '../settings.ts';
import { AddressBook } from './address-book.ts';
import { alsoPlaces } from './also-places.ts';
import { decodeConfiguration, encodeConfiguration } from './configuration-text.ts';
import { AUTO_CONF, readConfiguration, type StagedConfiguration } from './configuration.ts';
import { collationWarnings, mustHaveLocales } from './collations.ts';
import { finishPostgresRestore, rollBackPostgresRestore } from './ending.ts';
import { movedLines } from './moved-configuration.ts';
import { openServer } from './open-server.ts';
import { mustMeetNeeds, preloadOf } from './needs.ts';
import { planWarnings } from './plan-warnings.ts';
import { postgresProgram } from './programs.ts';
import { proveStaged } from './prove.ts';
import { planRewriting } from './rewrite-addresses.ts';
import { serverOwner } from './server-owner.ts';
import { hasProcess, processOf } from './server-process.ts';
import { configurationLinks, groupReadsData, isReplaced, stagedName } from './staged-names.ts';
import { freeTablespaceDirectory, tablespaceRoot } from './tablespaces.ts';
import { freeWalPlace, WAL, walWarnings } from './wal-place.ts';

/** Recovery and promotion write some journal of their own. */
const MORE_SEGMENTS = 8;

interface StagePlaces {
  /** Oid → directory. */
  readonly tablespaces: ReadonlyMap<string, string>;
  /** Of the journal; null: in the data directory. */
  readonly wal: string | null;
  /** Of the directories of `also`. */
  readonly places: readonly string[];
}

/** Builds, proves and opens one restored PostgreSQL member. See places.ts for what lies where. */
export class PostgresRestoration implements Restoration {
  readonly #settings: PostgresSettings;
  readonly #context: RestoreContext;
  readonly #source: PostgresFacts;
  readonly #own: PostgresFacts | null;
  /** Of what is staged. */
  #configuration: StagedConfiguration | null = null;

  constructor(settings: PostgresSettings, context: RestoreContext) {
    this.#settings = settings;
    this.#context = context;
    this.#source = parseFacts(context.source.manifest);
    this.#own = context.own === null ? null : parseFacts(context.own.manifest);
  }

  async check(moves: AddressMoves | null): Promise<RestoreCheck> {
    const { name, data, also, run } = this.#settings;
    const { manifest } = this.#context.source;
    this.#mustHoldData();
    await mustBeReplaceable(name, [data, ...also]);
    for (const path of [data, ...this.#alsoPlaces()]) await mustBeMakeable(name, path);
    const owner = await serverOwner(this.#settings);
    const program = await postgresProgram(this.#settings, this.#source.serverVersion, owner);
    const links = configurationLinks(this.#context.own, data);
    await mustMeetNeeds({ member: name, facts: this.#configurationSource(), program, owner, links });
    await mustHaveLocales(name, this.#source.locales);
    if (hasUnit(this.#settings)) await mustBeUsable(this.#settings, await processOf(data));
    else
      for (const what of ['start', 'stop'] as const)
        await mustBeProgram(name, `run.${what}`, run?.[what] ?? [join(dirname(program), 'pg_ctl')]);
    const more = MORE_SEGMENTS * this.#source.walSegmentSizeBytes;
    const rooms = await this.#rooms(more);
    for (const { oid, location } of this.#source.tablespaces) {
      const root = this.#tablespaceRoot(location);
      await mustBeMakeable(name, join(root, '1'));
      rooms.push(await roomFor(root, manifest, [`tablespaces/${oid}`]));
    }
    const follows = this.#context.follow !== null;
    return {
      provesInPrivate: true,
      // A standby is ended at the mark, before it takes anybody.
      takesQuestions: !follows,
      warnings: [
        ...planWarnings(this.#settings, this.#source, { outbound: !follows && moves === null }),
        ...(await collationWarnings({ about: name, collations: this.#source.collations, program, owner })),
        ...(await walWarnings(this.#settings, this.#configurationSource().walLink)),
      ],
      rooms,
      addresses: moves === null || follows ? [] : await planRewriting(this.#source, this.#addressBook(moves)),
    };
  }

  async stage(): Promise<{ followsAs: string | null }> {
    const { data, also } = this.#settings;
    this.#mustHoldData();
    await mustBeReplaceable(this.#settings.name, [data, ...also]);
    const tablespaces = await this.#tablespacePlaces();
    const wal = await freeWalPlace(this.#settings);
    const places = this.#alsoPlaces();
    const directories = await Promise.all(
      [data, ...places].map(async (path) => ({ path, existed: await isThere(path) })),
    );
    await writeRecord(data, {
      format: 1,
      checkpoint: this.#context.checkpoint,
      ...(this.#context.restore !== undefined && { restore: this.#context.restore }),
      directories,
      made: [...tablespaces.values(), ...(wal === null ? [] : [wal])],
      ...(hasUnit(this.#settings) && { unit: this.#settings.unit }),
    });
    const { source, signal, progress } = this.#context;
    const bytesTotal = source.manifest.artifacts.reduce(
      (sum, artifact) => sum + (artifact.kind === 'file' ? artifact.sizeBytes : 0),
      0,
    );
    const owner = await serverOwner(this.#settings);
    const stage = new Stage({ owner, signal, bytesTotal, progress });
    try {
      this.#configuration = await this.#build(stage, owner, { tablespaces, wal, places });
    } finally {
      await stage.close();
    }
    signal.throwIfAborted();
    return { followsAs: this.#configuration.followsAs };
  }

  async #build(
    stage: Stage,
    owner: Owner | null,
    { tablespaces, wal, places }: StagePlaces,
  ): Promise<StagedConfiguration> {
    const { source, own, follow } = this.#context;
    const staged = stageOf(this.#settings.data);
    const isElsewhere = (path: string): boolean =>
      isReplaced(own, path) || (wal !== null && (path === WAL || path.startsWith(`${WAL}/`)));
    await stage.room(source, 'base', staged, (path) => (isElsewhere(path) ? null : stagedName(path)));
    const groupReads = groupReadsData(source.manifest);
    const mode = groupReads ? 0o750 : 0o700;
    const journal = wal ?? join(staged, WAL);
    if (wal !== null) {
      // The server's user must be able to enter them.
      await stage.around(dirname(dirname(wal)), mode);
      await stage.directory(dirname(wal), mode);
      await stage.room(source, `base/${WAL}`, wal);
    }
    await stage.room(source, 'journal', journal, undefined, (file) => file.mode | (groupReads ? 0o040 : 0));
    for (const directory of [staged, journal]) await stage.directory(directory, mode);
    for (const [oid, place] of tablespaces) {
      // The server's user must be able to enter them.
      await stage.around(dirname(dirname(place)), mode);
      await stage.directory(dirname(place), mode);
      await stage.room(source, `tablespaces/${oid}`, place);
      await stage.directory(place, mode);
      await stage.link(join(staged, 'pg_tblspc', oid), place);
    }
    if (wal !== null) await stage.link(join(staged, WAL), wal);
    if (own !== null) await this.#layConfiguration(stage, own, staged);
    for (const [index, path] of places.entries())
      await stage.room(own ?? source, `also/${index}`, stageOf(path));
    await this.#tellPlaces(stage, owner, [staged, ...places.map(stageOf)], places);
    const configuration = await readConfiguration({
      directories: [staged, ...places.map(stageOf)],
      settings: this.#settings,
      source: this.#source,
      own: this.#own,
      sourceAddress: (own ?? source).manifest.member.address,
      follow,
      owner,
    });
    // What is proven has no line of its owner's.
    await stage.replace(join(staged, AUTO_CONF), '');
    await stage.replace(join(staged, 'recovery.signal'), '');
    await stage.seal();
    await this.#mustStayInside(journal);
    return configuration;
  }

  /** A tablespace in the journal is replayed where it was made: on the same host that is the directory of another server. */
  async #mustStayInside(journal: string): Promise<void> {
    const { startPosition, markPosition, timeline, walSegmentSizeBytes, serverVersion } = this.#source;
    if (startPosition === null || markPosition === null) return;
    const leadsOut = await makesTablespace({
      ...(await stagedJournal(journal, { timeline, segmentBytes: walSegmentSizeBytes })),
      serverVersion,
      from: parseLsn(startPosition),
      to: parseLsn(markPosition),
    });
    if (!leadsOut) return;
    throw new StillpointError({
      code: 'tablespace-in-journal',
      message: `${this.#settings.name}: a tablespace was made between its copy and the mark; to recover it would write into the very directory that CREATE TABLESPACE named`,
      hint: 'restore another checkpoint, or from a backup that was made since',
    });
  }

  async prove(input: ProveInput): Promise<VerifiedMember> {
    if (this.#configuration === null) throw new Error('nothing is staged');
    const configuration = this.#configuration;
    const { follow, signal } = this.#context;
    const { name, connection, data } = this.#settings;
    const owner = await serverOwner(this.#settings);
    const staged = stageOf(data);
    const verified = await proveStaged(
      {
        member: name,
        program: await postgresProgram(this.#settings, this.#source.serverVersion, owner),
        serverVersion: this.#source.serverVersion,
        data: staged,
        owner,
        roles: [
          'postgres',
          decodeURIComponent(new URL(connection).username),
          this.#settings.owner ?? '',
          this.#settings.run?.user ?? '',
        ].filter((role) => role !== ''),
        databases: [databaseOf(connection), 'postgres', 'template1'].filter((database) => database !== ''),
        signal,
        facts: this.#source,
        follows: follow !== null,
        preload: preloadOf(this.#source, configuration.preload),
        book: input.moves === null ? null : this.#addressBook(input.moves),
      },
      input,
    );
    const { text, warnings } = configuration.autoConf(input.standbys);
    await within(staged, async (directory) => {
      await directory.write(AUTO_CONF, encodeConfiguration(text), owner);
      for (const leftover of ['recovery.signal', 'postmaster.opts']) await directory.remove(leftover);
      if (follow !== null) await directory.write('standby.signal', '', owner);
      await directory.sync();
    });
    return { ...verified, warnings: [...verified.warnings, ...warnings] };
  }

  async switchIn(): Promise<void> {
    if (await hasProcess(this.#settings)) throw runsAgain(this.#settings.name);
    await holdForRestore(this.#settings, this.#settings.data);
    await switchDirectories(await this.#record());
  }

  start(): Promise<void> {
    return Promise.reject(new Error('it is opened when the restore is decided'));
  }

  verify(): Promise<VerifiedMember> {
    return Promise.reject(new Error('it is proven in private'));
  }

  open(): Promise<OpenedMember> {
    return openServer(this.#settings);
  }

  async finish(): Promise<void> {
    await finishPostgresRestore(this.#settings);
  }

  async rollBack(): Promise<void> {
    await rollBackPostgresRestore(this.#settings);
  }

  #addressBook(moves: AddressMoves): AddressBook {
    const { address } = this.#context.source.manifest.member;
    return new AddressBook(moves, {
      wasHost: hostPort(address).host,
      host: hostPort(this.#settings.address).host,
    });
  }

  #mustHoldData(): void {
    if (this.#source.kind === 'primary') return;
    throw new StillpointError({
      code: 'restore-no-data',
      message: `${this.#settings.name}: its artifacts hold no data`,
      hint: 'restore from the primary of its copyset',
    });
  }

  async #rooms(moreJournalBytes: number): Promise<RestoreRoom[]> {
    const { name, data, wal } = this.#settings;
    const { manifest } = this.#context.source;
    const withMore = (room: RestoreRoom): RestoreRoom => ({
      ...room,
      neededBytes: room.neededBytes + moreJournalBytes,
    });
    if (wal === undefined) return [withMore(await roomFor(data, manifest, ['base', 'journal']))];
    await mustBeMakeable(name, join(wal, '1'));
    return [await roomFor(data, manifest, ['base']), withMore(await roomFor(wal, manifest, ['journal']))];
  }

  /** Where each tablespace goes: oid → directory. */
  async #tablespacePlaces(): Promise<Map<string, string>> {
    const places = new Map<string, string>();
    for (const { oid, location } of this.#source.tablespaces) {
      const root = this.#tablespaceRoot(location);
      places.set(oid, join(await freeTablespaceDirectory(root), oid));
    }
    return places;
  }

  #tablespaceRoot(location: string): string {
    const { data, tablespaces } = this.#settings;
    const named = Object.hasOwn(tablespaces, location) ? tablespaces[location] : undefined;
    return named ?? tablespaceRoot(data);
  }

  /** Where each directory of `also` of the checkpoint goes. */
  #alsoPlaces(): readonly string[] {
    return alsoPlaces(this.#settings.name, this.#configurationSource().also, this.#settings.also);
  }

  /** A configuration outside the data directory says where the data lies: of what is restored, not of what was. */
  async #tellPlaces(
    stage: Stage,
    owner: Owner | null,
    directories: readonly string[],
    places: readonly string[],
  ): Promise<void> {
    const captured = this.#configurationSource().also;
    const also = places.map((to, index) => ({ from: captured[index] ?? to, to }));
    for (const directory of directories) {
      const path = join(directory, 'postgresql.conf');
      const text = decodeConfiguration(await readIfThere(path, owner));
      const lines = movedLines(text, { data: this.#settings.data, also });
      if (lines !== '') await stage.append(path, encodeConfiguration(lines));
    }
  }

  /** A standby keeps its own configuration over its primary's. */
  async #layConfiguration(stage: Stage, own: ArtifactSource, staged: string): Promise<void> {
    for (const artifact of own.manifest.artifacts) {
      if (!artifact.path.startsWith('config/')) continue;
      const place = join(staged, artifact.path.slice('config/'.length));
      if (artifact.kind === 'directory') await stage.directory(place, artifact.mode);
      if (artifact.kind === 'file' && dirname(place) !== staged) await stage.directory(dirname(place), 0o700);
      if (artifact.kind === 'symlink') await stage.relink(place, artifact.target);
      if (artifact.kind !== 'file') continue;
      await stage.replace(place, await buffer(own.read(artifact.path)));
    }
  }

  #configurationSource(): PostgresFacts {
    return this.#own ?? this.#source;
  }

  async #record(): Promise<SwitchRecord> {
    const record = await readRecord(this.#settings.data);
    if (record === null) throw new Error('nothing is staged');
    return record;
  }
}

/** Of a connection's URL; the agent was in there when the checkpoint was made, or its like on another host was. */
function databaseOf(connection: string): string {
  return decodeURIComponent(new URL(connection).pathname.replace(/^\//, ''));
}

function runsAgain(name: string): StillpointError {
  return new StillpointError({
    code: 'member-running',
    message: `${name} runs again: something started it after it was stopped`,
    hint: 'pause what supervises it (systemd, Patroni, a health check) for the time of the restore',
  });
}
