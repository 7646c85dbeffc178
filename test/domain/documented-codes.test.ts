import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Codes that are data of the code's own and never reach a person as they are, and words that only look like one. */
const INTERNAL = new Set(['decide', 'finish', 'settle', 'realm-service', 'state-keeper']);

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter(
      (entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('generated'),
    )
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
}

describe('the documentation of errors', () => {
  const code = ['agent', 'coordinator', 'shared'].flatMap(sources).join('\n');
  const documented = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');

  it('has every code that the sources give', () => {
    // As a property, or as the first of several arguments of a function that makes the failure.
    const given = [
      ...code.matchAll(/\bcode: '([a-z]+(?:-[a-z]+)*)'/g),
      ...code.matchAll(/\b\w+\(\s*'([a-z]+(?:-[a-z]+)+)',/g),
    ].map(([, name]) => name ?? '');
    const missing = [...new Set(given)].filter(
      (name) => !INTERNAL.has(name) && !documented.includes(`\`${name}\``),
    );
    expect(missing).to.deep.equal([]);
    expect(given.length).to.be.greaterThan(50);
  });

  it('knows every code, for none is put together from parts', () => {
    expect([...code.matchAll(/\bcode: `[^`]*`/g)].map(([text]) => text)).to.deep.equal([]);
  });

  it('has no code that the sources do not give', () => {
    const named = [...documented.matchAll(/`([a-z]+(?:-[a-z]+)+)`/g)].map(([, name]) => name ?? '');
    expect(named.filter((name) => !code.includes(`'${name}'`))).to.deep.equal([]);
  });

  it('is not what a hint of doctor sends a person to instead of a remedy', () => {
    const asked = ['agent/engines/postgres/look', 'agent/engines/native', 'agent/engines/restore'].flatMap(
      sources,
    );
    const files = ['agent/describe.ts', 'coordinator/grid-status.ts', 'coordinator/preflight.ts'].map(
      (file) => readFileSync(join(ROOT, file), 'utf8'),
    );
    const hints = [...asked, ...files].flatMap((text) =>
      [...text.matchAll(/\bhint: (["'`])(.*?)\1[,;\s}]/g)].map(([, , words = '']) => words),
    );
    const vague = /^(see|look at|look into) [^:;,(]*$|^[^:;,(]*\bdocs\/[\w/-]+\.md[^:;,(]*$/;
    expect(hints.filter((words) => vague.test(words))).to.deep.equal([]);
    expect(hints.length).to.be.greaterThan(40);
  });
});
