import { expect } from 'chai';
import type { Command } from 'commander';
import { createProgram } from '../../coordinator/program.ts';

// Goal: a command line loads the commands that it may mean, and never another answer. Method: the program for each line.

const namesOf = ({ commands }: Command): string[] => commands.map((command) => command.name());

describe('the program for a command line', () => {
  let all: string[];
  before(async () => {
    all = namesOf(await createProgram(null));
  });

  it('has the command that stands first in it', async () => {
    for (const name of all) expect(namesOf(await createProgram([name, 'grid', '--help']))).to.include(name);
  });

  it('has that alone, and what is in the same file', async () => {
    expect(namesOf(await createProgram(['grid', 'status']))).to.deep.equal(['grid']);
    expect(namesOf(await createProgram(['get', 'backup']))).to.have.members([
      'apply',
      'get',
      'describe',
      'delete',
      'logs',
    ]);
    expect(namesOf(await createProgram(['--version']))).to.deep.equal([]);
  });

  it('has all of them where it begins otherwise', async () => {
    for (const given of [[], ['--help'], ['help', 'grid'], ['gird', 'status'], ['--grid', 'grid', 'grid']])
      expect(namesOf(await createProgram(given)), given.join(' ')).to.deep.equal(all);
  });
});
