import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeptDocument } from '../../shared/documents/document.ts';
import { createGrid, type TestGrid } from './grid.ts';
import { Hooks } from './hooks.ts';
import type { InfinispanCluster, InfinispanNode, InfinispanOptions } from './infinispan.ts';
import { until, type Finished } from './processes.ts';
import { processNumbers } from '../../agent/engines/host-processes.ts';

/** One cluster of the agent's file, and its member's template. */
export interface DocumentedCluster {
  readonly name: string;
  readonly cluster: InfinispanCluster;
  readonly member: InfinispanNode;
  /** Keys of the cluster besides, and of its member. */
  readonly keys?: object;
  readonly memberKeys?: object;
}

/** Where members listen: a port that was free there is not taken by who connects to anything meanwhile. */
export const MEMBERS_ADDRESS = '127.0.87.1';

/** `more`: options of its member that are others than the cluster's, and keys of the agent's file. */
export async function documented(
  name: string,
  cluster: InfinispanCluster,
  more: {
    readonly options?: Partial<InfinispanOptions>;
    readonly keys?: object;
    readonly memberKeys?: object;
  } = {},
): Promise<DocumentedCluster> {
  const { options, ...keys } = more;
  const member = await cluster.another(`member-of-${name}`, {
    attributes: 'zero-capacity-node="true"',
    heapMB: 192,
    address: () => MEMBERS_ADDRESS,
    ...options,
  });
  return { name, cluster, member, ...keys };
}

export interface DocumentsOptions {
  readonly host: string;
  readonly clusters: readonly DocumentedCluster[];
  /** Keys of each member besides. */
  readonly memberKeys?: object;
  /** Besides my-storage-class, whose directory is given. */
  readonly storageClasses?: (volumes: string) => Readonly<Record<string, object>>;
  /** Another grid's file, repository and CA. */
  readonly beside?: TestGrid;
}

/** An agent that keeps documents, with the real commands to speak to it. */
export class DocumentsLab {
  readonly grid: TestGrid;
  readonly hooks: Hooks;
  /** Of the storage class my-storage-class. */
  readonly volumes: string;

  private constructor(grid: TestGrid, hooks: Hooks, volumes: string) {
    this.grid = grid;
    this.hooks = hooks;
    this.volumes = volumes;
  }

  static async start(options: DocumentsOptions): Promise<DocumentsLab> {
    let volumes = '';
    const grid = await createGrid({
      hosts: [options.host],
      copysets: [],
      empty: true,
      ...(options.beside !== undefined && { beside: options.beside }),
      agentLines: ({ folder }) => {
        volumes = join(folder, 'volumes');
        mkdirSync(volumes, { recursive: true });
        return [`documents: ${JSON.stringify(settings(options, volumes))}`];
      },
    });
    return new DocumentsLab(grid, new Hooks(join(grid.root, 'hooks')), volumes);
  }

  /** The command, with a document on a file of its own. */
  async apply(text: string, ...options: string[]): Promise<Finished> {
    const file = join(this.grid.root, `document-${crypto.randomUUID()}.yaml`);
    writeFileSync(file, text);
    return this.grid.run(['apply', '-f', file, ...options]);
  }

  /** A command of the handbook; what stands there of a file is in one. Resolves with what it prints. */
  async documented(line: string, text = ''): Promise<string> {
    const words = line.split(' ').slice(1);
    const name = words.find((word) => word.endsWith('.yaml'));
    const file = join(this.grid.root, name ?? 'nothing.yaml');
    writeFileSync(file, text);
    const { code, stdout, stderr } = await this.grid.run(words.map((word) => (word === name ? file : word)));
    if (code !== 0) throw new Error(`${line} ended with ${code ?? 'a signal'}: ${stdout}${stderr}`);
    return stdout;
  }

  async get(kind: 'backup' | 'restore', name: string): Promise<KeptDocument> {
    const { code, stdout, stderr } = await this.grid.run(['get', kind, name, '-o', 'json']);
    if (code !== 0) throw new Error(`get ended with ${code ?? 'a signal'}: ${stdout}${stderr}`);
    return JSON.parse(stdout) as KeptDocument;
  }

  /** As its agent has it on disk: to be asked often, which a command for each look would make slow. */
  kept(kind: 'backup' | 'restore', name: string): KeptDocument {
    const folder = kind === 'backup' ? 'Backup' : 'Restore';
    const file = join(this.grid.hosts[0]?.state ?? '', 'documents', folder, `${name}.json`);
    return JSON.parse(readFileSync(file, 'utf8')) as KeptDocument;
  }

  /** Resolves when the document has come to this phase, with what the command says of it. */
  async reached(kind: 'backup' | 'restore', name: string, phase: string): Promise<KeptDocument> {
    await until(
      `${kind} ${name} to be ${phase}`,
      async () => {
        const { status } = this.kept(kind, name);
        if (status.phase !== phase && ['Succeeded', 'Failed'].includes(status.phase))
          throw new Error(`${kind} ${name} is ${JSON.stringify(status)}\n${await this.log(kind, name)}`);
        return status.phase === phase;
      },
      120_000,
    );
    return this.get(kind, name);
  }

  /** Resolves when it is at its end, whichever. */
  async ended(kind: 'backup' | 'restore', name: string): Promise<KeptDocument> {
    await until(
      `${kind} ${name} to have ended`,
      () => ['Succeeded', 'Failed'].includes(this.kept(kind, name).status.phase),
      120_000,
    );
    return this.get(kind, name);
  }

  async log(kind: 'backup' | 'restore', name: string): Promise<string> {
    return (await this.grid.run(['logs', kind, name])).stdout;
  }

  /** An agent with this grid's file that may be held at moments. */
  async restartAgent(): Promise<void> {
    await this.grid.killAgent(0);
    await this.grid.startAgent(0, this.hooks.env);
  }
}

function settings(options: DocumentsOptions, volumes: string): object {
  const clusters = options.clusters.map(({ name, cluster, member, keys, memberKeys }) => [
    name,
    {
      service: 'DataGrid',
      url: cluster.nodes[0]?.url,
      member: {
        template: member.root,
        command: member
          .command()
          .map((word) => (word === member.root ? '{room}' : word === member.name ? '{name}' : word)),
        url: member.url,
        stopWithinSeconds: 20,
        ...options.memberKeys,
        ...memberKeys,
      },
      ...keys,
    },
  ]);
  return {
    clusters: {
      ...(Object.fromEntries(clusters) as object),
      // Made for something else: nobody asks it anything.
      'cache-cluster': { service: 'Cache', url: 'http://127.0.0.1:1' },
    },
    storageClasses: {
      'my-storage-class': { directory: volumes, default: true },
      ...options.storageClasses?.(volumes),
    },
  };
}

/** Makes a directory for another storage class. */
export function folderIn(volumes: string, name: string): string {
  const path = join(volumes, name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Every process that a document's member is or has begun, by the mark in its environment. */
export async function membersOf(uid?: string): Promise<number[]> {
  const mark = `STILLPOINT_DOCUMENT=${uid ?? ''}`;
  return (await processNumbers()).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark);
    } catch {
      return false;
    }
  });
}
