import { BY_ITSELF, type Assignment } from '../../shared/domain/assignment.ts';
import type { MemberManifest } from '../../shared/domain/manifest.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import type { Mark, MemberDescription } from '../../shared/domain/grid.ts';
import type { ScriptedAgents } from './scripted-agents.ts';

export const MARK = { journalFile: '0000000100000000000000A3', position: '0/A3000188', name: 'mark' };

export type ManifestHead = Omit<MemberManifest, 'artifacts'>;

export function asItIs(manifest: ManifestHead): ManifestHead {
  return manifest;
}

interface HonestAgent {
  readonly agents: ScriptedAgents;
  readonly host: string;
  readonly member: string;
  readonly checkpoint: string;
  /** As it was told in the prepare. Not set: it stands for itself, and is copied. */
  readonly assignment?: Assignment;
  /** What it stores instead of its manifest. */
  manifestOf(manifest: ManifestHead): ManifestHead;
}

/** What an agent says that is asked for a checkpoint of its member, and stores something of it. */
export async function honestAnswers(
  agent: HonestAgent,
  command: MemberCommand,
): Promise<readonly MemberAnswer[]> {
  const { incarnation } = descriptionOf(agent);
  switch (command.type) {
    case 'prepare':
      return [{ type: 'prepared' }];
    case 'pause':
      return [{ type: 'paused', token: command.token }];
    case 'arm':
      return [{ type: 'armed', token: command.token, incarnation }];
    case 'freeze':
      return [
        { type: 'marked', token: command.token, incarnation, mark: markOf(agent), fenceMs: 1, markMs: 1 },
      ];
    case 'thaw':
      return [
        { type: 'released', token: command.token, thawMs: 1 },
        { type: 'thawed', token: command.token, proof: { type: 'held', incarnation } },
      ];
    case 'collect':
      return [{ type: 'collected', token: command.token, ...(await store(agent, command)) }];
    case 'abort':
      return [{ type: 'aborted', state: 'running' }];
    default:
      return [];
  }
}

async function store(
  agent: HonestAgent,
  { token }: Extract<MemberCommand, { type: 'collect' }>,
): Promise<{ manifestDigest: string; sizeBytes: number; storedBytes: number }> {
  const { agents, host, member: name, checkpoint, assignment = BY_ITSELF } = agent;
  const writer = agents.repository.beginMember('orders', checkpoint);
  if (assignment.part === 'whole')
    await writer.file({ path: 'base/1', mode: 0o600, mtimeMs: 1 }, rowsOf(name));
  const { role, copyset, engine, address, version, dataIdentity, primary, freezeKind, traits } =
    descriptionOf(agent);
  const member = {
    name,
    host,
    role,
    copyset,
    engine,
    address,
    version,
    dataIdentity,
    primary,
    freezeKind,
    traits,
    assignment,
  };
  return writer.finish(
    agent.manifestOf({
      format: 1,
      grid: 'orders',
      checkpoint,
      token,
      member,
      mark: markOf(agent),
      engineFacts: {},
    }),
  );
}

async function* rowsOf(name: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(`rows of ${name}`));
}

function markOf(agent: HonestAgent): Mark | null {
  return descriptionOf(agent).freezeKind === 'observer' ? null : MARK;
}

function descriptionOf({ agents, host, member: name }: HonestAgent): MemberDescription {
  const members = agents.hosts.find((one) => one.host === host)?.members ?? [];
  const member = members.find((one) => one.name === name);
  if (member === undefined) throw new Error(`no member ${name} on ${host}`);
  return member;
}
