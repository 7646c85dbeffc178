import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { StillpointError, type Failure } from '../shared/domain/errors.ts';
import { expiresSoon, expiryOf, loadTls, outOfTime } from '../shared/rpc/tls-files.ts';
import { isThere } from '../shared/runtime/is-there.ts';
import { loadAgentFile, type AgentFile } from './agent-file.ts';
import { hostPort } from './address.ts';
import { engineOf } from './engines/registry.ts';

const LOOK_MS = 10_000;

type Finding = Pick<Failure, 'message' | 'hint'>;

/** What `--check` found: mistakes of the file, and what to know besides. */
export interface CheckedFile {
  readonly problems: readonly Finding[];
  readonly notes: readonly string[];
}

/**
 * Says whether an agent's file is right, for a person who wants to know before a restart: reads, connects, and changes
 * nothing. Nothing is locked, so it may be run beside the agent. Rejects where the file itself cannot be used.
 */
export async function checkAgentFile(path: string): Promise<CheckedFile> {
  const file = await loadAgentFile(path);
  const problems = [...(await certificateProblems(file))];
  const notes = problems.length === 0 ? await certificateNotes(file) : [];
  notes.push(...(await directoryNotes(file)), ...(await listenNotes(file)));
  if (file.documents !== undefined) {
    const { checkDocuments } = await import('./documents/check.ts');
    const found = await checkDocuments(file.documents);
    problems.push(...found.problems);
    notes.push(...found.notes);
  }
  for (const member of file.members) {
    const description = await (await engineOf(member).create(member)).describe(AbortSignal.timeout(LOOK_MS));
    // One that is down is as it is; the file says nothing wrong of it.
    if (!description.running)
      notes.push(`${member.name} does not run: ${description.warnings.map(({ text }) => text).join('; ')}`);
    else problems.push(...description.problems);
  }
  return { problems, notes };
}

async function certificateProblems({ tls }: AgentFile): Promise<Finding[]> {
  try {
    const { cert } = await loadTls(tls);
    const cause = outOfTime(cert);
    return cause === null
      ? []
      : [{ message: `${tls.cert}: ${cause}`, hint: 'renew it with stillpoint pki renew, and copy it here' }];
  } catch (error) {
    if (error instanceof StillpointError) return [error.failure];
    throw error;
  }
}

async function certificateNotes({ tls }: AgentFile): Promise<string[]> {
  const { own, ca } = expiryOf(await loadTls(tls));
  const told = [
    { path: tls.cert, words: expiresSoon(own), remedy: 'renew it with stillpoint pki renew' },
    { path: tls.ca, words: expiresSoon(ca), remedy: 'docs/security.md says how a CA is replaced' },
  ];
  return told.flatMap(({ path, words, remedy }) => (words === null ? [] : [`${path} ${words}: ${remedy}`]));
}

async function directoryNotes({ state, repository }: AgentFile): Promise<string[]> {
  const notes = await placeNotes(state, `${state} is not there yet: the agent makes it`);
  if (!repository.includes('://'))
    notes.push(...(await placeNotes(repository, `${repository} is not there now: is it mounted?`)));
  return notes;
}

async function placeNotes(path: string, absent: string): Promise<string[]> {
  try {
    return (await isThere(path)) ? [] : [absent];
  } catch (error) {
    return [`${path} cannot be looked at: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/** Debian and Ubuntu have a line in /etc/hosts by which a host's own name is 127.0.1.1. */
async function listenNotes({ listen }: AgentFile): Promise<string[]> {
  const { host, port } = hostPort(listen);
  if (isIP(host) !== 0) return [];
  const found = await lookup(host).catch(() => null);
  if (found === null) return [`${host} of listen has no address on this host`];
  if (!found.address.startsWith('127.') && found.address !== '::1') return [];
  const named = await readFile('/etc/hosts', 'utf8').then(
    (text) => text.includes(host),
    () => false,
  );
  return [
    `${host} is ${found.address} on this host${named ? ' (/etc/hosts)' : ''}: no other host reaches the agent there; write listen: "0.0.0.0:${port}" and host: ${host}`,
  ];
}
