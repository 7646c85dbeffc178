import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** With what a process of the grid is started. */
export interface Options {
  readonly role: string;
  /** The current directory, unless it is named. */
  readonly data: string;
  readonly name: string;
  /** `host:port` where the grid reaches it. */
  readonly listen: string;
  /** Where the realm services are reached; any of them. A satellite has its primary here. */
  readonly realm: readonly string[];
  /** Where the contract is served: `unix:PATH`. */
  readonly participant: string;
  /** Realm services only: one of a cluster, in which any takes updates. */
  readonly cluster: boolean;
  /** After which a process not heard of counts as down. */
  readonly timeoutMs: number;
  /** As `timeoutMs`, for a process not heard of at all yet. */
  readonly graceMs: number;
  /** Between two visits of the write daemon. */
  readonly writeMs: number;
  /** At which length a journal file is ended. */
  readonly journalBytes: number;
  /** Nodes: below it, in a folder named as the node, goes each journal file that has ended, for good; empty: nowhere. */
  readonly archive: string;
  /** Nodes: so many changed rows have room in memory while writing is suspended; 0: as many as come. */
  readonly buffers: number;
  /** Nodes: tables whose updates are not journaled. */
  readonly unjournaled: readonly string[];
  /** Nodes: recovery goes on when this file is gone, as with a slow disk; empty: at once. */
  readonly recoveryWaits: string;
}

export function readOptions(argv: readonly string[]): Options {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      data: { ...text, default: '.' },
      name: { ...text, default: '' },
      listen: { ...text, default: '' },
      realm: { ...text, default: '' },
      participant: { ...text, default: '' },
      cluster: { type: 'boolean', default: false },
      'timeout-ms': { ...text, default: '2000' },
      'grace-ms': { ...text, default: '5000' },
      'write-ms': { ...text, default: '500' },
      'journal-bytes': { ...text, default: String(16 * 2 ** 20) },
      archive: { ...text, default: '' },
      buffers: { ...text, default: '0' },
      unjournaled: { ...text, default: '' },
      'recovery-waits': { ...text, default: '' },
    },
  });
  for (const name of ['name', 'listen', 'participant'] as const) {
    if (values[name] === '') throw new Error(`--${name} is missing`);
  }
  return {
    role: positionals[0] ?? '',
    data: resolve(values.data),
    name: values.name,
    listen: values.listen,
    realm: values.realm.split(',').filter((url) => url !== ''),
    participant: values.participant,
    cluster: values.cluster,
    timeoutMs: Number(values['timeout-ms']),
    graceMs: Number(values['grace-ms']),
    writeMs: Number(values['write-ms']),
    journalBytes: Number(values['journal-bytes']),
    archive: values.archive === '' ? '' : join(values.archive, values.name),
    buffers: Number(values.buffers),
    unjournaled: values.unjournaled.split(',').filter((table) => table !== ''),
    recoveryWaits: values['recovery-waits'],
  };
}
