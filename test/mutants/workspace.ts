import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../lab/temporary.ts';
import type { Edit } from './mutant.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['agent', 'coordinator', 'shared', 'test', 'scripts', 'proto', 'docs', 'package.json'];
const COPIED_TOO = ['.mocharc.json', 'tsconfig.json', 'README.md'];

/** Why a mutant says nothing of a test: its text does not fit, or what it makes is no program. */
export class Misfit extends Error {}

/** A source with its edits made. Throws a Misfit unless each text is there exactly once and a program comes out. */
export function mutated(file: string, edits: readonly Edit[], root = ROOT): string {
  if (!/^(agent|coordinator|shared)\//.test(file) || file.includes('..'))
    throw new Misfit(`${file} is no source of stillpoint: a promise is broken there, and never in a test`);
  let text = readFileSync(join(root, file), 'utf8');
  for (const { from, to } of edits) {
    const count = text.split(from).length - 1;
    if (count !== 1) throw new Misfit(`"${from}" is ${count} times in ${file}, and must be there once`);
    // A function: what is put in is taken to the letter.
    text = text.replace(from, () => to);
  }
  try {
    stripTypeScriptTypes(text);
  } catch (error) {
    throw new Misfit(`${file} is no program any more: ${(error as Error).message}`, { cause: error });
  }
  return text;
}

/** A copy of the sources, with packages linked: the work tree is not touched, and may change meanwhile. */
export class Workspace {
  readonly path: string;
  readonly #remove: () => void;

  constructor() {
    const folder = temporaryFolder('mutants');
    this.path = folder.path;
    this.#remove = () => folder.remove();
    for (const name of [...COPIED, ...COPIED_TOO])
      cpSync(join(ROOT, name), join(this.path, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(this.path, 'node_modules'));
  }

  /** The edits are in the copy while `work` runs, and taken back after it. */
  async with<T>(edits: readonly Edit[], work: () => Promise<T>): Promise<T> {
    const files = new Set(edits.map(({ file }) => file));
    const changes = [...files].map((file) => ({
      path: join(this.path, file),
      before: readFileSync(join(this.path, file)),
      after: mutated(
        file,
        edits.filter((one) => one.file === file),
        this.path,
      ),
    }));
    try {
      for (const { path, after } of changes) writeFileSync(path, after);
      return await work();
    } finally {
      for (const { path, before } of changes) writeFileSync(path, before);
    }
  }

  /** What runs from it ends with it: a run that was cut off leaves grids behind. */
  remove(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        if (command.includes(`${this.path}/`)) process.kill(Number(pid), 'SIGKILL');
      } catch {
        // Gone already.
      }
    }
    this.#remove();
  }
}
