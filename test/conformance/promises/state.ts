import { Buffer } from 'node:buffer';
import { access, copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GridDefinition } from '../../../shared/domain/grid.ts';
import type { Content, ParticipantDescription } from '../../../shared/domain/participant.ts';
import { descriptionAt, inFolder, madeOnce, restarted, runningOn } from '../brought-up.ts';
import { brief, type Lab } from '../lab.ts';
import { Broken, Unjudged, type ContractPromise } from '../promise.ts';

const REALM = ['realm-service'] as const;
const KEEPER = ['state-keeper'] as const;

const onPrimary = ({ primary }: ParticipantDescription): string | null =>
  primary ? null : 'this realm service is a satellite';
const onSatellite = ({ primary }: ParticipantDescription): string | null =>
  primary ? 'this realm service is the primary' : null;

/** What realm services and state keepers give away, and take back. */
export const statePromises: readonly ContractPromise[] = [
  {
    id: 'backup-file',
    says: "BackUpDatabase writes a copy of the realm's database, durable, into <data directory>/backups/.",
    roles: REALM,
    needs: ['files'],
    excuse: onPrimary,
    async check(lab) {
      const { file } = await backUp(lab);
      const found = await stat(join(lab.files.data, file)).catch(() => null);
      if (found === null) throw new Broken(`${file} is not there`);
      if (!found.isFile() || found.size === 0) throw new Broken(`${file} is no file with something in it`);
      return `${file} with ${found.size} bytes`;
    },
  },
  {
    id: 'backup-definition',
    says: 'BackUpDatabase: the definition, as text for people (JSON).',
    roles: REALM,
    excuse: onPrimary,
    async check(lab) {
      const text = Buffer.from((await backUp(lab)).definition).toString('utf8');
      try {
        JSON.parse(text);
      } catch {
        throw new Broken(`the definition is not JSON: ${brief(text)}`);
      }
      return `${text.length} characters of JSON`;
    },
  },
  {
    id: 'backup-recorded',
    says: "BackUpDatabase records the checkpoint's epoch and counter as the highest seen; the definition keeps its version.",
    roles: REALM,
    excuse: onPrimary,
    async check(lab) {
      const before = (await definitionOf(lab)).version;
      const { epoch, counter } = await backUp(lab);
      const { highestEpoch, highestCounter, definition } = await lab.participant.describe();
      if (definition?.version !== before)
        throw new Broken(`the definition had version ${before}, and has ${definition?.version ?? 'none'}`);
      const recorded = `${highestEpoch}/${highestCounter}`;
      if (recorded !== `${epoch}/${counter}`)
        throw new Broken(`recorded ${recorded}, given ${epoch}/${counter}`);
      return recorded;
    },
  },
  {
    id: 'backup-repeats',
    says: 'Repeats: BackUpDatabase repeated with the same operation has the same answer as once.',
    roles: REALM,
    excuse: onPrimary,
    async check(lab) {
      const { request, file } = await backUp(lab);
      const again = await lab.participant.backUpDatabase(request);
      if (again.file !== file) throw new Broken(`${file}, then ${again.file}`);
      return `${file} twice`;
    },
  },
  {
    id: 'satellite-names-primary',
    says: 'BackUpDatabase: a satellite answers FAILED_PRECONDITION and names its primary.',
    roles: REALM,
    excuse: onSatellite,
    async check(lab) {
      const { name, definition } = lab.description;
      const { failure } = await lab.refusal('BackUpDatabase', backUp(lab), 'participant-wrong-state');
      const text = `${failure.message} ${failure.hint}`;
      const others = (definition?.realmServices ?? []).filter((one) => one.name !== name);
      const named = others.find((one) => text.includes(one.name) || text.includes(one.address));
      if (named === undefined) throw new Broken(text);
      return named.name;
    },
  },
  {
    id: 'relocate-raises-version',
    says: 'Relocate changes the definition, durable; its version is raised by every change, and by nothing else.',
    roles: REALM,
    excuse: onPrimary,
    async check(lab) {
      const before = await definitionOf(lab);
      const one = processesOf(before)[0];
      if (one === undefined) throw new Unjudged('no process is defined');
      const moved = { ...one, address: one.address.replace(/:\d+$/, ':1') };
      const version = await lab.participant.relocate([moved]);
      const after = await definitionOf(lab);
      const again = await lab.participant.relocate([moved]);
      await lab.participant.relocate([one]);
      if (again !== version) throw new Broken(`asked for again: version ${version}, then ${again}`);
      if (version <= before.version) throw new Broken(`version ${before.version}, then ${version}`);
      const found = processesOf(after).find(({ name }) => name === one.name);
      if (found?.address !== moved.address)
        throw new Broken(`${one.name} has ${found?.address ?? 'no address'}`);
      return `version ${before.version}, then ${version}`;
    },
  },
  {
    id: 'relocate-all-or-none',
    says: 'Relocate changes addresses and directories, all or none.',
    roles: REALM,
    excuse: onPrimary,
    async check(lab) {
      const before = await definitionOf(lab);
      const one = processesOf(before)[0];
      if (one === undefined) throw new Unjudged('no process is defined');
      const moved = { ...one, address: one.address.replace(/:\d+$/, ':1') };
      const unknown = { ...moved, name: 'conformance-unknown' };
      const refused = await lab.participant.relocate([moved, unknown]).then(
        () => false,
        () => true,
      );
      const after = await definitionOf(lab);
      const changed = after.version !== before.version;
      if (changed) await lab.participant.relocate([one]);
      if (!refused) throw new Broken('it answers that all is done, of a process that it does not know too');
      if (changed) throw new Broken('it refused, and changed the definition');
      return 'refused, nothing changed';
    },
  },
  {
    id: 'keeper-state-repeats',
    says: 'SaveKeeperState: the state as bytes; the version is raised by every change of the state.',
    roles: KEEPER,
    async check(lab) {
      const { participant } = lab;
      const { operation } = lab.attempt();
      const once = await participant.saveKeeperState({ operation });
      await lab.hold();
      const twice = await participant.saveKeeperState({ operation });
      if (once.state.length === 0) throw new Broken('the state is empty');
      if (twice.version < once.version) throw new Broken(`version ${once.version}, then ${twice.version}`);
      const same = Buffer.from(once.state).equals(twice.state);
      if (twice.version === once.version && !same)
        throw new Broken(`version ${once.version} with different bytes`);
      return `version ${once.version}, ${once.state.length} bytes`;
    },
  },
  {
    id: 'recovery-taken',
    says: 'Files: started with a file live/recovery it takes it for its state, makes that durable, and removes the file.',
    roles: [...REALM, ...KEEPER],
    needs: ['files', 'start'],
    excuse: (description) => (description.role === 'realm-service' ? onPrimary(description) : null),
    async check(lab) {
      await recovered(lab);
      return 'live/recovery was taken';
    },
  },
];

/** What it said at a mark of what it holds, and what a process says that was started with what it gave away then. */
export const recovered = madeOnce((lab) =>
  inFolder(async (folder) => {
    const recovery = join(folder, 'data/live/recovery');
    await mkdir(join(folder, 'data/live'), { recursive: true });
    const content = await saveRecovery(lab, recovery);
    const description = await runningOn(lab, folder, async (started) => {
      const isTaken = async (): Promise<boolean> =>
        await access(recovery).then(
          () => false,
          () => true,
        );
      await lab.becomes(async () => started.isGone() || (await isTaken()), lab.pace.startMs);
      if (started.isGone()) throw new Broken(`the process ended: ${started.complaint()}`);
      if (!(await isTaken())) throw new Broken('live/recovery is still there');
      return await descriptionAt(lab, folder, started);
    });
    const again = await restarted(lab, folder, description);
    return { content, startedWith: description?.startedWith ?? null, again };
  }),
);

/** The state of a mark, as the agent takes it: right after, and by its version the same. */
async function saveRecovery(lab: Lab, recovery: string): Promise<Content | null> {
  const { participant, description } = lab;
  let content: Content | null = null;
  const isOfTheMark = async (): Promise<boolean> => {
    const before = (await participant.describe()).definition?.version;
    const { operation, cut } = await lab.whileQuiesced(async (attempt) => ({
      ...attempt,
      cut: await participant.switchJournal(attempt),
    }));
    content = cut.content;
    if (description.role === 'realm-service') {
      await copyFile(join(lab.files.data, (await backUp(lab)).file), recovery);
      return (await participant.describe()).definition?.version === before;
    }
    const { state, version } = await participant.saveKeeperState({ operation });
    await writeFile(recovery, state);
    return String(version) === cut.journalFile || cut.content === null;
  };
  if (await lab.becomes(isOfTheMark)) return content;
  throw new Unjudged('its state was another one right after each mark');
}

/** A checkpoint one above the highest that is recorded, so that the next real one is above it. */
async function backUp(lab: Lab) {
  const { highestEpoch, highestCounter } = await lab.participant.describe();
  const { operation } = lab.attempt();
  const request = { operation, checkpoint: 'conformance', epoch: highestEpoch, counter: highestCounter + 1 };
  const { file, definition } = await lab.participant.backUpDatabase(request);
  return { ...request, request, file, definition };
}

async function definitionOf({ participant }: Lab): Promise<GridDefinition> {
  const { definition } = await participant.describe();
  if (definition === null) throw new Unjudged('it has no definition');
  return definition;
}

function processesOf({ copysets, keepers, proxies }: GridDefinition) {
  return [...copysets.flatMap(({ nodes }) => nodes), ...keepers, ...proxies];
}
