import type { Content, ParticipantDescription } from '../../../shared/domain/participant.ts';
import { blameless, broughtUp, madeOnce } from '../brought-up.ts';
import { lacking } from '../lab.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';
import { recovered } from './state.ts';

const NOT_TOLD = 'it does not tell what it was started with, which is allowed';

const whereTold = ({ startedWith }: ParticipantDescription): string | null =>
  startedWith === null ? NOT_TOLD : null;

/** How much more the mark says that there is, when more was written, against what a reader sees. */
const followsTheRows = madeOnce(async (lab) => {
  await lab.busyWriter();
  const mark = (): Promise<{ content: Content | null; rows: ReadonlySet<number> }> =>
    lab.whileSilent(() =>
      lab.whileQuiesced(async (attempt) => ({
        content: (await lab.participant.switchJournal(attempt)).content,
        rows: await lab.rows(),
      })),
    );
  const before = await mark();
  await lab.busyWriter();
  const after = await mark();
  if (before.content === null || after.content === null)
    throw new Unjudged('the mark does not say what it holds, which is allowed');
  const written = after.rows.size - before.rows.size;
  const counted = after.content.count - before.content.count;
  if (counted !== written) throw new Broken(`${written} rows were written, and its count grew by ${counted}`);
  if (after.content.digest === before.content.digest)
    throw new Broken(`${written} rows were written, and the digest is the same`);
  return `${written} rows more, as written, and another digest`;
});

/** What a process says that it holds, at the mark and when it starts. A restore believes nothing else. */
export const contentPromises: readonly ContractPromise[] = [
  {
    id: 'content-of-the-mark',
    says: 'SwitchJournal: content is what a process that is started on what is captured here comes up with.',
    roles: NODE,
    needs: ['writer'],
    check: followsTheRows,
  },
  {
    id: 'started-with-told',
    says: 'Describe: who says at the mark what it holds also tells what it was started with; else no restore of it can be proven.',
    roles: RESTING_ROLES,
    async check(lab) {
      const { content } = await lab.whileQuiesced((attempt) => lab.participant.switchJournal(attempt));
      const { startedWith } = await lab.participant.describe();
      if (content === null) return 'the mark does not say what it holds, which is allowed';
      if (startedWith === null)
        throw new Broken(`content is ${inWords(content)}, and started_with is not there`);
      return `started with ${inWords(startedWith)}, has ${inWords(content)}`;
    },
  },
  {
    id: 'started-with-stays',
    says: 'Describe: started_with is what the process had when it was started, whatever is written since.',
    roles: NODE,
    needs: ['writer'],
    excuse: whereTold,
    async check(lab) {
      const before = (await lab.participant.describe()).startedWith;
      await lab.busyWriter();
      const after = (await lab.participant.describe()).startedWith;
      if (!isEqual(before, after)) throw new Broken(`${inWords(before)}, and later ${inWords(after)}`);
      return `${inWords(after)}, also when more was written`;
    },
  },
  {
    id: 'started-with-the-mark',
    says: 'Describe: what is started on what was captured says in started_with what SwitchJournal said in content.',
    roles: NODE,
    needs: ['writer', 'files', 'start', 'socket'],
    excuse: whereTold,
    async check(lab) {
      await blameless(followsTheRows(lab));
      const { rows, content, restored } = await blameless(broughtUp(lab));
      const differing = lacking(rows, restored.rows) ?? lacking(restored.rows, rows);
      if (differing !== null) throw new Unjudged(`other rows came up: ${differing}`);
      return same(content, restored.startedWith);
    },
  },
  {
    id: 'started-with-recovery',
    says: 'Describe: what is started with live/recovery says in started_with what SwitchJournal said in content.',
    roles: RESTING_ROLES.filter((role) => role !== 'node'),
    needs: ['files', 'start', 'socket'],
    excuse: (description) =>
      description.role === 'realm-service' && !description.primary
        ? 'this realm service is a satellite'
        : whereTold(description),
    async check(lab) {
      const { content, startedWith } = await blameless(recovered(lab));
      return same(content, startedWith);
    },
  },
];

function same(content: Content | null, startedWith: Content | null): string {
  if (content === null) throw new Unjudged('the mark does not say what it holds, which is allowed');
  if (!isEqual(content, startedWith))
    throw new Broken(`${inWords(content)} at the mark, and started with ${inWords(startedWith)}`);
  return `${inWords(content)} at the mark, and started with as much`;
}

function isEqual(one: Content | null, other: Content | null): boolean {
  return one?.count === other?.count && one?.digest === other?.digest;
}

function inWords(content: Content | null): string {
  return content === null ? 'nothing said' : `${content.count} (${content.digest.slice(0, 12)})`;
}
