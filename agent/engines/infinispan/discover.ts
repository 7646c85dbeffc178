import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { basename, join } from 'node:path';
import { beforePort } from '../../address.ts';
import type { Discovery, FoundMember, HostToLookAt } from '../discovery.ts';
import { seesTheSame, unitOf } from '../host-processes.ts';
import { answers } from '../restore/processes.ts';
import { propertyOf, serverProcesses, type ServerProcess } from './server/host-servers.ts';
import { withoutComments } from './server/xml.ts';

/** Where a server listens, as far as its configuration and its command line say. */
interface Endpoint {
  /** An address, a host's name, or a kind of address, as SITE_LOCAL. */
  readonly bound: string;
  readonly port: number;
}

const USUAL_PORT = 11222;

/** The servers that run on this host. Nothing is asked of them: who may ask, the agent's file will say. */
export async function discoverInfinispan(host: HostToLookAt): Promise<Discovery> {
  const members: FoundMember[] = [];
  const notes: string[] = [];
  for (const server of await serverProcesses()) {
    const conf = join(server.root, 'conf');
    if (!(await seesTheSame(server.pid, conf))) {
      notes.push(
        `process ${server.pid} is an Infinispan server in a container: the agent of that server belongs there`,
      );
      continue;
    }
    members.push(await memberOf(server, host));
  }
  return { members, notes };
}

async function memberOf(server: ServerProcess, host: HostToLookAt): Promise<FoundMember> {
  const file = join(server.root, 'conf', server.configuration ?? 'infinispan.xml');
  const xml = withoutComments(await readFile(file, 'utf8').catch(() => ''));
  const property = (text: string): string => resolveProperties(text, server.args);
  const cluster = property(
    /<transport\b[^>]*?\scluster="([^"]*)"/.exec(xml)?.[1] ?? '${infinispan.cluster.name:cluster}',
  );
  const container = property(/<cache-container\b[^>]*?\sname="([^"]*)"/.exec(xml)?.[1] ?? 'default');
  const { bound, port } = endpointOf(server, xml, property);
  const hasTls = /<ssl\b/.test(xml);
  const isOpen = !/<endpoints?\b[^>]*\ssecurity-realm=/.test(xml);
  const { unit, why } = await unitOf(server.pid);
  const places = addressesOf(bound, host.host).map((address) => `${beforePort(address)}:${port}`);
  const there = await firstThatAnswers(places);
  const asked = there ?? places[0] ?? '';
  return {
    keys: {
      name: nameOf(server, host.host),
      role: 'node',
      copyset: cluster,
      engine: 'infinispan',
      address: `${beforePort(host.host)}:${port}`,
      root: server.root,
      url: `${hasTls ? 'https' : 'http'}://${asked}`,
      ...(container !== 'default' && { container }),
      ...(!isOpen && {
        auth: { type: 'digest', user: 'stillpoint', passwordFile: join(host.folder, 'infinispan.password') },
      }),
      ...(hasTls && { tls: { ca: join(host.folder, 'infinispan-ca.pem') } }),
      ...(unit !== null && { unit }),
    },
    remarks: {
      copyset:
        'the name of the cluster; any name will do that all of its servers share, and no other cluster of the grid',
      url: `name the other servers beside it, peers: [${hasTls ? 'https' : 'http'}://HOST:${port}, …]: through them a hold ends when this one is down`,
      ...(!isOpen && {
        auth: 'a user with the role admin, in every server: user create stillpoint -g admin in its CLI; the password, alone, goes into the file: stillpoint-agent init says the command',
      }),
      ...(hasTls && { tls: 'ca: the CA that signed the certificate of the server' }),
      ...(unit === null && {
        root: `no unit: ${why}; unit: NAME lets stillpoint stop it as its operator does`,
      }),
    },
    grid: null,
    doubt: there === null ? `nothing answers at ${asked}: correct url, and take the # away` : null,
  };
}

/** Of the socket binding that endpoints use by default, and the address that it is bound to. */
function endpointOf(server: ServerProcess, xml: string, property: (text: string) => string): Endpoint {
  const binding = /<endpoints?\b[^>]*?\ssocket-binding="([^"]*)"/.exec(xml)?.[1] ?? 'default';
  const bindings = [...xml.matchAll(/<socket-binding\b[^>]*>/g)].map(([text]) => text);
  const own = bindings.find((text) => attributeOf(text, 'name') === binding) ?? '';
  const base = Number(property(attributeOf(own, 'port') ?? '')) || USUAL_PORT;
  const offset = property(
    /<socket-bindings\b[^>]*?\sport-offset="([^"]*)"/.exec(xml)?.[1] ??
      '${infinispan.socket.binding.port-offset:0}',
  );
  const bound = property(
    /<inet-address\b[^>]*?\svalue="([^"]*)"/.exec(xml)?.[1] ?? '${infinispan.bind.address:127.0.0.1}',
  );
  return { bound, port: base + (Number(offset) || 0) };
}

const KIND_OF_ADDRESS = /^[A-Z_]+$/;

/** Where a server with this binding may be asked from its host, the likeliest first. */
function addressesOf(bound: string, host: string): string[] {
  if (['0.0.0.0', '::', 'localhost', 'LOOPBACK'].includes(bound)) return ['127.0.0.1'];
  if (isIP(bound) !== 0) return [bound];
  // On 127.0.0.1 another server of this host may be the one that answers.
  return [...(KIND_OF_ADDRESS.test(bound) ? [] : [bound]), host, '127.0.0.1'];
}

async function firstThatAnswers(places: readonly string[]): Promise<string | null> {
  for (const place of places) if (await answers(place)) return place;
  return null;
}

function attributeOf(element: string, name: string): string | null {
  return new RegExp(`\\s${name}="([^"]*)"`).exec(element)?.[1] ?? null;
}

/** `${name:default}`, from the command line of the server. */
function resolveProperties(text: string, args: readonly string[]): string {
  return text.replaceAll(
    /\$\{([^:}]+)(?::([^}]*))?\}/g,
    (_, name: string, otherwise: string | undefined) => propertyOf(args, name) ?? otherwise ?? '',
  );
}

function nameOf({ nodeName, root }: ServerProcess, host: string): string {
  const short = isIP(host) === 0 ? (host.split('.')[0] ?? host) : host;
  const own = nodeName ?? basename(root);
  return (own === 'server' ? short : `${short}-${own}`).replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 64);
}
