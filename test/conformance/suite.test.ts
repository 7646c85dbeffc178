import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { connectParticipant } from '../../shared/rpc/participant-client.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { loadTls } from '../../shared/rpc/tls-files.ts';
import { ROOT } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { modelInProcess } from './model/in-process.ts';
import type { Verdict } from './promise.ts';

// Goal: whoever runs the suite against a process hears of a broken promise by its name, and of what was not tried. Method:
// the command as others run it, against the model as a process of its own; what faults it finds is in planted.test.ts.

const HERE = fileURLToPath(new URL('.', import.meta.url));
const NODE = programFile('test/conformance/model/node.ts');
const SUITE = programFile('test/conformance/main.ts');
const CLIENT = join(HERE, 'model/client');
/** For this file alone. */
const TLS_HOST = '127.0.18.3';
const PACE = ['--hold-ms', '100', '--lease-ms', '300'];

interface Ran {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

describe('the conformance suite as a program', function () {
  this.timeout(240_000);
  const folder = temporaryFolder('conformance');
  const alive = new Set<ChildProcess>();

  after(() => {
    for (const child of alive) child.kill('SIGKILL');
    folder.remove();
  });

  async function model(fault: string): Promise<{ socket: string; programs: string[] }> {
    const data = join(folder.path, fault, 'data');
    const socket = join(folder.path, `${fault.slice(0, 20)}.sock`);
    const child = spawn(process.execPath, [NODE, data, socket, fault], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    alive.add(child);
    await once(child.stdout, 'data');
    const client = (verb: string, ...more: string[]) => JSON.stringify([CLIENT, verb, '{data}', ...more]);
    const programs = {
      writer: client('write', '{from}'),
      reader: client('read'),
      busy: client('busy'),
      start: JSON.stringify([process.execPath, NODE, '{data}', '{socket}', fault]),
    };
    return { socket, programs: Object.entries(programs).flatMap(([name, argv]) => [`--${name}`, argv]) };
  }

  it('finds every promise of a node kept by a process that keeps them, by programs, and leaves it released', async () => {
    const { socket, programs } = await model('none');
    const report = join(folder.path, 'report.xml');
    const options = ['--socket', `unix:${socket}`, '--json', '--strict', '--junit', report];
    const { code, output } = await conformance([...options, ...PACE, ...programs]);
    expect(code, output).to.equal(0);
    const { promises, notTried } = JSON.parse(output) as { promises: Verdict[]; notTried: string[] };
    expect(notTried).to.deep.equal([]);
    const kept = promises.filter(({ result }) => result === 'kept').map(({ id }) => id);
    expect(kept).to.include.members(['rest-durable', 'quiesce-waits', 'restart-is-another', 'sequences']);
    const xml = readFileSync(report, 'utf8');
    expect(xml)
      .to.contain('failures="0"')
      .and.to.contain('<testcase classname="model-1a" name="rest-durable"');
    expect(await heldBy(socket)).to.equal('');
  });

  it('names what is broken with the sentence of the contract, and says in the end what it has not tried', async () => {
    const { socket } = await model('is-unhealthy-for-no-cause');
    const report = join(folder.path, 'broken.xml');
    const { code, output } = await conformance(['--socket', socket, ...PACE, '--junit', report]);
    expect(code, output).to.equal(6);
    expect(output).to.match(/^broken +health-says-why +unhealthy, cause ""\n +contract: Health/m);
    expect(output).to.match(/^not-applicable +sequences +hidden by health-says-why$/m);
    const last = output.trimEnd().split('\n').at(-1) ?? '';
    expect(last).to.match(/^not tried: .*rest-clients-wait.*\(needs --writer and --reader\)/);
    expect(readFileSync(report, 'utf8')).to.contain('<failure message="unhealthy, cause');
  });

  it('counts what was not tried only where it is asked to be strict', async () => {
    const { socket } = await model('strictly');
    const only = ['--only', 'describe-complete', '--only', 'rest-clients-wait'];
    const lax = await conformance(['--socket', socket, ...only]);
    expect(lax.code, lax.output).to.equal(0);
    expect(lax.output).to.contain('1 kept, 0 broken, 1 not tried, 0 not applicable');
    expect((await conformance(['--socket', socket, ...only, '--strict'])).code).to.equal(6);
    const all = await conformance(['--socket', socket, '--only', 'describe-complete']);
    expect(all.output).to.contain('nothing was left untried');
  });

  it('ends a whole run in time, released, and says what is left', async () => {
    const { socket } = await model('slowly');
    const from = performance.now();
    const { code, output } = await conformance(['--socket', socket, '--time-out', '2', '--hold-ms', '1500']);
    expect(code, output).to.equal(4);
    expect(performance.now() - from).to.be.lessThan(30_000);
    expect(output).to.match(/not tried: .*sequences.*\(the run was ended before\)/);
    expect(await heldBy(socket)).to.equal('');
  });

  it('replays a recorded sequence, and shows the first answer that is another one', async () => {
    const file = join(ROOT, 'proto/sequences/node-lost-answers.calls');
    const good = await conformance(['--socket', (await model('replayed')).socket, '--replay', file]);
    expect(good.code, good.output + good.errors).to.equal(0);
    expect(good.output)
      .to.match(/^as recorded {2}SuspendWriting operation=A/m)
      .and.to.contain('all as recorded');
    const { socket } = await model('forgets-that-it-was-at-rest');
    const bad = await conformance(['--socket', socket, '--replay', file]);
    expect(bad.code).to.equal(6);
    expect(bad.output).to.match(/^recorded: Resume operation=A token=1 -> OK held=true\nseen: held=false$/m);
    expect(await heldBy(socket)).to.equal('');
    expect((await conformance(['--socket', socket, '--replay', HERE])).code).to.equal(2);
  });

  it('reaches a process over mutual TLS, as its agent does', async () => {
    const pki = join(folder.path, 'pki');
    await initializePki(pki);
    await issueAgentCertificates(pki, [TLS_HOST]);
    const tls = {
      ca: join(pki, 'ca.pem'),
      cert: join(pki, `${TLS_HOST}.pem`),
      key: join(pki, `${TLS_HOST}-key.pem`),
    };
    const { ca, cert, key } = await loadTls(tls);
    const one = await modelInProcess(join(folder.path, 'tls'), 'node', null);
    const port = await one.listen(
      `${TLS_HOST}:0`,
      grpc.ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: cert }], true),
    );
    const files = Object.entries(tls).flatMap(([name, path]) => [`--${name}`, path]);
    try {
      const only = ['describe-complete', 'unknown-fields-ignored', 'mark-repeats'].flatMap((id) => [
        '--only',
        id,
      ]);
      const ran = await conformance(['--address', `${TLS_HOST}:${port}`, ...files, ...only]);
      expect(ran.code, ran.output + ran.errors).to.equal(0);
      expect(ran.output).to.contain('3 kept, 0 broken');
    } finally {
      one.close();
    }
  });

  it('is used with a socket or an address, and says what is wrong with its command line', async () => {
    for (const args of [
      [],
      ['--socket', '/nowhere', '--only', 'no-such-promise'],
      ['--socket', '/nowhere', '--writer', '["a"]'],
      ['--socket', '/nowhere', '--start', '["a"]'],
      ['--socket', '/nowhere', '--busy', 'a'],
      ['--socket', '/nowhere', '--lease-ms', '0'],
      ['--socket', '/nowhere', '--time-out', 'soon'],
      ['--socket', '/nowhere', '--writers', '0'],
      ['--socket', '/nowhere', '--address', 'localhost:1'],
      ['--socket', 'localhost:5700'],
      ['--socket', '/nowhere', '--ca', 'a'],
      ['--address', 'localhost:1'],
      ['--colour'],
    ]) {
      const { code, errors } = await conformance(args);
      expect(code, args.join(' ')).to.equal(2);
      expect(errors).to.contain('hint: stillpoint-conformance --help');
    }
    expect((await conformance(['--socket', '/nowhere'])).code).to.equal(3);
    expect((await conformance(['--socket', 'unix:/nowhere'])).errors).to.contain(
      'unix:/nowhere cannot be reached',
    );
    expect((await conformance(['--list'])).output).to.contain('rest-acknowledges-nothing');
    expect(existsSync('/nowhere')).to.equal(false);
  });

  async function conformance(args: readonly string[]): Promise<Ran> {
    const child = spawn(process.execPath, [SUITE, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
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

async function heldBy(socket: string): Promise<string> {
  const participant = await connectParticipant({ target: `unix:${socket}`, timeoutMs: 5000 });
  try {
    return (await participant.describe()).held.operation;
  } finally {
    participant.close();
  }
}
