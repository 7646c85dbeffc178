import { isDeepStrictEqual } from 'node:util';
import { assertNever } from '../shared/domain/assert-never.ts';
import type { Failure } from '../shared/domain/errors.ts';
import type { FreezeKind, Mark, Role } from '../shared/domain/grid.ts';
import type { MemberAnswer, MemberCommand } from '../shared/domain/messages.ts';
import { formatToken } from '../shared/domain/token.ts';

interface KnownMember {
  readonly name: string;
  readonly role: Role;
  readonly kind: FreezeKind;
  readonly marksJournalFile: boolean;
  /** The agent that described it, as it was asked: `host:port`. */
  readonly address: string;
}

/**
 * Whether an agent may have said what it said.
 *
 * The coordinator's machine believes that a member has marked when its agent says so: a commit rests on agents
 * that do not lie. What a lie cannot be told from a truth by, no check finds. But an agent that answers for
 * another host's member, that has marked before it was asked, that gives another answer the second time, or that
 * names a journal as no file can be named, has shown that its word is worth nothing: its connection is cut, and
 * the checkpoint aborted everywhere.
 *
 * An answer that comes twice to the letter is none of that: a repeated command gets its first answer.
 */
export class AnswerCheck {
  readonly #members: ReadonlyMap<string, KnownMember>;
  /** What was asked of each member, and what it answered first. */
  readonly #asked = new Set<string>();
  readonly #answered = new Map<string, MemberAnswer>();

  constructor(members: readonly KnownMember[]) {
    this.#members = new Map(members.map((member) => [member.name, member]));
  }

  sent(member: string, command: MemberCommand): void {
    this.#asked.add(key(member, command));
  }

  /** Why it cannot be true; null where it can. */
  received(address: string, name: string, answer: MemberAnswer): Failure | null {
    const member = this.#members.get(name);
    if (member === undefined || member.address !== address)
      return untrue(name, `it answered '${answer.type}' for ${printable(name)}, which is not its member`);
    const command = commandOf(answer);
    if (command === null) return null;
    const asked = key(name, command);
    const token = command.token === undefined ? '' : ` ${formatToken(command.token)}`;
    const what = `'${answer.type}'${token}`;
    if (!this.#asked.has(asked)) return untrue(name, `it answered ${what}, which it was not asked`);
    const wrong = wrongValue(member, answer);
    if (wrong !== null) return untrue(name, `its ${what} has ${wrong}`);
    const first = `${answer.type} ${asked}`;
    const saidFirst = this.#answered.get(first);
    this.#answered.set(first, saidFirst ?? answer);
    if (saidFirst === undefined || isDeepStrictEqual(saidFirst, answer)) return null;
    return untrue(name, `it answered ${what} twice, and not the same`);
  }
}

type Asked = {
  readonly type: MemberCommand['type'];
  readonly token?: { epoch: number; counter: number; attempt: number };
};

/** The command that an answer is to; null for what may come unasked. */
function commandOf(answer: MemberAnswer): Asked | null {
  switch (answer.type) {
    case 'prepared':
      return { type: 'prepare' };
    case 'paused':
      return { type: 'pause', token: answer.token };
    case 'armed':
    // Also unasked, where the arm failed.
    case 'disarmed':
      return { type: 'arm', token: answer.token };
    case 'marked':
      return { type: 'freeze', token: answer.token };
    case 'released':
    case 'thawed':
      return { type: 'thaw', token: answer.token };
    case 'collected':
      return { type: 'collect', token: answer.token };
    case 'aborted':
    case 'failed':
    case 'refused':
      return null;
    default:
      return assertNever(answer);
  }
}

function key(member: string, { type, token }: { type: string; token?: Asked['token'] | null }): string {
  return `${type} ${token === undefined || token === null ? '' : formatToken(token)} ${member}`;
}

function wrongValue({ kind, role, marksJournalFile }: KnownMember, answer: MemberAnswer): string | null {
  if (answer.type === 'marked') {
    if (!isDuration(answer.fenceMs) || !isDuration(answer.markMs)) return 'a time that no freeze takes';
    if (answer.mark === null) return role === 'node' && kind !== 'observer' ? 'no mark' : null;
    if (kind === 'observer') return 'a mark, and it stores nothing';
    if (!isMark(answer.mark)) return 'a mark that names no journal file';
    return marksJournalFile && answer.mark.journalFile === null ? 'a mark without a journal file' : null;
  }
  if (answer.type === 'released') return isDuration(answer.thawMs) ? null : 'a time that no thaw takes';
  if (answer.type === 'collected')
    return /^[0-9a-f]{64}$/.test(answer.manifestDigest) ? null : 'a digest that is none';
  return null;
}

const DAY_MS = 24 * 60 * 60 * 1000;

function isDuration(ms: number): boolean {
  return ms >= 0 && ms < DAY_MS;
}

/** The journal map hands it to other programs: the name of a file, and no path. */
function isMark({ journalFile, position, name }: Mark): boolean {
  const isFile =
    journalFile === null || (/^[^/\\]{1,255}$/.test(journalFile) && !/^\.\.?$/.test(journalFile));
  return (
    isFile &&
    [journalFile ?? '', position, name].every((text) => text.length < 1000 && printable(text) === text)
  );
}

/** Nothing that a terminal would take for a command. */
function printable(text: string): string {
  return text.slice(0, 1000).replaceAll(/\p{C}/gu, '?');
}

function untrue(member: string, what: string): Failure {
  return {
    code: 'agent-untrue',
    message: `what the agent says of ${printable(member)} cannot be true: ${what}`,
    hint: 'it is not believed any more: look at its host and at who may change its agent; nothing was committed',
    member: printable(member),
  };
}
