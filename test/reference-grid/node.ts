import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { CopysetState, Heartbeat, LogEntry, NodeCalls, Report } from './calls.ts';
import { copysetOf, type DefinedProcess } from './definition.ts';
import { every, type Repetition } from './every.ts';
import { Gate } from './gate.ts';
import { KeeperLink } from './keeper-link.ts';
import { NodeLog } from './node-log.ts';
import type { Options } from './options.ts';
import { incarnation, type Participation } from './participant.ts';
import { Primary } from './primary.ts';
import { describedBase, undecidedProblem, type Running } from './process.ts';
import { RealmLink } from './realm-link.ts';
import { GridError, serve, type Serving } from './rpc.ts';

/** A node holds the rows of one copyset: as its primary it serves clients, else it follows the primary. */
class Node {
  readonly gate = new Gate();
  readonly log: NodeLog;
  readonly #options: Options;
  readonly #realm: RealmLink;
  readonly #keepers: KeeperLink;
  #primary: Primary | undefined;
  /** The newest term heard of; `complete` once its primary said that nothing is missing here. */
  #following = { term: 0, complete: false };
  #incoming: Promise<unknown> = Promise.resolve();
  #changing: Promise<void> = Promise.resolve();
  /** For an operation of ours, and by the grid's operator: neither ends the other. */
  #refusesWrites = { operation: false, operator: false };
  #writing: Repetition | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.log = new NodeLog(options.data, options.journalBytes, options);
    this.#realm = new RealmLink(options, () => this.#changed());
    this.#keepers = new KeeperLink(
      () => this.#realm.definition.keepers.map(({ address }) => address),
      () => this.#heartbeat(),
      options.timeoutMs,
      () => this.#changed(),
    );
  }

  async begin(): Promise<void> {
    await this.#realm.begin(() => this.#report());
    this.#writing = every(
      () => this.#options.writeMs,
      () => this.log.write(),
    );
    this.#keepers.begin();
  }

  async end(): Promise<void> {
    await this.#keepers.end();
    await this.#realm.end();
    await this.#changing;
    await this.#primary?.end();
    await this.#writing?.stop();
    await this.#incoming;
    await this.log.close();
  }

  readonly serving: Serving<NodeCalls> = {
    put: async ({ table, key, value, by = 'a client' }, caller) => {
      caller.isClient = true;
      checkRow(table, key);
      if (this.#refusesWrites.operation || this.#refusesWrites.operator)
        throw new GridError('maintenance', 'the grid is in maintenance: no writes');
      await this.log.room();
      await this.#put(table, key, value, by);
      return {};
    },

    get: async ({ table, key, by = 'a client' }, caller) => {
      caller.isClient = true;
      return await this.gate.read(`a read of table ${table} by ${by}`, () => {
        this.#served();
        return { value: this.log.database.get(table, key) };
      });
    },

    scan: async ({ table, after, limit, by = 'a client' }, caller) => {
      caller.isClient = true;
      return await this.gate.read(`a scan of table ${table} by ${by}`, () => {
        this.#served();
        return { rows: this.log.database.scan(table, after, limit) };
      });
    },

    follow: async ({ term }) => {
      this.#mustBeNew(term);
      this.#following = { term, complete: false };
      this.#keepers.now();
      await this.#becomeSecondary(term);
      return await this.#inTurn(() => this.log.position);
    },

    replicate: async ({ term, entries }) =>
      await this.#inTurn(() =>
        this.gate.run('replication from the primary', async () => {
          this.#mustBeNew(term);
          this.#mustContinue(entries);
          await this.log.log(entries);
          this.log.apply();
          return { sequence: this.log.logged.sequence };
        }),
      ),

    welcome: ({ term }) => {
      this.#mustBeNew(term);
      this.#following = { term, complete: true };
      return {};
    },

    maintain: ({ on }) => {
      this.#refusesWrites.operator = on;
      return {};
    },

    ping: () => ({}),
  };

  participation(clients: () => number): Participation {
    return {
      describe: () => ({
        ...describedBase(this.#options, this.#realm.known),
        role: 3,
        journalDirectory: 'journal',
        copyset: this.#copyset,
        primary: this.#isPrimary,
        dataIdentity: this.log.logged.identity,
        clientConnections: clients(),
        problems: undecidedProblem(this.#keepers.undecided),
        startedWith: this.log.startedWith,
        unjournaled: [...this.#options.unjournaled],
        recovering: this.log.recovering ?? '',
        updatesHaveRoomMs: this.log.updatesHaveRoomMs,
      }),
      recovering: () => this.log.recovering,
      unfit: () => this.unfit(),
      rest: { gate: this.gate, switchJournal: () => this.log.switchJournal() },
      writing: {
        suspend: (updatesWaitAfterMs) => this.log.suspend(updatesWaitAfterMs),
        updatesWait: () => this.log.updatesWait,
        resume: () => this.log.resume(),
        retain: (retained) => this.log.retain(retained),
        refuseWrites: (refused) => (this.#refusesWrites.operation = refused),
        isInMaintenance: () => this.#refusesWrites.operator,
      },
    };
  }

  unfit(): string | undefined {
    if (this.log.recovering !== undefined) return `it is recovering: ${this.log.recovering}`;
    const state = this.#keepers.copyset(this.#copyset);
    if (this.#keepers.undecided.length > 0)
      return `copyset ${this.#keepers.undecided.join(', ')} is undecided`;
    if (!this.#keepers.reached) return 'it reaches no keeper';
    if (this.#isForeign(state)) return 'it has not the data of this grid';
    if (this.#isPrimary)
      return this.#primary?.serves === true ? undefined : 'its copyset is not in sync with it yet';
    const inSync = state?.inSync.includes(this.#options.name) === true && this.#following.term === state.term;
    return inSync && this.#following.complete ? undefined : 'it has not joined its copyset yet';
  }

  get #copyset(): string {
    return this.#realm.known === undefined ? '' : (copysetOf(this.#realm.known, this.#options.name) ?? '');
  }

  get #isPrimary(): boolean {
    return this.#primary !== undefined && this.#keepers.copyset(this.#copyset)?.term === this.#primary.term;
  }

  async #put(table: string, key: string, value: string | null, by: string): Promise<void> {
    const primary = this.#served();
    if (!this.#options.unjournaled.includes(table)) return await primary.put(table, key, value, by);
    await this.gate.run(`a write of table ${table} by ${by}`, () =>
      this.log.database.change(table, key, value ?? ''),
    );
  }

  /** The primary that this node is; throws where it may not serve now. */
  #served(): Primary {
    this.#keepers.mustGovern();
    if (this.#primary === undefined)
      throw new GridError('not-primary', `${this.#options.name} is not primary`);
    if (!this.#primary.serves)
      throw new GridError('no-primary', `${this.#options.name} waits for its copyset`);
    return this.#primary;
  }

  #mustBeNew(term: number): void {
    const known = Math.max(this.#following.term, this.#keepers.copyset(this.#copyset)?.term ?? 0);
    if (term < known) throw new GridError('stale-primary', `term ${term} is over: it is ${known}`);
  }

  #mustContinue([first]: readonly LogEntry[]): void {
    if (first?.kind !== 'update' || first.sequence === this.log.logged.sequence + 1) return;
    throw new GridError('gap', `${first.sequence} does not follow ${this.log.logged.sequence}`);
  }

  async #inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const turn = this.#incoming.then(work);
    this.#incoming = turn.catch(() => undefined);
    return await turn;
  }

  /** Another definition, another state, or another word on what is undecided. */
  #changed(): void {
    this.#changing = this.#changing.then(() => this.#adopt());
  }

  async #adopt(): Promise<void> {
    const { name } = this.#options;
    const state = this.#keepers.copyset(this.#copyset);
    if (state === undefined || this.#isForeign(state)) return;
    if (state.term > (this.#primary?.term ?? this.#following.term - 1)) {
      if (state.primary === name) await this.#becomePrimary(state);
      else await this.#becomeSecondary(state.term);
    }
    if (this.#primary?.term === state.term) this.#primary.follow(state, this.#nodes());
    if (this.#keepers.undecided.length > 0) {
      this.#primary?.fail(
        new GridError('copyset-undecided', 'a copyset changed while no quorum of keepers ran'),
      );
    }
  }

  async #becomePrimary({ term }: CopysetState): Promise<void> {
    const { name } = this.#options;
    await this.#primary?.end();
    await this.#inTurn(() =>
      this.gate.run('taking over as primary', async () => {
        this.log.apply();
        if (this.log.logged.identity === '')
          await this.log.log([{ kind: 'clear', identity: this.#identity }]);
        this.log.apply();
      }),
    );
    this.#primary = new Primary(name, term, this.log, this.gate, () => this.#keepers.now());
  }

  /** In this term another node is primary. */
  async #becomeSecondary(term: number): Promise<void> {
    if (this.#primary === undefined || this.#primary.term >= term) return;
    const former = this.#primary;
    this.#primary = undefined;
    await former.end();
    await this.#inTurn(() => this.gate.run('giving up being primary', () => this.log.apply()));
  }

  /** One that holds other data, or none where others hold some, must not be taken for the copyset's content. */
  #isForeign(state: CopysetState | undefined): boolean {
    const { identity } = this.log.logged;
    if (identity === '') return state?.primary === this.#options.name && state.inSync.length > 1;
    return state?.primary === this.#options.name && identity !== this.#identity;
  }

  get #identity(): string {
    return `${this.#keepers.state?.identity}/${this.#copyset}`;
  }

  #nodes(): readonly DefinedProcess[] {
    return this.#realm.definition.copysets.find(({ name }) => name === this.#copyset)?.nodes ?? [];
  }

  #heartbeat(): Heartbeat {
    const { name } = this.#options;
    const primary = this.#primary;
    if (primary === undefined) return { name, incarnation };
    return {
      name,
      incarnation,
      joined: { copyset: this.#copyset, term: primary.term, nodes: primary.joined() },
    };
  }

  #report(): Report {
    const problems = [this.unfit()].filter((cause) => cause !== undefined);
    const { name } = this.#options;
    return { name, role: 'node', primary: this.#isPrimary, healthy: problems.length === 0, problems };
  }
}

const MAX_KEY_BYTES = 1000;
const LOOK_MS = 20;

function checkRow(table: string, key: string): void {
  const bytes = Buffer.from(table + key);
  if (table !== '' && bytes.length <= MAX_KEY_BYTES && !bytes.some((byte) => byte < 0x20)) return;
  throw new GridError('invalid', `a table and a key are text of at most ${MAX_KEY_BYTES} bytes`);
}

export async function startNode(options: Options): Promise<Running> {
  const node = new Node(options);
  const { recoveryWaits } = options;
  const listening = (async () => {
    await node.log.begin(async () => {
      while (recoveryWaits !== '' && existsSync(recoveryWaits)) await pause(LOOK_MS);
    });
    return await serve(options.listen, node.serving);
  })();
  let server: Awaited<typeof listening> | undefined;
  const listens = listening.then((it) => void (server = it));
  return {
    participation: node.participation(() => server?.clients() ?? 0),
    listens,
    begun: listens.then(() => node.begin()),
    async stop() {
      (await listening).close();
      await node.end();
    },
  };
}
