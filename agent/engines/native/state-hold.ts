import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Hold } from '../engine.ts';
import { breaksContract } from './contract.ts';
import type { Operation } from './operation.ts';
import type { NativeSettings } from './settings.ts';

/** Holds a primary realm service or a state keeper still, with all others. */
export class StateHold implements Hold {
  readonly #settings: NativeSettings;
  readonly #operation: Operation;
  #definitionVersion: number | null = null;

  constructor(settings: NativeSettings, operation: Operation) {
    this.#settings = settings;
    this.#operation = operation;
  }

  /** As of the last arm. */
  get definitionVersion(): number | null {
    return this.#definitionVersion;
  }

  prepare(): Promise<void> {
    return this.#operation.calls.run(async () => {
      await this.#operation.begin();
    });
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#operation.calls.run(() =>
      this.#operation.arm((description) => {
        this.#definitionVersion = description.definition?.version ?? null;
        return this.#settings.role !== 'realm-service' || description.primary;
      }),
    );
  }

  /** An arm only looks. */
  disarm(): Promise<void> {
    return Promise.resolve();
  }

  freeze(token: Token): ReturnType<Hold['freeze']> {
    return this.#operation.calls.run(async () => {
      const frozen = await this.#operation.freeze(token);
      const said = this.#operation.cut.journalFile;
      // Seen here and not when its state is compared with it: there it would look like a state that changed.
      if (!/^\d+$/.test(said))
        throw breaksContract(
          this.#settings,
          `in the answer to SwitchJournal, journal_file is ${said}`,
          'markNamesState',
        );
      return frozen;
    });
  }

  thaw(token: Token, released: () => void): Promise<ThawProof> {
    return this.#operation.calls.run(() => this.#operation.thaw(token, released));
  }

  release(): Promise<void> {
    return this.#operation.release();
  }
}
