import { failureOf } from '../shared/domain/errors.ts';
import type { Logger } from '../shared/runtime/log.ts';

const LOOK_EVERY_MS = 60_000;

/**
 * Takes up certificates and revocation lists that were renewed while the agent runs: within a minute, or at once on
 * SIGHUP (`systemctl reload`). Files come one after another: what does not fit together yet changes nothing, and is
 * looked at again. The same cause is told once.
 */
export class CertificateWatch {
  readonly #reload: () => Promise<boolean>;
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  readonly #timer: NodeJS.Timeout;
  readonly #onSignal = (): void => void this.look();
  #told = '';

  constructor(input: {
    readonly reload: () => Promise<boolean>;
    readonly log: Pick<Logger, 'info' | 'warn'>;
  }) {
    this.#reload = input.reload;
    this.#log = input.log;
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
    process.on('SIGHUP', this.#onSignal);
  }

  /** Never rejects. */
  async look(): Promise<void> {
    try {
      const isChanged = await this.#reload();
      this.#told = '';
      if (isChanged)
        this.#log.info({ event: 'certificatesReloaded' }, 'serving with certificates that were read again');
    } catch (error) {
      const { message } = failureOf(error, { code: 'certificate-unreadable', hint: '' });
      if (message !== this.#told)
        this.#log.warn({ event: 'certificatesKept' }, `certificates stay as they were: ${message}`);
      this.#told = message;
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    process.off('SIGHUP', this.#onSignal);
  }
}
