import { join } from 'node:path';
import type { RealmCalls, Report } from './calls.ts';
import { addressOf, type GridDefinition } from './definition.ts';
import { readIfThere, writeDurably } from './durable.ts';
import { answerOf, every, type Repetition } from './every.ts';
import type { Options } from './options.ts';
import { Remotes } from './rpc.ts';

const REPORT_MS = 500;

/**
 * A process's link with the realm services: it tells them how it does, and follows the definition that they hold. The
 * one it has is kept beside `live/`, for a start while no realm service is reached.
 */
export class RealmLink {
  readonly #options: Options;
  readonly #remotes = new Remotes<RealmCalls>();
  readonly #changed: () => void;
  #definition: GridDefinition | undefined;
  #reporting: Repetition | undefined;

  /** `changed` is called whenever there is another definition. */
  constructor(options: Options, changed: () => void) {
    this.#options = options;
    this.#changed = changed;
  }

  get known(): GridDefinition | undefined {
    return this.#definition;
  }

  get definition(): GridDefinition {
    if (this.#definition === undefined) throw new Error('there is no definition before the link is begun');
    return this.#definition;
  }

  /** Resolves when there is a definition in which this process is. */
  async begin(report: () => Report): Promise<void> {
    const defined = Promise.withResolvers<void>();
    this.#reporting = every(
      () => REPORT_MS,
      async () => {
        await this.#report(report, this.#definition === undefined);
        if (this.#definition !== undefined) defined.resolve();
      },
    );
    await defined.promise;
  }

  async end(): Promise<void> {
    await this.#reporting?.stop();
  }

  async #report(report: () => Report, starts: boolean): Promise<void> {
    const { name, timeoutMs } = this.#options;
    const said = starts
      ? { name, role: '', primary: false, healthy: false, problems: ['it starts'] }
      : report();
    const answers = await Promise.all(
      this.#options.realm.map((url) => answerOf(this.#remotes.to(url).call('report', said), timeoutMs)),
    );
    const reached = answers.some((answer) => answer !== undefined);
    const told = answers.find((answer) => answer?.definition !== undefined)?.definition;
    if (told !== undefined) await this.#take(told);
    else if (!reached && starts) this.#definition = readIfThere(this.#file) as GridDefinition | undefined;
  }

  async #take(told: GridDefinition): Promise<void> {
    if (addressOf(told, this.#options.name) === undefined) return;
    if (JSON.stringify(told) === JSON.stringify(this.#definition)) return;
    await writeDurably(this.#file, JSON.stringify(told));
    const first = this.#definition === undefined;
    this.#definition = told;
    if (!first) this.#changed();
  }

  get #file(): string {
    return join(this.#options.data, 'definition.json');
  }
}
