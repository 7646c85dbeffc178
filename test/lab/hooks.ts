import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until, type RunningCommand } from './processes.ts';

/** The test's side of shared/runtime/hooks.ts: holds processes at named moments of an operation. */
export class Hooks {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o777 });
  }

  get env(): NodeJS.ProcessEnv {
    return { STILLPOINT_HOOKS: this.#directory };
  }

  /** Whoever comes to this moment waits there; with `who`, only that member. */
  hold(moment: string, who?: string): void {
    writeFileSync(join(this.#directory, who === undefined ? `${moment}.hold` : `${moment}.${who}.hold`), '');
  }

  release(moment: string, who?: string): void {
    rmSync(join(this.#directory, who === undefined ? `${moment}.hold` : `${moment}.${who}.hold`), {
      force: true,
    });
  }

  /** Whether this member has come to the moment. */
  hasReached(moment: string, who: string): boolean {
    return this.timesReached(moment, who) > 0;
  }

  /** How often this member has come to it. */
  timesReached(moment: string, who: string): number {
    return this.#reachedFiles(moment)
      .flatMap((name) => readFileSync(join(this.#directory, name), 'utf8').split('\n'))
      .filter((name) => name === who).length;
  }

  /** Resolves when some process has come to the moment; with `who`, when that member has. */
  reached(moment: string, who?: string, limitMs?: number): Promise<void> {
    return until(
      `the moment '${moment}'${who === undefined ? '' : ` of ${who}`}`,
      () => (who === undefined ? this.#reachedFiles(moment).length > 0 : this.hasReached(moment, who)),
      limitMs,
    );
  }

  /** The same while this command runs. Fails with what it said when it ends before. */
  async reachedBy(command: RunningCommand, moment: string, who?: string, limitMs?: number): Promise<void> {
    const ended = command.finished.then(({ code, stdout, stderr }) => {
      throw new Error(`it ended before '${moment}': exit ${code ?? 'by signal'}\n${stdout}${stderr}`);
    });
    ended.catch(() => undefined);
    await Promise.race([this.reached(moment, who, limitMs), ended]);
  }

  /** Nothing is held, nothing was reached. */
  reset(): void {
    if (!existsSync(this.#directory)) return;
    for (const name of readdirSync(this.#directory)) rmSync(join(this.#directory, name), { force: true });
  }

  #reachedFiles(moment: string): string[] {
    return readdirSync(this.#directory).filter(
      (name) => name.startsWith(`${moment}.`) && name.endsWith('.reached'),
    );
  }
}
