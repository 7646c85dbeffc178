import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Programs } from './processes.ts';
import { ROOT } from './programs.ts';

/** What people install, installed below a folder: as npm does it, with nothing of the project beside it. */
export interface InstalledPackage {
  readonly programs: Programs;
  /** The file of one of its programs. */
  program(name: string): string;
}

/** Makes the archive, and installs it with what it names as its dependencies. Takes a minute. */
export function installPackage(folder: string): InstalledPackage {
  const prefix = join(folder, 'prefix');
  mkdirSync(prefix);
  run(folder, 'bash', [join(ROOT, 'scripts/package'), 'npm', '--into', folder]);
  const [archive = ''] = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  const quietly = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  run(folder, 'npm', ['install', '--prefix', prefix, '--omit=dev', ...quietly, join(folder, archive)]);
  const program = (name: string): string => join(prefix, 'node_modules', '.bin', name);
  return {
    program,
    programs: { 'coordinator/main.ts': program('stillpoint'), 'agent/main.ts': program('stillpoint-agent') },
  };
}

function run(cwd: string, program: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stdout}${stderr}`);
}
