import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../lab/temporary.ts';
import type { Mutant } from './mutant.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = join(ROOT, 'docs/requirements');

/** A test that bears ids of requirements. */
export interface TaggedTest {
  /** Below the root. */
  readonly file: string;
  /** Without the ids. */
  readonly title: string;
  readonly ids: readonly string[];
}

/** What a row has that nobody generates: why there is no mutant. */
const NOTES = ['- not yet: ', "- the grid's own: "];

/** All tests that bear an id, by the titles that mocha itself gives them: those of tables of cases too. */
export async function taggedTests(): Promise<TaggedTest[]> {
  const folder = temporaryFolder('titles');
  try {
    const output = join(folder.path, 'tests.json');
    const options = ['--dry-run', '--reporter', 'json', '--reporter-option', `output=${output}`];
    const mocha = join(ROOT, 'node_modules/mocha/bin/mocha.js');
    const child = spawn(process.execPath, [mocha, ...options, 'test/**/*.test.ts'], {
      cwd: ROOT,
      stdio: 'ignore',
    });
    await new Promise((resolve) => child.once('close', resolve));
    const { tests } = JSON.parse(readFileSync(output, 'utf8')) as {
      tests: readonly { title: string; file: string }[];
    };
    return tests
      .map(({ title, file }) => ({
        file: relative(ROOT, file),
        title: title.replaceAll(/ *\[S\d+\]/g, ''),
        ids: [...title.matchAll(/\[(S\d+)\]/g)].map(([, id]) => id ?? ''),
      }))
      .filter(({ ids }) => ids.length > 0)
      .sort((one, other) => compare(`${one.file} ${one.title}`, `${other.file} ${other.title}`));
  } finally {
    folder.remove();
  }
}

export function pages(): { readonly file: string; readonly text: string }[] {
  return readdirSync(PAGES)
    .sort()
    .map((name) => ({ file: join(PAGES, name), text: readFileSync(join(PAGES, name), 'utf8') }));
}

/** The ids of a page's rows. */
export function idsOf(text: string): string[] {
  return [...text.matchAll(/^### (S\d+)\b/gm)].map(([, id]) => id ?? '');
}

/** The page with what follows from tests and mutants written anew. The rest of a row is a person's. */
export function withProofs(text: string, tests: readonly TaggedTest[], mutants: readonly Mutant[]): string {
  return text
    .split(/^(?=### S\d+\b)/m)
    .map((row) => {
      const [id] = idsOf(row);
      if (id === undefined) return row;
      const kept = row
        .split('\n')
        .filter((line) => !line.startsWith('- ') || NOTES.some((note) => line.startsWith(note)));
      const proofs = [
        ...mutants.filter((mutant) => mutant.id === id).map(({ breaks }) => `- broken on purpose: ${breaks}`),
        ...tests
          .filter(({ ids }) => ids.includes(id))
          .map(({ file, title }) => `- [${file}](../../${file}): ${title}`),
      ];
      return `${kept.join('\n').trimEnd()}\n${proofs.map((proof) => `${proof}\n`).join('')}\n`;
    })
    .join('')
    .replace(/\n+$/, '\n');
}

/** What is wrong with the claims themselves, one line each. */
export function wrongClaims(
  texts: readonly string[],
  tests: readonly TaggedTest[],
  mutants: readonly Mutant[],
): string[] {
  const rows = texts
    .flatMap((text) => text.split(/^(?=### S\d+\b)/m))
    .filter((row) => row.startsWith('### S'));
  const noted = new Set(rows.filter((row) => NOTES.some((note) => row.includes(`\n${note}`))).flatMap(idsOf));
  const known = texts.flatMap(idsOf);
  const covered = new Set(mutants.map(({ id }) => id));
  const claimed = new Set(tests.flatMap(({ ids }) => ids));
  return [
    ...known.filter((id, index) => known.indexOf(id) !== index).map((id) => `${id} has two rows`),
    ...[...claimed, ...covered].filter((id) => !known.includes(id)).map((id) => `${id} has no row`),
    ...known
      .filter((id) => covered.has(id) === noted.has(id))
      .map((id) =>
        covered.has(id)
          ? `${id} has a mutant, and a note that it is not covered`
          : `${id} has no mutant: it is not covered; give it one, or say in its row why not`,
      ),
    ...mutants
      .filter(({ id, file }) => !tests.some((test) => test.file === `test/${file}` && test.ids.includes(id)))
      .map(({ id, file }) => `${id} has a mutant for test/${file}, where no test bears [${id}]`),
  ];
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
