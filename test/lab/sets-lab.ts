import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { History } from './history.ts';
import type { Finished } from './processes.ts';
import { createReferenceLab, type ReferenceLab } from './reference-lab.ts';
import { referenceShards } from './shards.ts';
import { placeOf, type temporaryFolder } from './temporary.ts';

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const COPYSETS = ['a', 'b'];

/** A grid of the nodes a1 and b1 with clients, whose operator copies with `cp` and keeps journal files that have ended. */
export class SetsLab {
  readonly lab: ReferenceLab;
  readonly history: History;
  readonly #folder: ReturnType<typeof temporaryFolder>;

  private constructor(lab: ReferenceLab, folder: ReturnType<typeof temporaryFolder>) {
    this.lab = lab;
    this.history = new History(() => referenceShards(lab.reference, COPYSETS));
    this.#folder = folder;
  }

  /** `place`: where data and images lie, when not in folders of their own. */
  static async launch(hosts: readonly string[], place?: string): Promise<SetsLab> {
    const folder = placeOf(place, 'sets');
    const at = (what: string, member: string): string => {
      const directory = join(folder.path, what, member);
      mkdirSync(directory, { recursive: true });
      return directory;
    };
    const lab = await createReferenceLab({
      hosts,
      ...(place !== undefined && { folder: place }),
      copysets: { a: 1, b: 1 },
      keepers: 1,
      satellites: 0,
      proxies: 1,
      nodesOnly: true,
      processOptions: ['--journal-bytes', '30000', '--archive', join(folder.path, 'journals')],
      memberLines: (member) => [`images: ${at('images', member)}`, `journals: ${at('journals', member)}`],
    });
    return new SetsLab(lab, folder);
  }

  async close(): Promise<void> {
    await this.lab.close();
    this.#folder.remove();
  }

  /** The directory of a member's images, as its agent's file says. */
  images(member: string): string {
    return join(this.#folder.path, 'images', member);
  }

  journals(member: string): string {
    return join(this.#folder.path, 'journals', member);
  }

  data(member: string): string {
    return this.lab.reference.process(member).dataDirectory;
  }

  /** What an operator's own tool does. */
  copy(member: string, image: string): void {
    execFileSync('cp', ['-a', this.data(member), join(this.images(member), image)]);
  }

  /** The same as a line for a shell that runs while all is held. */
  copyLine(members: readonly string[], image: string): string {
    return members
      .map((member) => `cp -a '${this.data(member)}' '${join(this.images(member), image)}'`)
      .join(' && ');
  }

  run(...words: readonly string[]): Promise<Finished> {
    return this.lab.grid.run([...words.slice(0, 1), ...JSON_OUTPUT, ...words.slice(1)]);
  }

  async done<T = unknown>(...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr, json } = await this.run(...words);
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${stdout}${stderr}`);
    return json as T;
  }
}
