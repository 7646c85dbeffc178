import { writeFileSync } from 'node:fs';
import { MUTANTS } from '../test/mutants/mutants.ts';
import { pages, taggedTests, withProofs, wrongClaims } from '../test/mutants/pages.ts';

const tests = await taggedTests();
for (const { file, text } of pages()) writeFileSync(file, withProofs(text, tests, MUTANTS));
const wrong = wrongClaims(
  pages().map(({ text }) => text),
  tests,
  MUTANTS,
);
for (const line of wrong) process.stderr.write(`${line}\n`);
process.exitCode = wrong.length === 0 ? 0 : 1;
