import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** nobody: a server does not run as root. */
const SERVER = 65_534;
const isRoot = process.getuid?.() === 0;
const AS_SERVER = isRoot ? `setpriv --reuid ${SERVER} --regid ${SERVER} --clear-groups` : '';

export function giveToServer(directory: string): void {
  if (isRoot) chownSync(directory, SERVER, SERVER);
}

/**
 * A `systemctl` for hosts without systemd, first on PATH until `remove`. It has one unit, which runs a process that sits
 * in `data` as a server does; it is masked and started as systemd would. A job that is waited for never ends.
 */
export class FakeSystemctl {
  readonly #folder: string;
  readonly #path = process.env['PATH'] ?? '';

  constructor(folder: string, data: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    this.say('file', '/lib/systemd/system/server@.service');
    writeFileSync(join(folder, 'systemctl'), script(folder, data));
    chmodSync(join(folder, 'systemctl'), 0o755);
    process.env['PATH'] = `${folder}:${this.#path}`;
  }

  /** Ends what its unit runs, too. */
  remove(): void {
    rmSync(join(this.#folder, 'refuse'), { force: true });
    spawnSync(join(this.#folder, 'systemctl'), ['stop', '--no-block', 'any']);
    process.env['PATH'] = this.#path;
  }

  say(what: 'file' | 'id' | 'load' | 'active' | 'group' | 'refuse', value: string): void {
    writeFileSync(join(this.#folder, what), value);
  }

  isMasked(): boolean {
    return existsSync(join(this.#folder, 'masked'));
  }

  /** The verbs that changed something, in order. */
  calls(): string[] {
    const path = join(this.#folder, 'calls');
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  }

  forget(): void {
    writeFileSync(join(this.#folder, 'calls'), '');
  }
}

function script(folder: string, data: string): string {
  return `#!/bin/bash
cd ${folder}
options=" $* " verb=
for word in "$@"; do case $word in -*) ;; *) verb=\${verb:-$word}; unit=$word ;; esac; done
running() { [ -e ${data}/postmaster.pid ] && [[ $(cut -d' ' -f3 /proc/$(cat ${data}/postmaster.pid)/stat 2>/dev/null) == [SR] ]]; }
[ $verb = show ] || echo $verb >> calls
[ "$(cat refuse 2>/dev/null)" = $verb ] && { echo "Failed to $verb $unit: Access denied" >&2; exit 4; }
case $verb in start|stop) [[ $options == *" --no-block "* ]] || exec sleep 1000 ;; esac
case $verb in
  show)
    if [ -e masked ]; then load=masked; else load=$(cat load 2>/dev/null || echo loaded); fi
    running && active=$(cat active 2>/dev/null || echo active) sub=running || { active=inactive sub=dead; }
    group=$(cat group 2>/dev/null || tail -n1 /proc/$$/cgroup | cut -d: -f3-)
    printf '%s\\n' "Id=$(cat id 2>/dev/null || echo $unit)" LoadState=$load ActiveState=$active SubState=$sub Result=success "FragmentPath=$(cat file)" "ControlGroup=$group" ;;
  mask) [[ $options == *" --runtime "* ]] && touch masked ;;
  unmask) [[ $options == *" --runtime "* ]] && rm -f masked ;;
  start)
    [ -e masked ] && { echo "Failed to start $unit: Unit $unit is masked." >&2; exit 1; }
    cd ${data}; setsid ${AS_SERVER} env --default-signal=QUIT sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > ${data}/postmaster.pid ;;
  stop) running && kill $(cat ${data}/postmaster.pid); rm -f ${data}/postmaster.pid ;;
esac
exit 0
`;
}
