import { expect } from 'chai';
import { execFile } from 'node:child_process';
import type { Verdict } from '../conformance/promise.ts';
import { freePort } from '../lab/ports.ts';
import { until } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { launchReferenceGrid, type ReferenceGrid } from './launch.ts';

// Goal: every process of the reference grid keeps every promise of the contract. Method: the command that others run
// against theirs, on one running grid; for a primary node with programs that are its clients.

const SUITE = programFile('test/conformance/main.ts');
const PROGRAMS = programFile('test/reference-grid/conformance-programs.ts');
const MAIN = programFile('test/reference-grid/main.ts');
const PACE = ['--lease-ms', '100', '--hold-ms', '100'];
const HOST = '127.0.64.1';
/** Nobody listens there: what is started on a copy must not join the grid. */
const NO_REALM = `${HOST}:1`;

interface Outcome {
  readonly code: number;
  readonly text: string;
  readonly promises: readonly Verdict[];
}

describe('the reference grid and the contract of participants', () => {
  const folder = temporaryFolder('rg');
  const runs = new Map<string, Promise<Outcome>>();
  let grid: ReferenceGrid;

  before(async () => {
    grid = await launchReferenceGrid({
      folder: folder.path,
      hosts: [HOST],
      copysets: { a: 2, b: 2 },
      keepers: 3,
      proxies: 1,
      satellites: 1,
    });
    const [primary, secondary, keeper] = await namesOf();
    const runsOf: [string, () => Promise<Outcome>][] = [
      ['a primary node', async () => examine(primary, await nodePrograms(primary))],
      ['a secondary node', () => examine(secondary)],
      [
        'a state keeper',
        async () => examine(keeper, await starting('keeper', keeper, ['--realm', NO_REALM])),
      ],
      ['the primary realm service', async () => examine('realm', await starting('realm-service', 'realm'))],
      ['a satellite', () => examine('satellite')],
      ['a proxy', () => examine('p1')],
    ];
    // They mostly wait, for leases: two rows of them at once cost little.
    const rows = [Promise.resolve<unknown>(undefined), Promise.resolve<unknown>(undefined)];
    for (const [index, [what, run]] of runsOf.entries()) {
      const row = index === 0 ? 0 : 1;
      const outcome = (rows[row] ?? Promise.resolve()).then(run);
      outcome.catch(() => undefined);
      rows[row] = outcome.catch(() => undefined);
      runs.set(what, outcome);
    }
  });

  after(async () => {
    await grid?.close();
    folder.remove();
  });

  /** A primary, a secondary of the other copyset, and a keeper that does not lead. */
  async function namesOf(): Promise<[string, string, string]> {
    let names: [string, string, string] = ['', '', ''];
    await until('the roles to be known', async () => {
      const { running } = await grid.status();
      const named = (pattern: RegExp, isPrimary: boolean): string =>
        running.find(({ name, primary }) => pattern.test(name) && primary === isPrimary)?.name ?? '';
      names = [named(/^a\d/, true), named(/^b\d/, false), named(/^k\d/, false)];
      return !names.includes('');
    });
    return names;
  }

  async function nodePrograms(name: string): Promise<string[]> {
    const { address, dataDirectory } = grid.process(name);
    const copyset = name.slice(0, 1);
    const program = (...args: string[]): string => JSON.stringify([process.execPath, PROGRAMS, ...args]);
    const serving = program('serve', `${HOST}:${await freePort(HOST)}`, '{data}', '{socket}');
    const reading = program('read', address, copyset, '{data}', dataDirectory);
    const writing = program('write', address, copyset, '{from}');
    return ['--writer', writing, '--reader', reading, '--start', serving];
  }

  /** As a process of its own on a copy. */
  async function starting(role: string, name: string, more: readonly string[] = []): Promise<string[]> {
    const listen = `${HOST}:${await freePort(HOST)}`;
    const at = ['--listen', listen, '--participant', 'unix:{socket}'];
    const options = ['--data', '{data}', '--name', name, ...at];
    return ['--start', JSON.stringify([process.execPath, MAIN, role, ...options, ...more])];
  }

  function examine(name: string, programs: readonly string[] = []): Promise<Outcome> {
    const socket = grid.process(name).participant.slice('unix:'.length);
    const args = [SUITE, '--socket', socket, '--json', ...PACE, ...programs];
    return new Promise((resolve) => {
      execFile(process.execPath, args, { maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
        const { promises = [] } = (stdout === '' ? {} : JSON.parse(stdout)) as { promises?: Verdict[] };
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr, promises });
      });
    });
  }

  for (const [what, least] of [
    ['a primary node', 40],
    ['a secondary node', 25],
    ['a state keeper', 15],
    ['the primary realm service', 15],
    ['a satellite', 10],
    ['a proxy', 3],
  ] as const) {
    it(`agree in all that is promised of ${what}`, async () => {
      const { code, text, promises } = (await runs.get(what)) ?? { code: -1, text: 'no run', promises: [] };
      expect(promises.filter(({ result }) => result === 'broken')).to.deep.equal([]);
      expect(code, text).to.equal(0);
      expect(promises.filter(({ seen }) => seen.startsWith('cannot be judged'))).to.deep.equal([]);
      expect(promises.filter(({ result }) => result === 'kept').length).to.be.at.least(least);
    });
  }

  it('leave the grid healthy, and held by nobody', async () => {
    await Promise.all(runs.values());
    await grid.healthy();
    const client = grid.client();
    try {
      for (const copyset of ['a', 'b']) await client.put('after', 'all', 'x', copyset);
    } finally {
      client.close();
    }
  });
});
