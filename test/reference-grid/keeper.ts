import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { HeartbeatAnswer, KeeperCalls, KeeperState } from './calls.ts';
import type { GridDefinition } from './definition.ts';
import { readIfThere, startingState, writeDurably } from './durable.ts';
import { answerOf, every, type Repetition } from './every.ts';
import { Gate } from './gate.ts';
import { BEAT_MS } from './keeper-link.ts';
import { compareStates, dueCopysets, majorityOf, recoveredState } from './keeper-rules.ts';
import { Members } from './members.ts';
import type { Options } from './options.ts';
import { Remotes, type Serving } from './rpc.ts';

interface Vote {
  readonly term: number;
  readonly votedFor: string;
}

/**
 * Three keepers hold one small state. The lead, elected by a majority for a term, changes it as a whole: a change is
 * effective when a majority has it on disk. Who is elected has at least what is effective, and stores it anew in its
 * own term before it changes anything. Below a majority nothing changes: if something would have to, it is undecided.
 */
export class Keeper {
  readonly gate = new Gate(() => this.#round?.now());
  readonly #options: Options;
  readonly #definition: () => GridDefinition;
  readonly #remotes = new Remotes<KeeperCalls>();
  readonly #members: Members;
  #vote: Vote = { term: 0, votedFor: '' };
  #stored: KeeperState | undefined;
  #effective: KeeperState | undefined;
  #startedWith: KeeperState | undefined;
  /** The lead, or nobody by name while one is being elected. */
  #lead: { readonly name: string; readonly heardAt: number } | undefined;
  /** As lead: when a majority was last with it, and whether a change is on its way. */
  #leading: { quorumAt: number; proposing: boolean } | undefined;
  #electionMs = 0;
  #undecided: string[] = [];
  #running = 1;
  #round: Repetition | undefined;

  constructor(options: Options, definition: () => GridDefinition) {
    this.#options = options;
    this.#definition = definition;
    this.#members = new Members(options.timeoutMs, options.graceMs, performance.now());
  }

  /** What it had, or is restored to; before it serves anyone, or it would vote and store as one that has nothing. */
  async recover(): Promise<void> {
    this.#stored = await startingState(this.#live, 'state.json', (state: KeeperState) => {
      this.#startedWith = state;
      return recoveredState(state);
    });
    this.#startedWith ??= this.#stored;
    const vote = (readIfThere(join(this.#live, 'vote.json')) as Vote | undefined) ?? this.#vote;
    this.#vote =
      vote.term >= (this.#stored?.term ?? 0) ? vote : { term: this.#stored?.term ?? 0, votedFor: '' };
  }

  begin(): void {
    this.#round = every(
      () => BEAT_MS,
      () => this.#goRound(),
    );
  }

  async end(): Promise<void> {
    await this.#round?.stop();
  }

  get leads(): boolean {
    return this.#leading !== undefined;
  }

  get effective(): KeeperState | undefined {
    return this.#effective;
  }

  /** What its own files held. */
  get startedWith(): KeeperState | undefined {
    return this.#startedWith;
  }

  get undecided(): readonly string[] {
    return this.#undecided;
  }

  get running(): number {
    return this.#running;
  }

  get inQuorum(): boolean {
    const { timeoutMs } = this.#options;
    const heardAt = this.#lead?.name === '' ? -Infinity : this.#lead?.heardAt;
    const at = this.#leading?.quorumAt ?? heardAt ?? -Infinity;
    return (
      this.#effective !== undefined && performance.now() - at < timeoutMs && this.#undecided.length === 0
    );
  }

  readonly serving: Serving<KeeperCalls> = {
    heartbeat: (heartbeat): HeartbeatAnswer => {
      if (this.#members.hear(heartbeat, performance.now())) this.#round?.now();
      return { state: this.#effective, undecided: this.#undecided };
    },

    vote: async ({ term, candidate, stateTerm, version, dry }) => {
      const veto = this.#undecided.length > 0;
      const hasLead = this.#hasLead(this.#options.timeoutMs / 2);
      const denied = { granted: false, veto, term: this.#vote.term };
      if (veto || hasLead || compareStates({ term: stateTerm, version }, this.#stored) < 0) return denied;
      if (dry) return { ...denied, granted: term > this.#vote.term };
      if (term < this.#vote.term || (term === this.#vote.term && this.#vote.votedFor !== candidate))
        return denied;
      await this.#enterTerm(term, candidate);
      return { granted: true, veto, term };
    },

    beat: async ({ term, lead, stateTerm, version }) => {
      const { term: storedTerm = -1, version: storedVersion = -1 } = this.#stored ?? {};
      const answer = { term: this.#vote.term, stateTerm: storedTerm, version: storedVersion };
      if (term < this.#vote.term || this.#undecided.length > 0) return answer;
      await this.#follow(term, lead);
      const isEffective = storedTerm === stateTerm && storedVersion === version;
      if (isEffective && !this.gate.closed) this.#becomeEffective(this.#stored);
      return { ...answer, term };
    },

    store: async ({ term, lead, state }) =>
      await this.gate.run('taking over the state from the lead keeper', async () => {
        if (term < this.#vote.term || this.#undecided.length > 0)
          return { stored: false, term: this.#vote.term };
        await this.#follow(term, lead);
        if (compareStates(state, this.#stored) > 0) await this.#store(state);
        return { stored: true, term };
      }),

    ping: () => ({}),
  };

  async #goRound(): Promise<void> {
    const now = performance.now();
    this.#members.check(now);
    if (this.#undecided.length > 0) await this.#ask('ping', {});
    else if (this.#leading !== undefined) await this.#leadOn();
    else if (!this.#hasLead(this.#electionMs)) await this.#campaign();
    else await this.#ask('ping', {});
    if (!this.gate.closed && this.#undecided.length === 0) this.#checkUndecided();
  }

  /** What changes while there is no quorum to say so leaves the grid without a state that it could go on with. */
  #checkUndecided(): void {
    const now = performance.now();
    const { keepers } = this.#definition();
    if (this.#effective === undefined || this.inQuorum || this.#running >= majorityOf(keepers.length)) return;
    const lost = this.#members.lost(this.#effective, now);
    this.#undecided = [...new Set(lost.map(([copyset]) => copyset))];
  }

  async #leadOn(): Promise<void> {
    const leading = this.#leading;
    if (leading === undefined) return;
    const { term } = this.#vote;
    const { term: stateTerm = -1, version = -1 } = this.#effective ?? {};
    const answers = await this.#ask('beat', { term, lead: this.#options.name, stateTerm, version });
    const now = performance.now();
    if (this.#leading !== leading) return;
    if (this.#running >= this.#majority) leading.quorumAt = now;
    const newest = Math.max(term, ...answers.map(([, answer]) => answer.term));
    if (newest > term || now - leading.quorumAt > this.#options.timeoutMs) {
      await this.#enterTerm(newest, newest === term ? this.#vote.votedFor : '');
      return;
    }
    if (this.gate.closed) return;
    for (const [address, answer] of answers) {
      const has = { term: answer.stateTerm, version: answer.version };
      if (this.#effective === undefined || compareStates(has, this.#effective) >= 0) continue;
      const update = { term, lead: this.#options.name, state: this.#effective };
      void answerOf(this.#remotes.to(address).call('store', update), this.#options.timeoutMs);
    }
    if (!leading.proposing) this.#govern(leading, now);
  }

  /** Begins to change what is due; it goes on while beats go on. */
  #govern(leading: { proposing: boolean }, now: number): void {
    const { term } = this.#vote;
    const before = this.#stored ?? { identity: randomUUID(), version: 0, term: -1, copysets: {} };
    const copysets = dueCopysets(
      this.#definition(),
      before.copysets,
      (node) => this.#members.healthOf(node, now),
      (copyset) => this.#members.joinedOf(copyset),
    );
    const settled = this.#effective?.term === term && compareStates(this.#effective, this.#stored) === 0;
    if (settled && JSON.stringify(copysets) === JSON.stringify(before.copysets)) return;
    const incarnations = this.#members.incarnations();
    leading.proposing = true;
    void this.#propose({ ...before, version: before.version + 1, term, copysets })
      .then((effective) => effective && this.#members.settle(incarnations))
      .finally(() => (leading.proposing = false));
  }

  async #propose(state: KeeperState): Promise<boolean> {
    const leading = this.#leading;
    await this.gate.run("a change of the grid's state", () => this.#store(state));
    const update = { term: state.term, lead: this.#options.name, state };
    const majority = Promise.withResolvers<boolean>();
    let stored = 1;
    let missing = this.#others.length;
    const count = (isStored: boolean): void => {
      stored += isStored ? 1 : 0;
      missing -= 1;
      if (stored >= this.#majority) majority.resolve(true);
      else if (stored + missing < this.#majority) majority.resolve(false);
    };
    for (const address of this.#others) {
      const call = this.#remotes.to(address).call('store', update);
      call.then(
        (answer) => count(answer.stored),
        () => count(false),
      );
    }
    if (stored < this.#majority && !(await majority.promise)) return false;
    return await this.gate.run("a change of the grid's state", () => {
      if (this.#leading !== leading || compareStates(this.#stored, state) !== 0) return false;
      this.#becomeEffective(state);
      this.#round?.now();
      return true;
    });
  }

  /** A majority that would elect is asked for first, so that who cannot win disturbs nobody with a new term. */
  async #campaign(): Promise<void> {
    this.#delayElection();
    const { term: stateTerm = -1, version = -1 } = this.#stored ?? {};
    const request = { candidate: this.#options.name, stateTerm, version };
    const term = this.#vote.term + 1;
    if (!this.#elected(await this.#ask('vote', { ...request, term, dry: true }), term)) return;
    if (this.#vote.term >= term) return;
    await this.#enterTerm(term, this.#options.name);
    const votes = await this.#ask('vote', { ...request, term, dry: false });
    if (this.#vote.term !== term || !this.#elected(votes, term)) return;
    this.#leading = { quorumAt: performance.now(), proposing: false };
    await this.#leadOn();
  }

  #elected(answers: [string, { granted: boolean; veto: boolean }][], term: number): boolean {
    if (answers.some(([, { veto }]) => veto) || this.#vote.term > term) return false;
    return 1 + answers.filter(([, { granted }]) => granted).length >= this.#majority;
  }

  /** Asks the other keepers at once; counts who answers as running. */
  async #ask<Name extends 'vote' | 'beat' | 'ping'>(
    name: Name,
    request: Parameters<KeeperCalls[Name]>[0],
  ): Promise<[address: string, answer: ReturnType<KeeperCalls[Name]>][]> {
    const asked = this.#others.map(async (address) => {
      const call = this.#remotes.to(address).call(name, request as never) as Promise<
        ReturnType<KeeperCalls[Name]>
      >;
      return [address, await answerOf(call, this.#options.timeoutMs / 4)] as const;
    });
    const answers = (await Promise.all(asked)).filter(([, answer]) => answer !== undefined);
    this.#running = 1 + answers.length;
    return answers as [string, ReturnType<KeeperCalls[Name]>][];
  }

  async #follow(term: number, lead: string): Promise<void> {
    if (term > this.#vote.term) await this.#enterTerm(term, '');
    this.#leading = undefined;
    this.#lead = { name: lead, heardAt: performance.now() };
  }

  async #enterTerm(term: number, votedFor: string): Promise<void> {
    this.#vote = { term, votedFor };
    this.#leading = undefined;
    this.#lead = { name: '', heardAt: performance.now() };
    this.#delayElection();
    await writeDurably(join(this.#live, 'vote.json'), JSON.stringify(this.#vote));
  }

  async #store(state: KeeperState): Promise<void> {
    await writeDurably(join(this.#live, 'state.json'), JSON.stringify(state));
    this.#stored = state;
  }

  #becomeEffective(state: KeeperState | undefined): void {
    if (compareStates(state, this.#effective) <= 0) return;
    this.#effective = state;
    if (!this.leads) this.#members.settle(this.#members.incarnations());
  }

  #hasLead(withinMs: number): boolean {
    if (this.#leading !== undefined) return true;
    return this.#lead !== undefined && performance.now() - this.#lead.heardAt < withinMs;
  }

  #delayElection(): void {
    this.#electionMs = this.#options.timeoutMs * (0.5 + Math.random() / 2);
  }

  get #others(): string[] {
    const { keepers } = this.#definition();
    return keepers.filter(({ name }) => name !== this.#options.name).map(({ address }) => address);
  }

  get #majority(): number {
    return majorityOf(this.#definition().keepers.length);
  }

  get #live(): string {
    return join(this.#options.data, 'live');
  }
}
