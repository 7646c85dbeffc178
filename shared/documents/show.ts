import { stringify } from 'yaml';
import { API_GROUP, DEFAULT_STORAGE, KINDS, type KeptDocument, type Kind } from './document.ts';
import { quantityOf } from './quantity.ts';
import { resourcesInWords } from './resources.ts';

// What `get` and `describe` print, as people know it from kubectl.

/** `backup`, `Backups`, `backups.infinispan.org`; null where it is no kind of ours. */
export function kindNamed(word: string): Kind | null {
  const plain = word.toLowerCase().replace(new RegExp(`\\.${API_GROUP.replace('.', '\\.')}$`), '');
  return KINDS.find((kind) => [kind.toLowerCase(), `${kind.toLowerCase()}s`].includes(plain)) ?? null;
}

/** `backup.infinispan.org/my-backup` */
export function referenceTo(document: {
  readonly kind: Kind;
  readonly metadata: { readonly name: string };
}): string {
  return `${document.kind.toLowerCase()}.${API_GROUP}/${document.metadata.name}`;
}

/** By kind, and then by name. */
export function inOrder(documents: readonly KeptDocument[]): KeptDocument[] {
  return documents.toSorted(
    (one, other) =>
      KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind) ||
      (one.metadata.name < other.metadata.name ? -1 : 1),
  );
}

/**
 * One table for each kind that is there. Where there are both, names have their kind, as kubectl has it. `now` is in
 * milliseconds of the wall clock.
 */
export function tablesOf(
  documents: readonly KeptDocument[],
  { wide, now }: { readonly wide: boolean; readonly now: number },
): string[][][] {
  const kinds = KINDS.filter((kind) => documents.some((one) => one.kind === kind));
  return kinds.map((kind) => [
    [...HEADS[kind], 'AGE', ...(wide ? WIDE_HEADS[kind] : [])],
    ...documents
      .filter((one) => one.kind === kind)
      .map((one) => [
        kinds.length === 1 ? one.metadata.name : referenceTo(one),
        ...cellsOf(one),
        ageOf(one, now),
        ...(wide ? wideCellsOf(one) : []),
      ]),
  ]);
}

const HEADS: Readonly<Record<Kind, readonly string[]>> = {
  Backup: ['NAME', 'CLUSTER', 'PHASE'],
  Restore: ['NAME', 'BACKUP', 'CLUSTER', 'PHASE'],
};
const WIDE_HEADS: Readonly<Record<Kind, readonly string[]>> = {
  Backup: ['STORAGE', 'STORAGECLASS', 'ARCHIVE', 'RESOURCES', 'REASON'],
  Restore: ['RESOURCES', 'REASON'],
};

function cellsOf(document: KeptDocument): string[] {
  const { spec, status } = document;
  return document.kind === 'Backup'
    ? [spec.cluster, status.phase]
    : [document.spec.backup, spec.cluster, status.phase];
}

function wideCellsOf(document: KeptDocument): string[] {
  const { spec, status } = document;
  const last = [resourcesInWords(spec.resources), status.reason ?? ''];
  if (document.kind === 'Restore') return last;
  const { volume } = document.spec;
  return [
    volume?.storage ?? DEFAULT_STORAGE,
    status.storageClassName ?? volume?.storageClassName ?? '<default>',
    status.archive === undefined ? '<none>' : quantityOf(status.archive.sizeBytes),
    ...last,
  ];
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** 5s, 12m, 3h, 8d, as kubectl tells how old something is: the finer unit too as long as it says something. */
function ageOf({ metadata }: KeptDocument, now: number): string {
  const ms = Math.max(0, now - Date.parse(metadata.creationTimestamp));
  if (ms < 2 * MINUTE) return `${Math.floor(ms / SECOND)}s`;
  if (ms < 10 * MINUTE) return two(ms, MINUTE, 'm', SECOND, 's');
  if (ms < 3 * HOUR) return `${Math.floor(ms / MINUTE)}m`;
  if (ms < 8 * HOUR) return two(ms, HOUR, 'h', MINUTE, 'm');
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)}h`;
  if (ms < 8 * DAY) return two(ms, DAY, 'd', HOUR, 'h');
  return `${Math.floor(ms / DAY)}d`;
}

function two(ms: number, unit: number, word: string, finer: number, finerWord: string): string {
  const rest = Math.floor((ms % unit) / finer);
  return `${Math.floor(ms / unit)}${word}${rest === 0 ? '' : `${rest}${finerWord}`}`;
}

/** As `-o json` and `-o yaml` print them: one by itself where one was asked for by its name, else a List. */
export function listOf(documents: readonly KeptDocument[], named: boolean): object {
  const [only] = documents;
  if (named && only !== undefined) return only;
  return { apiVersion: 'v1', kind: 'List', items: documents, metadata: { resourceVersion: '' } };
}

export function yamlOf(value: object): string {
  return stringify(value, { lineWidth: 0 }).trimEnd();
}

/** Everything that is known of it, in words. */
export function describe(document: KeptDocument): string {
  const { apiVersion, kind, metadata, spec, status } = document;
  const { name, namespace, labels, annotations, creationTimestamp, uid, generation } = metadata;
  return [
    ...fieldsOf({
      name,
      namespace: namespace ?? '<none>',
      labels: pairs(labels),
      annotations: pairs(annotations),
      'API Version': apiVersion,
      kind,
    }),
    'Metadata:',
    ...fieldsOf({ creationTimestamp, generation, uid }).map(indented),
    'Spec:',
    ...fieldsOf(spec).map(indented),
    'Status:',
    ...fieldsOf(status).map(indented),
    `Log:  stillpoint logs ${kind.toLowerCase()} ${name}`,
  ].join('\n');
}

function pairs(words: Readonly<Record<string, string>> | undefined): string {
  const all = Object.entries(words ?? {}).map(([key, value]) => `${key}=${value}`);
  return all.length === 0 ? '<none>' : all.join(', ');
}

/** One line a field, values in one column; what has fields of its own stands below it. */
function fieldsOf(fields: object): string[] {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const widest = Math.max(
    0,
    ...given.filter(([, value]) => isPlain(value)).map(([key]) => titleOf(key).length),
  );
  return given.flatMap(([key, value]) => {
    const title = `${titleOf(key)}:`;
    if (isPlain(value)) return `${title.padEnd(widest + 2)} ${String(value)}`;
    if (!Array.isArray(value)) return [title, ...fieldsOf(value as object).map(indented)];
    return [
      title,
      ...value.flatMap((item: unknown) =>
        isPlain(item) ? indented(String(item)) : fieldsOf(item as object).map(indented),
      ),
    ];
  });
}

function isPlain(value: unknown): value is string | number | boolean {
  return typeof value !== 'object' || value === null;
}

/** `storageClassName` is Storage Class Name. */
function titleOf(key: string): string {
  const spaced = key.replace(/([a-z0-9])([A-Z])/g, '$1 $2');
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

function indented(line: string): string {
  return `  ${line}`;
}
