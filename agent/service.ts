import type { ServerStream } from '../shared/rpc/agent-server.ts';
import type { Alarm } from '../shared/runtime/clock.ts';
import { ImageReader } from './backups.ts';
import type { ServiceContext, Work } from './claimed-work.ts';
import { HostClaim } from './host-claim.ts';
import { describeHost, diagnoseHost } from './describe.ts';
import { shareNext } from './share-next.ts';
import { StreamSession, type Looks } from './stream-session.ts';

/** So long nobody speaks to an agent before it is at rest. */
const REST_MS = 20_000;

/** What the agent does for coordinators: one StreamSession for each stream, one claim for the host. */
export class Service {
  readonly #context: ServiceContext;
  readonly #claim: HostClaim<Work>;
  readonly #sessions = new Set<StreamSession>();
  readonly #looks: Looks;
  readonly #rest: Alarm;
  #isEnding = false;

  constructor(context: ServiceContext) {
    this.#context = context;
    this.#claim = new HostClaim(context.log, context.surroundings.clock);
    this.#rest = context.surroundings.clock.alarm(() => {
      if (this.#claim.mayHold()) this.#restLater();
      else context.surroundings.rested();
    });
    this.#looks = {
      describe: shareNext(() => describeHost(context, this.#claim)),
      diagnose: shareNext(() => diagnoseHost(context)),
      images: new ImageReader(context),
    };
  }

  /** What is held on this host, by whichever stream. */
  get claim(): Pick<HostClaim<Work>, 'frozenMembers' | 'mayHold' | 'unfinished'> {
    return this.#claim;
  }

  /** Why nobody new is served; null as long as everybody is. What a stream claimed now would outlive the end of it all. */
  get refusal(): string | null {
    return this.#isEnding ? 'the agent is ending, and serves nobody new' : null;
  }

  serve(stream: ServerStream): void {
    const session = new StreamSession(this.#context, this.#claim, this.#looks, stream);
    this.#sessions.add(session);
    this.#rest.set(null);
    void session.run().finally(() => {
      this.#sessions.delete(session);
      if (this.#sessions.size === 0 && !this.#isEnding) this.#restLater();
    });
  }

  #restLater(): void {
    this.#rest.set(this.#context.surroundings.clock.now() + REST_MS);
  }

  /** Ends every operation as if its coordinator had gone. Resolves when no member is held any more. */
  async end(): Promise<void> {
    this.#isEnding = true;
    this.#rest.set(null);
    await Promise.all([...this.#sessions].map((session) => session.end()));
    await this.#claim.ended();
  }
}
