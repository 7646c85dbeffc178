import type { ImageManifest, ImageSummary, Stamp } from '../shared/domain/backup-set.ts';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { AgentRequest } from '../shared/domain/wire.ts';
import { memberOf } from './agent-member.ts';
import type { ServiceContext, Work } from './claimed-work.ts';
import type { Images } from './engines/engine.ts';
import { engineOf } from './engines/registry.ts';
import type { HostClaim } from './host-claim.ts';
import { imagesOf, openImage } from './open-image.ts';
import { lieOf } from './stopped-files.ts';

// What an agent knows of backups that operators make with tools of their own.

type Context = Pick<ServiceContext, 'file' | 'members' | 'repository' | 'state'>;
type Asked<Type extends AgentRequest['type']> = Extract<AgentRequest, { type: Type }>;

const DESCRIBE_TIMEOUT_MS = 10_000;
/** Beyond that their names fit into no message. */
const MOST_JOURNAL_FILES = 10_000;

/** How the member's host stands. What holds it is looked at first: whatever the rest takes, that was so when it was asked. */
export async function stampOf(
  { file, members, state }: Context,
  { held }: Pick<HostClaim<Work>, 'held'>,
  name: string,
): Promise<Stamp> {
  const { epoch = 0, counter = 0 } = state.highestToken() ?? {};
  const work = held?.work.checkpoint ?? null;
  const heldFor = work?.heldForJob(name) ?? null;
  const heldBy = held === null || heldFor === null ? null : { operation: held.operation, ...heldFor };
  const { engine } = memberOf(members, name);
  const { running, incarnation } = await engine.describe(AbortSignal.timeout(DESCRIBE_TIMEOUT_MS));
  if (running || (await engine.isRunning())) return { epoch, counter, heldBy, incarnation, stoppedAs: null };
  const settings = file.members.find((member) => member.name === name);
  const stoppedAs = settings === undefined ? null : await lieOf(engineOf(settings).directories(settings));
  // Started meanwhile: what was seen is nothing.
  const isDown = !(await engine.isRunning());
  return { epoch, counter, heldBy, incarnation: '', stoppedAs: isDown ? stoppedAs : null };
}

/** Reads images: of a member one at a time, whoever asks. */
export class ImageReader {
  readonly #context: Context;
  readonly #reading = new Set<string>();

  constructor(context: Context) {
    this.#context = context;
  }

  async read(
    { set, member, image }: Asked<'readImage'>,
    signal: AbortSignal,
    progress: (bytesDone: number) => void,
  ): Promise<ImageSummary> {
    const { file, repository } = this.#context;
    return this.#alone(member, async (images) => {
      const found = await images.read(image, signal, progress).catch((error: unknown) => {
        throw signal.aborted ? givenUp(member, image) : error;
      });
      if (signal.aborted) throw givenUp(member, image);
      if (found.journalFiles.length > MOST_JOURNAL_FILES) throw tooManyJournals(found);
      const { digest } = await (await repository()).saveImage(file.grid, set, found);
      return summaryOf(found, digest);
    });
  }

  /** Rejects with what keeps the image from being brought to the mark. */
  async check({ member, checkpoint, mark, image }: Asked<'checkImage'>, signal: AbortSignal): Promise<void> {
    const { file, repository, members } = this.#context;
    const { engine } = memberOf(members, member);
    await this.#alone(member, async () => {
      const place = { grid: file.grid, checkpoint, source: mark };
      await openImage(await repository(), { name: member, engine }, place, image, signal);
    });
  }

  async #alone<T>(member: string, work: (images: Images) => Promise<T>): Promise<T> {
    const images = imagesOf(memberOf(this.#context.members, member));
    if (this.#reading.has(member)) throw imageBusy(member);
    this.#reading.add(member);
    try {
      return await work(images);
    } finally {
      this.#reading.delete(member);
    }
  }
}

function summaryOf(image: ImageManifest, digest: string): ImageSummary {
  const { engine, dataIdentity, entries, firstJournalFile, journalFiles } = image;
  const files = entries.filter((entry) => entry.kind === 'file');
  return {
    digest,
    engine,
    dataIdentity,
    files: files.length,
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    firstJournalFile,
    journalFiles,
  };
}

function imageBusy(member: string): StillpointError {
  return new StillpointError(
    {
      code: 'image-busy',
      message: `an image of ${member} is being read already`,
      hint: 'wait until that is done, then ask again',
      member,
    },
    EXIT.refused,
  );
}

function givenUp(member: string, image: string): StillpointError {
  return new StillpointError({
    code: 'image-given-up',
    message: `the image ${image} of ${member} was not read to its end: who asked for it is gone`,
    hint: `name it again when it can be waited for: stillpoint set end SET ${member} --image ${image}`,
    member,
  });
}

function tooManyJournals({ member, image, journalFiles }: ImageManifest): StillpointError {
  return new StillpointError(
    {
      code: 'image-unfit',
      message: `${member}: its image ${image} has ${journalFiles.length} journal files, more than ${MOST_JOURNAL_FILES}`,
      hint: 'keep those that were archived out of it: the agent file says where these are (journals: DIR)',
      member,
    },
    EXIT.refused,
  );
}
