import { spawn, type ChildProcess } from 'node:child_process';

/** What started the agent is told by systemd-notify, which systemd brings with it: Node has no datagrams of Unix. */
const TELL = 'while read -r words; do systemd-notify "$words"; done';

/** Of the time that the watchdog gives us, so that one word may come late. */
const WORDS_IN_A_WATCH = 3;

/**
 * systemd, where it started us and wants to know how we are (`Type=notify`, `WatchdogSec=` in a unit); else nobody. One
 * small shell starts a systemd-notify for each word: it would cost us more to start one from here, in the middle of a
 * freeze perhaps.
 */
export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #path: string | undefined;
  readonly #watchMs: number;
  #teller: ChildProcess | null = null;
  #watch: NodeJS.Timeout | null = null;
  #isReady = false;

  /** Takes what it needs out of the environment: what we start must not speak for us. */
  constructor(environment: NodeJS.ProcessEnv) {
    this.#socket = environment['NOTIFY_SOCKET'];
    this.#path = environment['PATH'];
    this.#watchMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1000;
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
  }

  /** From now on the watchdog hears from us, for as long as our event loop turns. */
  ready(status: string): void {
    this.#isReady = true;
    this.#tell('READY=1', `STATUS=${status}`);
    if (this.#watchMs > 0)
      this.#watch ??= setInterval(() => this.#tell('WATCHDOG=1'), this.#watchMs / WORDS_IN_A_WATCH).unref();
  }

  /** Our last word. */
  stopping(): void {
    if (!this.#isReady) return;
    this.#isReady = false;
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#tell('STOPPING=1');
    this.#teller?.stdin?.end();
  }

  #tell(...words: string[]): void {
    if (this.#socket === undefined) return;
    this.#teller ??= this.#startTeller(this.#socket);
    for (const word of words) this.#teller.stdin?.write(`${word}\n`);
  }

  /** One that is gone is started again with the next word. */
  #startTeller(socket: string): ChildProcess {
    const teller = spawn('/bin/sh', ['-c', TELL], {
      stdio: ['pipe', 'ignore', 'inherit'],
      env: { PATH: this.#path, NOTIFY_SOCKET: socket },
    });
    const gone = (): void => {
      if (this.#teller === teller) this.#teller = null;
    };
    teller.once('error', gone).once('exit', gone).unref();
    teller.stdin.on('error', gone);
    return teller;
  }
}
