import { readKept, type KeptDocument, type Kind } from '../../shared/documents/document.ts';
import { inOrder } from '../../shared/documents/show.ts';
import { failureOf, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { AgentConnection, openAgents } from '../agents.ts';
import type { GridFile } from '../grid-file.ts';
import { ambiguous, missing } from './failures.ts';

const CONNECT_MS = 5000;

/** What one agent keeps. */
interface Shelf {
  readonly connection: AgentConnection;
  readonly clusters: readonly string[];
  readonly documents: readonly KeptDocument[];
}

/** A document, and who keeps it. */
export interface Found {
  readonly document: KeptDocument;
  readonly connection: AgentConnection;
}

/** The agents of a grid, as who keeps documents. */
export class DocumentAgents {
  readonly #connections: readonly AgentConnection[];
  /** Why some do not answer. */
  readonly unreached: readonly Failure[];

  private constructor(connections: readonly AgentConnection[], unreached: readonly Failure[]) {
    this.#connections = connections;
    this.unreached = unreached;
  }

  /** All of them, or the failure of the first that does not answer: for what must know of every document. */
  static async all(gridFile: GridFile, signal: AbortSignal): Promise<DocumentAgents> {
    return new DocumentAgents(await openAgents(gridFile, CONNECT_MS, signal), []);
  }

  /** Those that answer; rejects where none does. */
  static async answering(gridFile: GridFile, signal: AbortSignal): Promise<DocumentAgents> {
    const unreached: Failure[] = [];
    const opened = await Promise.all(
      gridFile.agents.map((address) =>
        AgentConnection.open(gridFile, address, CONNECT_MS, signal).catch((error: unknown) => {
          signal.throwIfAborted();
          unreached.push(failureOf(error, { code: 'agent-unreachable', hint: "see the agent's log" }));
          if (unreached.length === gridFile.agents.length) throw error;
          return null;
        }),
      ),
    );
    return new DocumentAgents(
      opened.flatMap((one) => one ?? []),
      unreached,
    );
  }

  async shelves(): Promise<Shelf[]> {
    return Promise.all(
      this.#connections.map(async (connection) => {
        const clusters = new Set<string>();
        const documents: KeptDocument[] = [];
        for (let after = '', more = true; more;) {
          const page = await connection.readDocuments(after);
          for (const cluster of page.clusters) clusters.add(cluster);
          const read = page.documents.map((text) => readAnswer(text, connection.host));
          documents.push(...read);
          const last = read.at(-1);
          if (page.more && last === undefined) throw misread(connection.host);
          after = last === undefined ? after : `${last.kind}/${last.metadata.name}`;
          more = page.more;
        }
        return { connection, clusters: [...clusters], documents };
      }),
    );
  }

  /** Those of this kind, of this name, in their order; with null all. */
  async list(kind: Kind | null, name: string | null): Promise<KeptDocument[]> {
    const shelves = await this.shelves();
    const asked = shelves
      .flatMap(({ documents }) => documents)
      .filter((one) => (kind === null || one.kind === kind) && (name === null || one.metadata.name === name));
    if (name !== null && asked.length === 0) throw missing(kind, name, this.unreached);
    return inOrder(asked);
  }

  /** The one that is meant; without a kind there may be one alone of this name. */
  async find(kind: Kind | null, name: string): Promise<Found> {
    const shelves = await this.shelves();
    const found = shelves.flatMap(({ connection, documents }) =>
      documents
        .filter((one) => (kind === null || one.kind === kind) && one.metadata.name === name)
        .map((document) => ({ document, connection })),
    );
    const [one, other] = found;
    if (one === undefined) throw missing(kind, name, this.unreached);
    if (other !== undefined && one.document.kind !== other.document.kind) throw ambiguous(name);
    return one;
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}

/** As an agent has told it; rejects `bad-message`. */
export function readAnswer(text: string, host: string): KeptDocument {
  let value: unknown = null;
  try {
    value = JSON.parse(text);
  } catch {
    throw misread(host);
  }
  const document = readKept(value);
  if (document === null) throw misread(host);
  return document;
}

function misread(host: string): StillpointError {
  return new StillpointError({
    code: 'bad-message',
    message: `the agent on ${host} told of a document that cannot be one`,
    hint: 'run the same version of stillpoint everywhere',
    host,
  });
}
