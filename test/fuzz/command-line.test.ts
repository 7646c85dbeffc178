import { expect } from 'chai';
import { CommanderError, InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { createProgram } from '../../coordinator/program.ts';
import { parseDuration, parseTimeout } from '../../coordinator/options.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: a command line does what it says or is refused; none ends the command in another way.

const WORDS = [
  'checkpoint',
  'create',
  'list',
  'describe',
  'verify',
  'delete',
  'prune',
  'salvage',
  'restore',
  'grid',
  'status',
  'doctor',
  'failover',
  'latest',
  'nightly',
  '--grid',
  '--repository',
  '--output',
  'json',
  'text',
  'xml',
  '--quiet',
  '--timeout',
  '30s',
  '99999d',
  '1e9',
  '--log-level',
  'silent',
  '--stop',
  '--dry-run',
  '--map',
  'a=b',
  'a=b=c',
  '=',
  '--yes',
  '--keep',
  '0',
  '-1',
  '--keep-within',
  '--',
  '-',
  '--help',
  '--version',
  '--__proto__',
  '__proto__',
  's3://bucket/x',
  '',
  '\0',
  '../..',
  '--output=',
] as const;

describe('a command line', () => {
  const folder = temporaryFolder('fuzz');
  after(() => folder.remove());

  it('of any words is understood or refused, with nothing left over', async () => {
    const nowhere = `${folder.path}/nowhere`;
    const lines = fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom(...WORDS) },
        { weight: 1, arbitrary: fc.string({ maxLength: 40 }) },
      ),
      { maxLength: 8 },
    );
    const kept = { grid: process.env['STILLPOINT_GRID'], exitCode: process.exitCode };
    process.env['STILLPOINT_GRID'] = `${nowhere}/grid.yaml`;
    await fuzz(lines, 500, async (words) => {
      const program = await createProgram(null);
      for (const one of [
        program,
        ...program.commands,
        ...program.commands.flatMap(({ commands }) => [...commands]),
      ])
        one.configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
      await accepted(() =>
        program.parseAsync(['node', 'stillpoint', ...words]).catch((error: unknown) => {
          if (!(error instanceof CommanderError)) throw error;
          expect(error.message).not.to.equal('');
        }),
      );
    });
    if (kept.grid === undefined) delete process.env['STILLPOINT_GRID'];
    process.exitCode = kept.exitCode;
  });

  it('has durations that a timer can keep, or none', async () => {
    const texts = fc.oneof(
      fc.string({ maxLength: 20 }),
      fc
        .tuple(fc.double({ min: 0, noNaN: true }), fc.constantFrom('', 'ms', 's', 'm', 'h', 'd', 'w'))
        .map(([number, unit]) => `${number}${unit}`),
      fc
        .tuple(fc.bigInt({ min: 0n, max: 10n ** 400n }), fc.constantFrom('', 'ms', 'd', 'w'))
        .map(([number, unit]) => `${number}${unit}`),
    );
    let read = 0;
    await fuzz(texts, 2000, (text) => {
      for (const parse of [parseDuration, parseTimeout]) {
        try {
          const ms = parse(text);
          read += 1;
          expect(ms).to.be.within(0, parse === parseTimeout ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER);
        } catch (error) {
          expect(error).to.be.instanceOf(InvalidArgumentError);
        }
      }
    });
    expect(read).to.be.greaterThan(0);
    expect(() => parseTimeout('30d')).to.throw(InvalidArgumentError);
    expect(parseTimeout('24d')).to.equal(24 * 24 * 3_600_000);
    expect(parseDuration('30d')).to.equal(30 * 24 * 3_600_000);
  });
});
