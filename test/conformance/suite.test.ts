import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectParticipant } from '../../shared/rpc/participant-client.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { FAULTS, type Fault } from './model/faults.ts';
import type { Verdict } from './promise.ts';
import { PROMISES } from './suite.ts';

// Goal: whoever runs the suite against a process hears of a broken promise by its name, and of no other. Method: a
// model node that keeps the contract, and one fault at a time; the command is run as others run it. One that is found
// among the promises of its kind (those that begin with the same word) is not looked for among all others every day.

const HERE = fileURLToPath(new URL('.', import.meta.url));
const NODE = programFile('test/conformance/model/node.ts');
const SUITE = programFile('test/conformance/main.ts');
const CLIENT = join(HERE, 'model/client');
const HOLD = ['--hold-ms', '100'];
/** Renew is judged only where it came in time, which a busy machine must be able to: the longer one. */
const leaseOf = (fault: string): string =>
  fault === 'keeps-the-contract' || FAULTS[fault as Fault] === 'lease-renewed' ? '400' : '100';
const AT_ONCE = 3;
/** Another sixth of the faults each day is held against every promise, and not against those of its kind alone. */
const SEED = Number(process.env['STILLPOINT_SEED'] ?? Math.floor(Date.now() / 86_400_000));
const SHARE = 6;
const IDS = PROMISES.map(({ id }) => id);
/** Who is wrong in what it says that it holds is seen by these, and cannot be seen by others. */
const OF_CONTENT = IDS.filter((id) => /^(mark|content|started-with)-/.test(id));

/** The promises that a fault is held against; all where there are none. */
function heldAgainst(fault: string): readonly string[] {
  const broken = FAULTS[fault as Fault];
  if (broken === undefined) return [];
  if (/^(content|started-with)-/.test(broken)) return OF_CONTENT;
  if (Object.keys(FAULTS).indexOf(fault) % SHARE === SEED % SHARE) return [];
  const [kind = ''] = broken.split('-');
  return IDS.filter((id) => id.startsWith(`${kind}-`));
}

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly broken: readonly string[];
  readonly promises: readonly Verdict[];
  /** What the process still held afterwards. */
  readonly heldAfter: string;
}

describe(`the conformance suite (STILLPOINT_SEED=${SEED})`, function () {
  this.timeout(600_000);
  const folder = temporaryFolder('conformance');
  const runs = new Map<string, Promise<Outcome>>();
  const alive = new Set<ChildProcess>();

  before(() => {
    // The runs mostly wait, for leases: several at once cost little.
    const names = ['keeps-the-contract', ...Object.keys(FAULTS)];
    const slots = Array.from({ length: AT_ONCE }, () => Promise.resolve<unknown>(undefined));
    for (const [index, name] of names.entries()) {
      const run = (slots[index % AT_ONCE] ?? Promise.resolve()).then(() => examine(name));
      slots[index % AT_ONCE] = run.catch(() => undefined);
      run.catch(() => undefined);
      runs.set(name, run);
    }
  });

  after(() => {
    for (const child of alive) child.kill('SIGKILL');
    folder.remove();
  });

  async function examine(fault: string): Promise<Outcome> {
    const data = join(folder.path, fault, 'data');
    const socket = join(folder.path, `${fault.slice(0, 20)}.sock`);
    const model = spawn(process.execPath, [NODE, data, socket, fault], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    alive.add(model);
    await once(model.stdout, 'data');
    const client = (verb: string, ...more: string[]) => JSON.stringify([CLIENT, verb, '{data}', ...more]);
    const programs = {
      writer: client('write', '{from}'),
      reader: client('read'),
      busy: client('busy'),
      start: JSON.stringify([process.execPath, NODE, '{data}', '{socket}', fault]),
    };
    const options = Object.entries(programs).flatMap(([name, argv]) => [`--${name}`, argv]);
    const only = heldAgainst(fault).flatMap((id) => ['--only', id]);
    const pace = ['--lease-ms', leaseOf(fault), ...HOLD];
    const { code, output } = await conformance(['--socket', socket, '--json', ...pace, ...options, ...only]);
    const heldAfter = await heldBy(socket);
    model.kill();
    alive.delete(model);
    const { broken = [], promises = [] } = parsed(output);
    return { code, output, broken, promises, heldAfter };
  }

  it('finds every promise of a node kept by a process that keeps them, and leaves it released', async () => {
    const { code, output, promises, heldAfter } = await outcomeOf('keeps-the-contract');
    expect(code, output).to.equal(0);
    const judged = promises.filter(({ result }) => result === 'kept').map(({ id }) => id);
    expect(judged).to.include.members(Object.values(FAULTS));
    const unjudged = promises.filter(({ seen }) => seen.startsWith('cannot be judged'));
    expect(unjudged).to.deep.equal([]);
    expect(heldAfter).to.equal('');
  });

  for (const [fault, id] of Object.entries(FAULTS) as [Fault, string][]) {
    it(`names ${id} and nothing else of a process that has one fault: ${fault}`, async () => {
      const { code, broken, promises, heldAfter } = await outcomeOf(fault);
      const seen = promises.filter((one) => one.result === 'broken' || one.id === id);
      expect(broken, JSON.stringify(seen)).to.deep.equal([id]);
      expect(code).to.equal(6);
      expect(heldAfter).to.equal('');
    });
  }

  it('is used with a socket, and says what is wrong with its command line', async () => {
    for (const args of [
      [],
      ['--socket', '/nowhere', '--only', 'no-such-promise'],
      ['--socket', '/nowhere', '--writer', '["a"]'],
      ['--socket', '/nowhere', '--start', '["a"]'],
      ['--socket', '/nowhere', '--busy', 'a'],
      ['--socket', '/nowhere', '--lease-ms', '0'],
      ['--colour'],
    ]) {
      const { code, errors } = await conformance(args);
      expect(code, args.join(' ')).to.equal(2);
      expect(errors).to.contain('hint: stillpoint-conformance --help');
    }
    expect((await conformance(['--socket', '/nowhere'])).code).to.equal(3);
    expect((await conformance(['--list'])).output).to.contain('rest-acknowledges-nothing');
  });

  async function outcomeOf(name: string): Promise<Outcome> {
    const run = runs.get(name);
    if (run === undefined) throw new Error(`no run of ${name}`);
    return await run;
  }

  async function conformance(args: readonly string[]) {
    const child = spawn(process.execPath, [SUITE, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    alive.add(child);
    let output = '';
    let errors = '';
    child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    alive.delete(child);
    return { code, output, errors };
  }
});

function parsed(output: string): Partial<Pick<Outcome, 'broken' | 'promises'>> {
  try {
    return JSON.parse(output) as Partial<Pick<Outcome, 'broken' | 'promises'>>;
  } catch {
    return {};
  }
}

async function heldBy(socket: string): Promise<string> {
  const participant = await connectParticipant({ target: `unix:${socket}`, timeoutMs: 5000 });
  try {
    return (await participant.describe()).held.operation;
  } finally {
    participant.close();
  }
}
