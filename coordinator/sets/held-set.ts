import { failureOf, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import type { GridFile } from '../grid-file.ts';
import type { Occupation } from '../jobs/held-job.ts';
import type { HeldGrid } from '../jobs/hold-report.ts';
import type { ProgressView } from '../progress.ts';
import { type GridAgents, withAgents, withRepository } from '../with-grid.ts';
import { beginSet, checkSetName } from './begin-set.ts';
import { checkImageName, endSeen, seeSet, type EndInput } from './end-backup.ts';
import type { HeldSetReport } from './set-reports.ts';

export interface HeldSetInput {
  readonly gridFile: GridFile;
  readonly set: string;
  /** With `{member}` and `{set}`: how the operator's own tool calls the copy of each member. */
  readonly image: string;
  readonly signal: AbortSignal;
  readonly progress: ProgressView;
}

/** Where nothing else is said: a directory for the set, and in it one for each member. */
export const USUAL_IMAGE = '{set}/{member}';

/**
 * A set of what is copied while a grid is held: it is begun when all are held, and ended before they are let go. The
 * images are read when they run again, for nobody is to be held while bytes are read that change no more.
 */
export class HeldSet implements Occupation {
  readonly #input: HeldSetInput;
  readonly #copying: Occupation;
  /** Whether all of it was copied: a program that failed, or that was cut short, has not. */
  readonly #isWhole: () => boolean;
  #members: readonly string[] = [];
  #hasEnded = false;

  constructor(input: HeldSetInput, copying: Occupation, isWhole: () => boolean) {
    this.#input = input;
    this.#copying = copying;
    this.#isWhole = isWhole;
  }

  async begin(held: HeldGrid): Promise<void> {
    const { set } = this.#input;
    this.#members = await this.#asking(async (agents, repository) => {
      const { members } = await beginSet({ grid: held.grid, set, repository, agents }, []);
      return members.map(({ name }) => name);
    });
    await this.#copying.begin(held);
    if (!this.#isWhole()) return;
    await this.#asking(async (agents, repository) => {
      const seen = await seeSet({ grid: held.grid, set, repository, agents });
      await Promise.all(
        this.#members.map((member) => endSeen(this.#endOf(member, agents, repository, true), seen)),
      );
    });
    this.#hasEnded = true;
  }

  letGoAsked(by: Parameters<Occupation['letGoAsked']>[0]): void {
    this.#copying.letGoAsked(by);
  }

  end(outcome: Parameters<Occupation['end']>[0]): Promise<void> {
    return this.#copying.end(outcome);
  }

  /**
   * When the members run again. Never rejects: what they held for is committed, and what cannot be read of it is told as a
   * problem, with the command that reads it when that is mended.
   */
  async read(): Promise<HeldSetReport> {
    const { gridFile, set } = this.#input;
    if (!this.#hasEnded) return { set, images: [], problems: [unfinished(set)] };
    const images: HeldSetReport['images'][number][] = [];
    const problems: Failure[] = [];
    const unread = new Set(this.#members);
    const tell = (member: string, error: unknown): void => {
      unread.delete(member);
      problems.push(this.#notRead(member, error));
    };
    try {
      await this.#asking(async (agents, repository) => {
        const seen = await seeSet({ grid: gridFile.grid, set, repository, agents });
        for (const member of this.#members)
          try {
            const { read } = await endSeen(this.#endOf(member, agents, repository, false), seen);
            unread.delete(member);
            if (read !== null) images.push({ member, ...read });
          } catch (error) {
            tell(member, error);
          }
      });
    } catch (error) {
      for (const member of unread) tell(member, error);
    }
    return { set, images, problems };
  }

  #notRead(member: string, error: unknown): Failure {
    const failure = failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
    const again = `stillpoint set end ${this.#input.set} ${member} --image ${imageName(this.#input, member)}`;
    return {
      member,
      ...failure,
      message: `the image of ${member} is not read: ${failure.message}`,
      hint: `${failure.hint}; then ${again}`,
    };
  }

  #endOf(member: string, agents: GridAgents, repository: Repository, readLater: boolean): EndInput {
    const { gridFile, set, signal, progress } = this.#input;
    const image = imageName(this.#input, member);
    const { grid } = gridFile;
    return { grid, set, repository, agents, member, image, type: 'ended', readLater, signal, progress };
  }

  /** On streams of its own: those of the job are for what it holds. */
  #asking<T>(work: (agents: GridAgents, repository: Repository) => Promise<T>): Promise<T> {
    const { gridFile, signal } = this.#input;
    return withRepository(gridFile.repository, signal, (repository) =>
      withAgents(gridFile, signal, (agents) => work(agents, repository)),
    );
  }
}

/** Before anybody is held for it. Rejects a set that is there already, and names that can be none. */
export async function checkHeldSet(input: HeldSetInput): Promise<void> {
  const { gridFile, set, signal } = input;
  checkSetName(set);
  checkImageName(imageName(input, 'member'));
  const there = await withRepository(gridFile.repository, signal, (repository) =>
    repository.sets(gridFile.grid),
  );
  if (!there.some(({ name }) => name === set)) return;
  throw new StillpointError({
    code: 'backup-recorded',
    message: `the repository has a set ${set} already`,
    hint: 'a set never changes: take another name for this one (stillpoint set list)',
  });
}

function imageName({ image, set }: HeldSetInput, member: string): string {
  return image.replaceAll('{member}', member).replaceAll('{set}', set);
}

function unfinished(set: string): Failure {
  return {
    code: 'backup-unfinished',
    message: `the backups of set ${set} have begun and not ended: what was to copy them failed, or was cut short`,
    hint: `see what it said, copy again into a new set, and forget this one: stillpoint set delete ${set}`,
  };
}
