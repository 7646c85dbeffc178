import { expect } from 'chai';
import type { Command } from 'commander';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { createProgram } from '../../coordinator/program.ts';
import { ROOT } from '../lab/processes.ts';

// Goal: whoever copies a line of the handbook gets what it says, and every way leads on. Method: each command in a block
// is given to the real parser, which runs nothing; units and pages that are named are looked for.

const PAGES = ['README.md', ...pagesBelow('docs')];

function pagesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
}

const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

/** The lines of blocks that are no other language's, without what is said of them. */
function shellLines(page: string): string[] {
  // Also those of other languages are matched: the end of one would begin the next.
  const blocks = [...textOf(page).matchAll(/^```(\w*)\n([^]*?)^```/gm)].flatMap(
    ([, language = '', block = '']) => (['', 'sh', 'ini'].includes(language) ? [block] : []),
  );
  const lines = blocks.flatMap((block) => block.split('\n'));
  // What a program has printed has marks of omission.
  return lines.filter((line) => !line.includes('…')).map((line) => line.replace(/\s+#.*$/, ''));
}

/** The words behind the name of the program, where it is run: here, on another host, or by a unit. */
function commandsOf(program: string, page: string): string[][] {
  return shellLines(page).flatMap((line) => {
    const found = new RegExp(`(?:^\\s*|/usr/bin/|ssh \\S+ )${program} (.*)$`).exec(line)?.[1];
    return found === undefined
      ? []
      : [
          found
            .split(/ (?:&&|\||>) /)[0]
            ?.trim()
            .split(/\s+/) ?? [],
        ];
  });
}

describe('the commands in the handbook', () => {
  it('are commands of stillpoint, with options that these have', async () => {
    const all = PAGES.flatMap((page) => commandsOf('stillpoint', page).map((words) => ({ page, words })));
    for (const { page, words } of all) {
      let command: Command = await createProgram(null);
      const rest = words.map((word) => (['RESTORE', 'DRILL'].includes(word) ? crypto.randomUUID() : word));
      for (let next = rest[0]; ; next = rest[0]) {
        const found = command.commands.find((one) => one.name() === next);
        if (found === undefined) break;
        command = found;
        rest.shift();
      }
      const said = `${page}: stillpoint ${words.join(' ')}`;
      const { unknown, operands } = command.parseOptions(rest);
      expect(unknown, said).to.deep.equal([]);
      const { registeredArguments: taken } = command;
      const isVariadic = taken.some(({ variadic }) => variadic);
      expect(operands.length, said).to.be.at.least(taken.filter(({ required }) => required).length);
      if (!isVariadic) expect(operands.length, said).to.be.at.most(taken.length);
      expect(command.commands, said).to.deep.equal([]);
    }
    expect(all.length).to.be.greaterThan(20);
  });

  it('ask the agent for nothing that it does not know', () => {
    const usage = ['agent/main.ts', 'agent/init/usage.ts']
      .filter((file) => existsSync(join(ROOT, file)))
      .map((file) => textOf(file))
      .join('\n');
    for (const page of PAGES)
      for (const words of commandsOf('stillpoint-agent', page))
        for (const option of words.filter((word) => word.startsWith('--')))
          expect(usage, `${page}: ${words.join(' ')}`).to.include(option);
  });

  it('name units that the packages bring', () => {
    const units = readdirSync(join(ROOT, 'scripts/packaging/systemd'));
    const named = PAGES.flatMap((page) =>
      [...textOf(page).matchAll(/\bstillpoint-[a-z]+@?[a-z]*(?:\.service|\.timer)\b/g)].map(([unit]) => unit),
    );
    const missing = named.filter((unit) => !units.includes(unit.replace(/@[a-z]*\./, '@.')));
    expect([...new Set(missing)]).to.deep.equal([]);
    expect(named.length).to.be.greaterThan(5);
  });

  it('stand on pages that are all there, each reached from the first', () => {
    const reached = new Set(['docs/README.md']);
    for (const page of [...reached, ...PAGES]) {
      for (const [, target = '', anchor] of textOf(page).matchAll(/\]\((?!https?:)([^)#]*)(#[^)]*)?\)/g)) {
        const path = target === '' ? page : relative(ROOT, join(ROOT, dirname(page), target));
        expect(existsSync(join(ROOT, path)), `${page} leads to ${path}`).to.equal(true);
        if (anchor !== undefined)
          expect(anchorsOf(path), `${page} leads to ${path}${anchor}`).to.include(anchor);
        if (page === 'docs/README.md' || path.startsWith('docs/engines')) reached.add(path);
      }
    }
    const unreached = PAGES.filter((page) => !page.startsWith('docs/requirements/') && !reached.has(page));
    expect(unreached).to.deep.equal([]);
  });
});

/** As the usual renderers make them of headings. */
function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(
    ([, heading = '']) =>
      `#${heading
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replace(/\s/g, '-')}`,
  );
}
