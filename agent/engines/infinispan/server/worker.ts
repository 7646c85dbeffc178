/** Who works on a cluster, and is not to be met there by another. */
export interface Worker {
  readonly kind: 'checkpoint' | 'restore' | 'document';
  /** Of this one alone. */
  readonly id: string;
  /** As people know it. */
  readonly name: string;
}

const WORKER = /^stillpoint at-work (checkpoint|restore|document) (\S+) (\S+)$/;

/** As whom its connections ask: servers tell the names of their clients to whoever may administer them. */
export function askerOf({ kind, id, name }: Worker): string {
  return `at-work ${kind} ${encodeURIComponent(id)} ${encodeURIComponent(name)}`;
}

/** Null where the client is another one. */
export function workerOf(client: string): Worker | null {
  const [, kind, id, name] = WORKER.exec(client) ?? [];
  if (kind === undefined || id === undefined || name === undefined) return null;
  return { kind: kind as Worker['kind'], id: decoded(id), name: decoded(name) };
}

/** Any client may call itself anything. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function inWords({ kind, name }: Worker): string {
  return `${kind} ${name}`;
}
