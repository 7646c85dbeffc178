import { StillpointError, type Failure } from '../../../../shared/domain/errors.ts';
import type { Finding } from '../../engine.ts';
import { hasUnit, stopFindings } from '../../restore/unit.ts';
import { freeBytesAt } from '../../../room-watch.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import { serverProcesses } from '../server/host-servers.ts';
import { serversOf, startOf, type InfinispanSettings } from '../settings.ts';
import { describeInfinispan, type Looking } from './describe.ts';
import { mustBeAdministrator } from './rights.ts';
import { archivePlace } from './room.ts';

const ASK_MS = 5000;

/** What `grid doctor` says of a server beyond what preflight looks at. Changes nothing that stays. */
export async function diagnoseInfinispan(settings: InfinispanSettings, looking: Looking): Promise<Finding[]> {
  const { running, problems } = await describeInfinispan(settings, looking);
  const canBeAsked = running && !problems.some(({ code }) => NOT_ASKED.includes(code));
  const found = await Promise.all([
    canBeAsked ? rightsOf(settings, looking.signal) : [],
    canBeAsked ? connectorsOf(settings, looking.signal) : [],
    canBeAsked ? peersOf(settings, looking.signal) : [],
    roomOf(settings),
    supervisionOf(settings),
  ]);
  return [...(running ? [] : [problem(notRunning(settings))]), ...found.flat()];
}

/** What speaks against asking a server anything more. */
const NOT_ASKED = [
  'infinispan-unreachable',
  'infinispan-certificate',
  'infinispan-refused',
  'infinispan-secret',
];

async function rightsOf(settings: InfinispanSettings, signal: AbortSignal): Promise<Finding[]> {
  return asked(settings, signal, async (server, bounded) => {
    await mustBeAdministrator(server, bounded);
    return [];
  });
}

async function connectorsOf(settings: InfinispanSettings, signal: AbortSignal): Promise<Finding[]> {
  return asked(settings, signal, async (server, bounded) => {
    const connectors = await server.connectors(bounded);
    const passing = connectors.filter(({ protocol, isEnabled }) => isEnabled && PASSING.has(protocol));
    if (passing.length === 0) return [];
    const names = passing.map(({ name }) => name).join(', ');
    return [
      {
        level: 'warning',
        failure: {
          code: 'infinispan-connectors',
          message: `clients of ${names} are not refused by ignored caches: these connectors are stopped while the cluster is held, and their clients' connections end`,
          hint: 'have those clients connect again; or take connectors that nobody uses from the endpoints of the servers',
        },
      },
    ];
  });
}

const PASSING: ReadonlySet<string> = new Set(['resp', 'memcached']);

/** Through them a hold ends when this server is down. */
async function peersOf(settings: InfinispanSettings, signal: AbortSignal): Promise<Finding[]> {
  if (settings.peers.length === 0)
    return asked(settings, signal, async (server, bounded) => {
      const { members } = await server.container(bounded);
      if (members.length === 1) return [];
      return [
        {
          level: 'warning',
          failure: {
            code: 'infinispan-peers',
            message: `${settings.name} names no other server of its cluster: a hold that cannot be ended through its own server stays until that is back`,
            hint: "name them: peers: [https://HOST:11222, …] of the member in the agent's file",
          },
        },
      ];
    });
  const peers = serversOf(settings).slice(1);
  const found = await Promise.all(
    peers.map((peer) =>
      asked({ ...settings, url: peer.url }, signal, async (server, bounded) => {
        await server.ignored(bounded);
        return [];
      }),
    ),
  );
  return found.flat().map(({ failure }) => ({ level: 'warning', failure }));
}

/** How much room there is, a look says; that it can be seen at all, only here. */
async function roomOf(settings: InfinispanSettings): Promise<Finding[]> {
  const place = archivePlace(settings);
  if ((await freeBytesAt(place)) !== null) return [];
  return [
    problem({
      code: 'data-not-readable',
      message: `${place} cannot be looked at`,
      hint: `correct root of ${settings.name} in the agent's file: the directory of the server with conf and data; let the agent run as root or as the server's user`,
    }),
  ];
}

async function supervisionOf(settings: InfinispanSettings): Promise<Finding[]> {
  if (!hasUnit(settings)) return [];
  const process = (await serverProcesses()).find(({ root }) => root === settings.root);
  return stopFindings(settings, process?.pid ?? null);
}

async function asked(
  settings: InfinispanSettings,
  signal: AbortSignal,
  ask: (server: InfinispanServer, signal: AbortSignal) => Promise<Finding[]>,
): Promise<Finding[]> {
  const server = new InfinispanServer(settings);
  try {
    return await ask(server, AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]));
  } catch (error) {
    if (error instanceof StillpointError) return [problem(error.failure)];
    if (signal.aborted) throw error;
    return [problem(slow(settings))];
  } finally {
    server.close();
  }
}

function problem(failure: Failure): Finding {
  return { level: 'problem', failure };
}

function notRunning(settings: InfinispanSettings): Failure {
  const { name, url } = settings;
  const command = startOf(settings);
  return {
    code: 'member-down',
    message: `${name} does not run`,
    hint: `start it${command === null ? '' : `: ${command}`}; where it runs, url (${url}) and root in the agent's file must be its own`,
  };
}

function slow({ name, url }: InfinispanSettings): Failure {
  return {
    code: 'infinispan-slow',
    message: `${name}: the server at ${url} did not answer within ${ASK_MS / 1000} s`,
    hint: 'look at its log and at the load of its host',
  };
}
