import type { GridOptions, NativeMember, TestHost, TestMember } from './grid.ts';
import { postgresBinaries, serverUser } from './postgres.ts';

/** The agent's file of one host, with the members that are on it. */
export function agentYaml(input: {
  options: GridOptions;
  name: string;
  pki: string;
  repository: string;
  host: TestHost;
  members: readonly TestMember[];
  native: readonly NativeMember[];
}): string {
  const { options, name, pki, repository, host, members, native } = input;
  const servers = (options.clusters ?? []).flatMap(({ copyset, nodes }) =>
    nodes
      .filter(({ address }) => address === host.address)
      .map((node) => ({ copyset, node, peers: nodes.filter((one) => one !== node).map(({ url }) => url) })),
  );
  const role = options.superuser === true ? 'postgres' : 'stillpoint';
  const lines = [
    `grid: ${name}`,
    `listen: ${host.agentAddress}`,
    `tls: { ca: ${pki}/ca.pem, cert: ${pki}/${host.address}.pem, key: ${pki}/${host.address}-key.pem }`,
    `state: ${host.state}`,
    `repository: ${repository}`,
    members.length + native.length + servers.length === 0 ? 'members: []' : 'members:',
  ];
  for (const { name: member, copyset, server } of members) {
    lines.push(
      `  - name: ${member}`,
      `    role: node`,
      `    copyset: ${copyset}`,
      `    engine: postgres`,
      `    address: ${server.host}:${server.port}`,
      `    data: ${server.data}`,
      `    connection: ${options.connection?.(server) ?? `postgresql://${role}@${server.host}:${server.port}/postgres`}`,
      `    binaries: ${postgresBinaries(server.version)}`,
      ...(serverUser === null ? [] : [`    owner: ${serverUser.name}`]),
      ...(options.memberLines?.(member) ?? []).map((line) => `    ${line}`),
    );
  }
  for (const member of native) {
    lines.push(
      `  - name: ${member.name}`,
      `    role: ${member.role}`,
      ...(member.copyset === null ? [] : [`    copyset: ${member.copyset}`]),
      `    engine: native`,
      `    address: ${member.address}`,
      `    data: ${member.dataDirectory}`,
      `    participant: ${member.participant}`,
      `    run: { start: ${JSON.stringify(member.startCommand)}, stop: ${JSON.stringify(member.stopCommand)} }`,
      ...(options.memberLines?.(member.name) ?? []).map((line) => `    ${line}`),
    );
  }
  for (const { copyset, node, peers } of servers) {
    const server = `${copyset}-${node.name}`;
    lines.push(
      `  - name: ${server}`,
      `    role: node`,
      `    copyset: ${copyset}`,
      `    engine: infinispan`,
      `    address: ${node.hostport}`,
      `    url: ${node.url}`,
      `    peers: [${peers.join(', ')}]`,
      `    root: ${node.root}`,
      ...(options.memberLines?.(server) ?? []).map((line) => `    ${line}`),
    );
  }
  return `${lines.join('\n')}\n`;
}

function copysetsOf({ copysets, clusters = [] }: GridOptions): string[] {
  return [...copysets.map(({ name }) => name), ...clusters.map(({ copyset }) => copyset)];
}

/** The grid file of the coordinator. */
export function gridYaml(input: {
  options: GridOptions;
  name: string;
  pki: string;
  repository: string;
  hosts: readonly TestHost[];
}): string {
  const { options, name, pki, repository, hosts } = input;
  return [
    `grid: ${name}`,
    `agents: [${hosts.map((host) => `"${host.agentAddress}"`).join(', ')}]`,
    `repository: ${repository}`,
    `tls: { ca: ${pki}/ca.pem, cert: ${pki}/coordinator.pem, key: ${pki}/coordinator-key.pem }`,
    ...(options.withoutRealm === undefined ? [] : ['realm: none']),
    // Where there is a realm its definition gives the order.
    ...(options.native === undefined || options.withoutRealm !== undefined
      ? [`copysets: [${(options.withoutRealm ?? copysetsOf(options)).join(', ')}]`]
      : []),
    `leaseSeconds: ${options.leaseSeconds ?? 10}`,
    '',
  ].join('\n');
}
