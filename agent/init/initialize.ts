import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { failureOf, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { NAME, NAME_RULE } from '../../shared/domain/name.ts';
import { isThere } from '../../shared/runtime/is-there.ts';
import { hostPort, isAddress } from '../address.ts';
import { readAgentFile, type AgentFile } from '../agent-file.ts';
import type { Discovery } from '../engines/discovery.ts';
import { discoverMembers, engineOf, type MemberSettings } from '../engines/registry.ts';
import { hostFacts, type HostFacts } from './host-facts.ts';
import { fileExists, writeAgentFile, type AgentFileContent } from './written-file.ts';

interface Options {
  readonly config: string;
  readonly apply: boolean;
  readonly gridName: string | null;
  readonly repository: string | null;
  readonly listen: string;
  readonly host: string | null;
  readonly participants: readonly string[];
}

const DEFAULTS = { grid: 'grid', repository: '/srv/stillpoint', listen: '0.0.0.0:7411' };
const EVERYWHERE = /^(0\.0\.0\.0|::)$/;

/** Writes an agent's file of what this host has, and says, or does, what the members' servers must be told. */
export async function initialize(words: readonly string[], say: (line: string) => void): Promise<0 | 2> {
  const options = readOptions(words);
  // A name that cannot be looked at is no absent file: its reader says why.
  const isWritten = await isThere(options.config).catch(() => readAgentFile(options.config).then(() => true));
  if (!isWritten) await writeWhatIsFound(options, say);
  else if (!options.apply) throw fileExists(options.config);
  const file = await readAgentFile(options.config);
  const failures: Failure[] = [];
  for (const member of file.members) failures.push(...(await prepare(member, options.apply, say)));
  if (failures.length > 0) {
    say('then run it again: stillpoint-agent init --apply');
    return 2;
  }
  say(nextSteps(file, options));
  return 0;
}

function readOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      config: { type: 'string', default: '/etc/stillpoint/agent.yaml' },
      apply: { type: 'boolean', default: false },
      'grid-name': { type: 'string' },
      repository: { type: 'string' },
      listen: { type: 'string' },
      host: { type: 'string' },
      participant: { type: 'string', multiple: true, default: [] },
    },
  });
  const { listen = DEFAULTS.listen, host = null, 'grid-name': gridName = null } = values;
  if (!isAddress(listen)) throw bad(`--listen ${listen}`, 'write an address and a port: 0.0.0.0:7411');
  if (gridName !== null && !NAME.test(gridName)) throw bad(`--grid-name ${gridName}`, `it ${NAME_RULE}`);
  if (host !== null && !isAddress(`${host}:1`))
    throw bad(`--host ${host}`, 'write a host name or an address');
  const own = hostPort(listen).host;
  return {
    config: resolve(values.config),
    apply: values.apply,
    gridName,
    repository: values.repository ?? null,
    listen,
    host: host ?? (EVERYWHERE.test(own) ? null : own),
    participants: values.participant.map((path) => resolve(path.replace(/^unix:/, ''))),
  };
}

async function writeWhatIsFound(options: Options, say: (line: string) => void): Promise<void> {
  const folder = dirname(options.config);
  const facts = await hostFacts(folder, options.host);
  const found = await discoverMembers({ host: facts.host, folder, participants: options.participants });
  const members = found.members.filter(({ doubt }) => doubt === null);
  const content = contentOf(options, facts, found);
  await writeAgentFile(options.config, content);
  say(`${options.config} is written. This host is ${facts.host}, and has ${count(members.length)}:`);
  for (const { keys, doubt } of found.members) {
    const words = [keys['name'], keys['engine'], keys['address'], keys['data'] ?? keys['root']]
      .map(String)
      .join('  ');
    say(`  ${words}${doubt === null ? '' : ` (a comment in the file: ${doubt})`}`);
  }
  for (const note of found.notes) say(`note: ${note}`);
  for (const [key, { value, remark }] of Object.entries(content.keys))
    if (remark !== null) say(`look at ${key}: ${JSON.stringify(value)}: ${remark}`);
}

function contentOf(options: Options, facts: HostFacts, { members, notes }: Discovery): AgentFileContent {
  const said = [...new Set(members.flatMap(({ grid }) => grid ?? []))];
  const isSaid = said.length === 1 && options.gridName === null;
  const name = facts.certificate?.replace(/\.pem$/, '') ?? facts.host;
  const certificates = {
    ca: 'ca.pem',
    cert: `${name}.pem`,
    key: `${name}-key.pem`,
    ...(facts.hasList && { crl: 'crl.pem' }),
  };
  const line = (value: unknown, remark: string | null): { value: unknown; remark: string | null } => ({
    value,
    remark,
  });
  return {
    keys: {
      grid: line(
        options.gridName ?? (isSaid ? said[0] : DEFAULTS.grid),
        options.gridName !== null || isSaid ? null : 'not known here: as in the grid file (--grid-name)',
      ),
      listen: line(options.listen, null),
      host: line(facts.host, facts.doubt),
      tls: line(
        certificates,
        facts.certificate === null
          ? 'not there yet: stillpoint grid init makes them, and says what to copy where'
          : null,
      ),
      state: line('/var/lib/stillpoint', null),
      repository: line(
        options.repository ?? DEFAULTS.repository,
        options.repository === null
          ? 'not known here: as in the grid file, a directory that every host mounts (--repository)'
          : null,
      ),
    },
    members,
    notes,
  };
}

/** Says what a member needs, or does it. Resolves to what a person must do first. */
async function prepare(
  settings: MemberSettings,
  carriesOut: boolean,
  say: (line: string) => void,
): Promise<Failure[]> {
  try {
    const preparation = await engineOf(settings).prepare(settings);
    if (preparation === null) return [];
    if (carriesOut) for (const words of await preparation.apply()) say(`${settings.name}: ${words}`);
    else if (preparation.needs.length === 0) say(`${settings.name} needs nothing more`);
    else say(`${settings.name} needs, before its first checkpoint (stillpoint-agent init --apply does it):`);
    if (!carriesOut)
      for (const { where, lines } of preparation.needs)
        say([`  ${where}:`, ...lines.map((each) => `    ${each}`)].join('\n'));
    return [];
  } catch (error) {
    const failure = failureOf(error, { code: 'internal', hint: 'report it' });
    say(`problem (${settings.name}): ${failure.message}\n  hint: ${failure.hint}`);
    return [failure];
  }
}

function nextSteps(file: AgentFile, options: Options): string {
  const other = options.config === '/etc/stillpoint/agent.yaml' ? '' : ` --config ${options.config}`;
  return file.members.length === 0
    ? `next: add the members of this host to ${options.config}`
    : `next: stillpoint-agent --check${other}, and systemctl enable --now stillpoint-agent`;
}

function count(members: number): string {
  return members === 0 ? 'no member that was found' : members === 1 ? 'a member' : `${members} members`;
}

function bad(what: string, hint: string): StillpointError {
  return new StillpointError({ code: 'usage', message: `${what} cannot be used`, hint });
}
