import { build, type Plugin } from 'esbuild';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * Builds the programs that tests start some thousand times, each with what it imports in a few files instead of some
 * hundred, and prints the folder in which they lie as in the sources: a start then costs half. They are the same code;
 * what changes sources for a test (mutants, a module loaded beside) runs the sources. Built once for the same sources.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const KEPT = join(ROOT, 'node_modules/.cache/stillpoint-programs');
const OLD_MS = 24 * 60 * 60_000;
const PROGRAMS = [
  'coordinator/main.ts',
  'agent/main.ts',
  'agent/guard/main.ts',
  'agent/engines/postgres/fence/acknowledge-thread.ts',
  'shared/repository/chunk-worker.ts',
  'test/reference-grid/main.ts',
  'test/reference-grid/control.ts',
  'test/reference-grid/conformance-programs.ts',
  'test/conformance/main.ts',
  'test/conformance/model/node.ts',
  'test/engines/killed-agent.ts',
];

function digestOfSources(): string {
  const digest = createHash('sha256');
  const sources = globSync('{agent,coordinator,shared,test}/**/*.ts', { cwd: ROOT }).sort();
  for (const path of ['package-lock.json', 'scripts/built-programs.ts', ...sources])
    digest.update(`${path}\0`).update(readFileSync(join(ROOT, path)));
  return digest.digest('hex').slice(0, 16);
}

/** A file of the sources finds what lies beside it where that lies among the programs. */
function placed(folder: string): Plugin {
  return {
    name: 'placed',
    setup: ({ onLoad }) =>
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        const url = pathToFileURL(join(folder, relative(ROOT, path).replace(/\.ts$/, '.js'))).href;
        return { contents: text.replaceAll('import.meta.url', JSON.stringify(url)), loader: 'ts' };
      }),
  };
}

async function buildInto(folder: string, final: string): Promise<void> {
  await build({
    absWorkingDir: ROOT,
    entryPoints: PROGRAMS,
    outbase: '.',
    outdir: folder,
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    sourcemap: 'linked',
    logLevel: 'warning',
    // Of the machine's own kind, or not installed.
    external: ['lmdb', 'pg-native'],
    // For the CommonJS modules among the packages.
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
    },
    plugins: [placed(final)],
  });
  copyFileSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(ROOT, 'proto'), join(folder, 'proto'));
}

const final = join(KEPT, digestOfSources());
if (!existsSync(final)) {
  mkdirSync(KEPT, { recursive: true });
  for (const name of readdirSync(KEPT))
    if (Date.now() - statSync(join(KEPT, name)).mtimeMs > OLD_MS)
      rmSync(join(KEPT, name), { recursive: true, force: true });
  const folder = mkdtempSync(join(KEPT, 'new-'));
  await buildInto(folder, final);
  // Another run that builds the same may be faster.
  try {
    renameSync(folder, final);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (!existsSync(final)) throw error;
  }
}
console.log(final);
