import type { GridDefinition as Message } from '../../shared/rpc/generated/participant.ts';
import { GridError } from './rpc.ts';

/** What is configured of a grid in its realm. Only the realm service changes it; all others follow. */
export interface GridDefinition {
  readonly grid: string;
  /** Raised by every change. */
  readonly version: number;
  /** In the order of definition. */
  readonly copysets: readonly { readonly name: string; readonly nodes: readonly DefinedProcess[] }[];
  readonly keepers: readonly DefinedProcess[];
  readonly proxies: readonly DefinedProcess[];
  /** The first is the primary, unless they are a cluster. */
  readonly realmServices: readonly DefinedProcess[];
  readonly foreign: readonly string[];
}

export interface DefinedProcess {
  readonly name: string;
  readonly address: string;
  readonly dataDirectory: string;
}

const MAX_NODES = 3;

/** A definition that cannot be is refused before anyone holds it. */
export function checkDefinition(definition: GridDefinition): void {
  const names = processesOf(definition).map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new GridError('invalid', `two processes are named ${twice}`);
  for (const { name, nodes } of definition.copysets) {
    if (nodes.length >= 1 && nodes.length <= MAX_NODES) continue;
    throw new GridError('invalid', `copyset ${name} has ${nodes.length} nodes; hint: one to ${MAX_NODES}`);
  }
}

function processesOf(definition: GridDefinition): DefinedProcess[] {
  const { copysets, keepers, proxies, realmServices } = definition;
  return [...realmServices, ...keepers, ...copysets.flatMap(({ nodes }) => nodes), ...proxies];
}

export function addressOf(definition: GridDefinition, name: string): string | undefined {
  return processesOf(definition).find((process) => process.name === name)?.address;
}

export function copysetOf(definition: GridDefinition, node: string): string | undefined {
  return definition.copysets.find(({ nodes }) => nodes.some(({ name }) => name === node))?.name;
}

/** The same definition with addresses and directories changed; what is empty stays as it was. */
export function relocated(definition: GridDefinition, processes: readonly DefinedProcess[]): GridDefinition {
  const known = new Set(processesOf(definition).map(({ name }) => name));
  const unknown = processes.find(({ name }) => !known.has(name));
  if (unknown !== undefined) throw new GridError('invalid', `no process ${unknown.name} is defined`);
  const change = (process: DefinedProcess): DefinedProcess => {
    const { address, dataDirectory } = processes.find(({ name }) => name === process.name) ?? process;
    return {
      name: process.name,
      address: address === '' ? process.address : address,
      dataDirectory: dataDirectory === '' ? process.dataDirectory : dataDirectory,
    };
  };
  return {
    ...definition,
    copysets: definition.copysets.map(({ name, nodes }) => ({ name, nodes: nodes.map(change) })),
    keepers: definition.keepers.map(change),
    proxies: definition.proxies.map(change),
    realmServices: definition.realmServices.map(change),
  };
}

export function definitionMessage(definition: GridDefinition, running: ReadonlySet<string>): Message {
  const process = (it: DefinedProcess) => ({ ...it, running: running.has(it.name) });
  return {
    ...definition,
    version: BigInt(definition.version),
    copysets: definition.copysets.map(({ name, nodes }) => ({ name, nodes: nodes.map(process) })),
    keepers: definition.keepers.map(process),
    proxies: definition.proxies.map(process),
    realmServices: definition.realmServices.map(process),
    foreign: [...definition.foreign],
  };
}
