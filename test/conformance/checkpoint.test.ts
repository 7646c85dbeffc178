import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import type { Verdict } from './promise.ts';

// Goal: what agent and coordinator would not take, or could not restore, is found before there is a grid. Method: the
// command as others run it, against the model node and the keeper of docs/participant.md, right and with one fault.

const HERE = fileURLToPath(new URL('.', import.meta.url));
const NODE = programFile('test/conformance/model/node.ts');
const SUITE = programFile('test/conformance/main.ts');
const CLIENT = join(HERE, 'model/client');
const KEEPER = /```js\n(.*?)```/s.exec(readFileSync(join(ROOT, 'docs/participant.md'), 'utf8'))?.[1] ?? '';

describe('stillpoint-conformance --checkpoint', function () {
  this.timeout(180_000);
  const folder = temporaryFolder('cp');
  const alive = new Set<ChildProcess>();
  const rooms = join(folder.path, 'tmp');

  before(() => mkdirSync(rooms));

  after(() => {
    for (const child of alive) child.kill('SIGKILL');
    folder.remove();
  });

  async function started(command: readonly string[]): Promise<ChildProcess> {
    const [program = '', ...args] = command;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    alive.add(child);
    await once(child.stdout, 'data');
    return child;
  }

  async function checked(options: Readonly<Record<string, string | readonly string[]>>): Promise<{
    code: number | null;
    broken: readonly Verdict[];
    verdicts: readonly Verdict[];
    output: string;
  }> {
    const words = Object.entries(options).flatMap(([name, value]) => [
      `--${name}`,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]);
    const args = [SUITE, '--checkpoint', '--json', ...words];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: rooms },
    });
    alive.add(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (output += bytes.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    const { promises: verdicts = [] } = objectIn(output);
    return { code, verdicts, broken: verdicts.filter(({ result }) => result === 'broken'), output };
  }

  async function node(fault: string, journal: readonly string[] = []) {
    const place = join(folder.path, [fault, ...journal].join('-'));
    const [data, socket] = [join(place, 'data'), join(place, 'p.sock')];
    mkdirSync(place);
    await started([process.execPath, NODE, data, socket, fault, ...journal]);
    const seen = await checked({
      socket,
      writer: [CLIENT, 'write', '{data}', '{from}'],
      reader: [CLIENT, 'read', '{data}'],
      start: [process.execPath, NODE, '{data}', '{socket}', fault, ...journal],
    });
    return { ...seen, data };
  }

  it('keeps a node that keeps the contract, and leaves nothing of ours', async () => {
    const { code, verdicts, output, data } = await node('none');
    expect(code, output).to.equal(0);
    expect(verdicts.filter(({ result }) => result !== 'kept')).to.deep.equal([]);
    expect(existsSync(join(data, 'checkpoints'))).to.equal(false);
    expect(readdirSync(rooms)).to.deep.equal([]);
  });

  it('keeps one whose journal files are longer than what is in them: suite and agent say the same', async () => {
    const { code, output } = await node('none', ['preallocates']);
    expect(code, output).to.equal(0);
  });

  for (const [fault, step, why] of [
    ['has-a-socket-in-live', 'checkpoint-fit', 'unsupported-file'],
    ['names-a-file-that-is-not-there', 'checkpoint-taken', 'participant-contract'],
    ['loses-the-tail', 'checkpoint-restored', 'restore-not-verified'],
  ] as const) {
    it(`finds ${fault}, and says what agent or coordinator say of it`, async () => {
      const { code, broken, output } = await node(fault);
      expect(code, output).to.equal(6);
      expect(broken.map(({ id }) => id)).to.deep.equal([step]);
      expect(broken[0]?.seen).to.contain(`${why}: `).and.contain('; hint: ');
      expect(readdirSync(rooms)).to.deep.equal([]);
    });
  }

  describe('of the keeper in docs/participant.md', () => {
    async function keeper(name: string, text: string) {
      const place = join(folder.path, name);
      mkdirSync(place);
      symlinkSync(join(ROOT, 'node_modules'), join(place, 'node_modules'));
      const program = join(place, 'keeper.mjs');
      writeFileSync(program, text);
      const command = [process.execPath, program, join(ROOT, 'proto/participant.proto')];
      const socket = join(place, 'p.sock');
      await started([...command, join(place, 'data'), socket]);
      return checked({ socket, start: [...command, '{data}', '{socket}'] });
    }

    it('keeps it as it stands there', async () => {
      const { code, verdicts, output } = await keeper('keeper', KEEPER);
      expect(code, output).to.equal(0);
      const kept = verdicts.filter(({ result }) => result === 'kept').map(({ id }) => id);
      expect(kept).to.include.members(['checkpoint-taken', 'checkpoint-repeated', 'checkpoint-restored']);
    });

    it('finds that its mark does not name the version of its state', async () => {
      const wrong = KEEPER.replace('String(state.version)', '`state-${state.version}`');
      expect(wrong).not.to.equal(KEEPER);
      const { code, broken, output } = await keeper('wrong', wrong);
      expect(code, output).to.equal(6);
      expect(broken[0]?.seen).to.contain('participant-contract: ').and.contain('journal_file is state-');
    });
  });

  it('needs a start command that says where the copy is', async () => {
    for (const start of [undefined, ['a', '{data}']]) {
      const { code, output } = await checked({ socket: '/nowhere', ...(start && { start }) });
      expect(code, output).to.equal(2);
      expect(output).to.contain('--start');
    }
  });
});

function objectIn(output: string): { promises?: Verdict[] } {
  try {
    return JSON.parse(output) as { promises?: Verdict[] };
  } catch {
    return {};
  }
}
