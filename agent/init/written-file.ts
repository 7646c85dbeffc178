import { StillpointError } from '../../shared/domain/errors.ts';
import type { FoundMember } from '../engines/discovery.ts';
import { yamlLine } from '../../shared/runtime/configuration.ts';
import { writeNewFile } from '../../shared/runtime/whole-file.ts';

/** A key of the file, and what to know of its value. */
interface Line {
  readonly value: unknown;
  readonly remark: string | null;
}

export interface AgentFileContent {
  /** All but the members, in order. */
  readonly keys: Readonly<Record<string, Line>>;
  readonly members: readonly FoundMember[];
  /** What was seen and is no member. */
  readonly notes: readonly string[];
}

const HEAD = `# The agent of this host, as stillpoint-agent init found it. Look at what has a remark.
# Is it right? stillpoint-agent --check. Every key: docs/agent.md and docs/engines/, in /usr/share/doc/stillpoint.
`;

/** The text of an agent's file. A remark stands above its key, so that no line grows long. */
function agentFileText({ keys, members, notes }: AgentFileContent): string {
  const own = Object.entries(keys).flatMap(([key, { value, remark }]) => linesOf('', key, value, remark));
  const sure = members.filter(({ doubt }) => doubt === null);
  const found = sure.flatMap(memberLines);
  const doubtful = members.flatMap((member) =>
    member.doubt === null
      ? []
      : [`  # ${oneLine(member.doubt)}:`, ...memberLines(member).map((line) => `  # ${line.slice(2)}`)],
  );
  const unseen = notes.map((note) => `# ${oneLine(note)}`);
  const list =
    found.length === 0 ? ['members: [] # without the brackets, when there are some'] : ['members:', ...found];
  return `${[HEAD, ...own, ...list, ...doubtful, ...unseen].join('\n')}\n`;
}

function memberLines({ keys, remarks }: FoundMember): string[] {
  return Object.entries(keys).flatMap(([key, value], index) => {
    const [first = '', ...rest] = linesOf('    ', key, value, remarks[key] ?? null);
    return [index === 0 ? `  - ${first.slice(4)}` : first, ...rest];
  });
}

function linesOf(indent: string, key: string, value: unknown, remark: string | null): string[] {
  return [
    `${indent}${key}: ${yamlLine(value)}`,
    ...(remark === null ? [] : [`${indent}# ^ ${oneLine(remark)}`]),
  ];
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}

/** Writes it for root alone. Rejects `agent-file-exists` where something is there, and leaves that as it is. */
export async function writeAgentFile(path: string, content: AgentFileContent): Promise<void> {
  try {
    await writeNewFile(path, agentFileText(content));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw fileExists(path);
    throw new StillpointError(
      {
        code: 'bad-configuration',
        message: `${path} cannot be written (${code ?? String(error)})`,
        hint: 'make its folder (mkdir -p /etc/stillpoint), run stillpoint-agent init as root, or name another file with --config',
      },
      undefined,
      { cause: error },
    );
  }
}

export function fileExists(path: string): StillpointError {
  return new StillpointError({
    code: 'agent-file-exists',
    message: `${path} is there already, and was left as it is`,
    hint: `stillpoint-agent init --apply prepares the servers that it names; move it away, or name another file with --config, to have one written anew`,
  });
}
