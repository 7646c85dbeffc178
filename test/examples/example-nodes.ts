import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../lab/processes.ts';

const run = promisify(execFile);
const EXAMPLES = join(ROOT, 'docs/examples');
const CACHE = join(ROOT, 'node_modules/.cache/stillpoint-examples');
const SET_UP_MS = 300_000;
const GENERATORS = [
  'google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12',
  'google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2',
];

/** A node of docs/examples that can be run here. */
export interface ExampleNode {
  readonly language: string;
  /** Runs it in the foreground. */
  command(at: {
    readonly grid: string;
    readonly name: string;
    readonly copyset: string;
    readonly address: string;
    readonly data: string;
    readonly socket: string;
  }): string[];
}

/** Those whose tools this machine has; of each other one a word on stderr says what it lacks. */
export async function exampleNodes(): Promise<ExampleNode[]> {
  const found = await Promise.all([ready('Python', 'python3', python), ready('Go', 'go', go)]);
  return found.flatMap((one) => one ?? []);
}

async function ready(
  language: string,
  tool: string,
  make: () => Promise<ExampleNode>,
): Promise<ExampleNode | null> {
  const version = await run(tool, [tool === 'go' ? 'version' : '--version']).catch(() => null);
  if (version !== null) return make();
  process.stderr.write(`the example in ${language} is not tried: there is no ${tool} here\n`);
  return null;
}

async function python(): Promise<ExampleNode> {
  const folder = join(EXAMPLES, 'python');
  const environment = await cached('python', [join(folder, 'requirements.txt')], async (into) => {
    await run('python3', ['-m', 'venv', into], { timeout: SET_UP_MS });
    const install = ['-m', 'pip', 'install', '--quiet', '-r', join(folder, 'requirements.txt')];
    await run(join(into, 'bin/python'), install, { timeout: SET_UP_MS });
  });
  return {
    language: 'Python',
    command: ({ grid, name, copyset, address, data, socket }) => [
      '/usr/bin/env',
      `PYTHONPATH=${join(ROOT, 'proto')}`,
      join(environment, 'bin/python'),
      join(folder, 'node.py'),
      grid,
      name,
      copyset,
      address,
      data,
      socket,
    ],
  };
}

async function go(): Promise<ExampleNode> {
  const folder = join(EXAMPLES, 'go');
  const sources = readdirSync(folder).map((name) => join(folder, name));
  const built = await cached('go', [...sources, join(ROOT, 'proto/participant.proto')], async (into) => {
    cpSync(folder, into, { recursive: true });
    const tools = await cached('go-generators', GENERATORS, async (place) => {
      const env = { ...process.env, GOBIN: place };
      await run('go', ['install', ...GENERATORS.slice(0, 1)], { env, timeout: SET_UP_MS });
      await run('go', ['install', ...GENERATORS.slice(1)], { env, timeout: SET_UP_MS });
    });
    const opt = ['module=example/node'];
    const template = join(into, 'buf.gen.json');
    const plugins = ['protoc-gen-go', 'protoc-gen-go-grpc'];
    writeFileSync(
      template,
      JSON.stringify({
        version: 'v2',
        managed: {
          enabled: true,
          override: [{ file_option: 'go_package', value: 'example/node/participant' }],
        },
        plugins: plugins.map((name) => ({ local: join(tools, name), out: '.', opt })),
      }),
    );
    const proto = ['--path', 'proto/participant.proto', '--template', template, '--output', into];
    await run(join(ROOT, 'node_modules/.bin/buf'), ['generate', 'proto', ...proto], {
      cwd: ROOT,
      timeout: SET_UP_MS,
    });
    await run('go', ['build', '-o', 'node', '.'], { cwd: into, timeout: SET_UP_MS });
  });
  return {
    language: 'Go',
    command: ({ grid, name, copyset, address, data, socket }) => [
      join(built, 'node'),
      grid,
      name,
      copyset,
      address,
      data,
      socket,
    ],
  };
}

/** A folder that is made once for what it is made of: contents of files, or words. */
async function cached(
  what: string,
  of: readonly string[],
  make: (into: string) => Promise<void>,
): Promise<string> {
  const digest = createHash('sha256');
  for (const one of of) digest.update(existsSync(one) ? readFileSync(one) : one).update('\0');
  const place = join(CACHE, `${what}-${digest.digest('hex').slice(0, 16)}`);
  if (existsSync(place)) return place;
  const making = `${place}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  try {
    await make(making);
    renameSync(making, place);
  } catch (error) {
    // Another one may have been as quick.
    if (!existsSync(place)) throw error;
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return place;
}
