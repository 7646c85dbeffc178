import { execFile } from 'node:child_process';
import { serviceEnvironment } from './restore/run-as.ts';

/** systemctl itself gives up on a manager that does not answer after 25 s. */
const CALL_MS = 30_000;

/** Asks systemd, or tells it, about one unit. Resolves to what it wrote; rejects with its own words. */
export function systemctl(
  unit: string,
  [verb = '', ...options]: readonly string[],
  limitMs = CALL_MS,
): Promise<string> {
  const args = ['--no-ask-password', '--no-pager', verb, ...options, '--', unit];
  return new Promise((resolve, reject) => {
    const env = { ...serviceEnvironment(), LC_ALL: 'C' };
    execFile('systemctl', args, { cwd: '/', env, timeout: limitMs }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(stderr.trim() || error.message));
    });
  });
}

/** Of the text of /proc/PID/cgroup: a group for each hierarchy (https://man7.org/linux/man-pages/man7/cgroups.7.html). */
export function controlGroups(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(':').slice(2).join(':'));
}
