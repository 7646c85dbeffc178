import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What engines share, and no engine. */
const SHARED_BY_ENGINES = 'restore';
/** Engines to come: a rule for one of them is as much out of place. */
const TO_COME = ['redis', 'etcd', 'infinispan', 'iris', 'activespaces'];
/** Words of one engine that would do as a name of it. */
const WORDS = ['pg_\\w+', 'libpq', '(commit|rollback) prepared'];

function engines(): string[] {
  return readdirSync(join(ROOT, 'agent/engines'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== SHARED_BY_ENGINES)
    .map(({ name }) => name);
}

/** The code that is generated from proto/ has the words of proto/, which are data. */
function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('shared/rpc/generated'))
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('what every engine shares', () => {
  it('knows no engine by its name: the coordinator asks for traits', () => {
    const names = [...engines(), ...TO_COME].map((name) => `${name}(ql)?`);
    // infinispan.org is a word of the documents that people apply.
    const name = new RegExp(`(?<![a-z])(${[...names, ...WORDS].join('|')})(?![a-z]|\\.org)`, 'i');
    const found = ['coordinator', 'shared'].flatMap(sources).flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line, index) =>
          name.test(line) ? [`${relative(ROOT, file)}:${index + 1} ${line.trim()}`] : [],
        ),
    );
    expect(found).to.deep.equal([]);
    expect(engines()).to.include.members(['native', 'postgres']);
  });
});
