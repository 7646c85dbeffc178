import * as z from 'zod';
import { PHASES, type Phase } from './phase.ts';
import { QUANTITY_RULE, readQuantity } from './quantity.ts';
import { ALL, RESOURCE_KINDS, type NamedResources, type ResourceKind } from './resources.ts';

// The documents of the operator, field by field as its definitions of Backup and Restore have them.

export const API_GROUP = 'infinispan.org';
export const API_VERSION = `${API_GROUP}/v2alpha1`;
export const KINDS = ['Backup', 'Restore'] as const;
export type Kind = (typeof KINDS)[number];

/** As much as a volume has where the document does not say. */
export const DEFAULT_STORAGE = '1Gi';

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_RULE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name', or '123-abc')";
const MOST_LABEL = 63;

/** The name of a document becomes one of a directory, of a file and of a member of the cluster. */
const label = z
  .string()
  .max(MOST_LABEL, `must be no more than ${MOST_LABEL} characters`)
  .regex(LABEL, LABEL_RULE);
const quantity = z.string().refine((text) => readQuantity(text) !== null, QUANTITY_RULE);
const words = z.record(z.string(), z.string());

const resourceName = z
  .string()
  .min(1, `must be a name, or "${ALL}"`)
  .max(1024, 'must be no more than 1024 characters')
  // oxlint-disable-next-line no-control-regex
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not have control characters');
const names = z
  .array(resourceName)
  .min(1, `must name one at least, or "${ALL}" for all; leave the field out for none`)
  .optional();

const resources = z.strictObject({
  templates: names,
  caches: names,
  counters: names,
  protoSchemas: names,
  tasks: names,
  /** The older words for templates and for tasks. */
  cacheConfigs: names,
  scripts: names,
});

const container = z.strictObject({
  extraJvmOpts: z.string().optional(),
  cliExtraJvmOpts: z.string().optional(),
  routerExtraJvmOpts: z.string().optional(),
  memory: z.string().optional(),
  cpu: z.string().optional(),
});

const storage = quantity.refine((text) => (readQuantity(text) ?? 1) > 0, 'must be greater than zero');

const backupSpec = z.strictObject({
  cluster: z.string().min(1, "'spec.cluster' must be configured"),
  volume: z
    .strictObject({ storage: storage.optional(), storageClassName: z.string().min(1).optional() })
    .optional(),
  resources: resources.optional(),
  container: container.optional(),
});

const restoreSpec = z.strictObject({
  backup: z.string().min(1, "'spec.backup' must be configured"),
  cluster: z.string().min(1, "'spec.cluster' must be configured"),
  resources: resources.optional(),
  container: container.optional(),
});

/** What the server that keeps a document writes of it; given back to it, it means nothing. */
const anything = z.unknown().optional();

const metadata = z.strictObject({
  name: label,
  namespace: label.optional(),
  labels: words.nullish(),
  annotations: words.nullish(),
  creationTimestamp: anything,
  deletionTimestamp: anything,
  deletionGracePeriodSeconds: anything,
  finalizers: anything,
  generation: anything,
  managedFields: anything,
  ownerReferences: anything,
  resourceVersion: anything,
  selfLink: anything,
  uid: anything,
});

const frame = { apiVersion: z.literal(API_VERSION), metadata, status: anything } as const;

export const documentSchema = z.discriminatedUnion('kind', [
  z.strictObject({ ...frame, kind: z.literal('Backup'), spec: backupSpec }),
  z.strictObject({ ...frame, kind: z.literal('Restore'), spec: restoreSpec }),
]);

type Read = z.infer<typeof documentSchema>;

type WithResources<Spec> = Omit<Spec, 'resources'> & { readonly resources?: NamedResources };
type BackupSpec = Readonly<WithResources<z.infer<typeof backupSpec>>>;
type RestoreSpec = Readonly<WithResources<z.infer<typeof restoreSpec>>>;

interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Framed<K extends Kind, Spec> {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: K;
  readonly metadata: Metadata;
  readonly spec: Spec;
}

type BackupDocument = Framed<'Backup', BackupSpec>;
type RestoreDocument = Framed<'Restore', RestoreSpec>;
/** As somebody applied it: its older words replaced, and nothing in it that is for its keeper alone to write. */
export type AppliedDocument = BackupDocument | RestoreDocument;

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}

/** What its keeper knows of it. Instants are ISO 8601, UTC. */
export interface Status {
  readonly phase: Phase;
  /** Why it failed, what it waits for, or why nobody can say. */
  readonly reason?: string | undefined;
  /** Of a Backup: the volume that it has, named as the document. */
  readonly pvc?: string | undefined;
  /** Of a Backup: the storage class that its volume is of. */
  readonly storageClassName?: string | undefined;
  readonly conditions?: readonly Condition[] | undefined;
  readonly startTime?: string | undefined;
  readonly completionTime?: string | undefined;
  /** Of a Backup that succeeded; of a Restore: what it is made of. */
  readonly archive?: { readonly sizeBytes: number; readonly sha256: string } | undefined;
}

interface Kept {
  readonly metadata: Metadata & {
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly generation: number;
    /** Set where it is being deleted: then nothing else becomes of it. */
    readonly deletionTimestamp?: string | undefined;
  };
  readonly status: Status;
}

export type KeptBackup = BackupDocument & Kept;
export type KeptRestore = RestoreDocument & Kept;
/** As its keeper has it. */
export type KeptDocument = KeptBackup | KeptRestore;

const instant = z.string().max(40);
const conditionSchema = z.object({
  type: z.string(),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string(),
  message: z.string(),
  lastTransitionTime: instant,
});
const statusSchema = z.object({
  phase: z.enum(PHASES),
  reason: z.string().optional(),
  pvc: z.string().optional(),
  storageClassName: z.string().optional(),
  conditions: z.array(conditionSchema).optional(),
  startTime: instant.optional(),
  completionTime: instant.optional(),
  archive: z
    .object({ sizeBytes: z.number().int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })
    .optional(),
});
const keptFacts = z.object({
  metadata: z.object({
    uid: z.uuid(),
    creationTimestamp: instant,
    generation: z.number().int(),
    deletionTimestamp: instant.optional(),
  }),
  status: statusSchema,
});

/** Null where it is no document that a keeper has written. */
export function readKept(value: unknown): KeptDocument | null {
  const document = documentSchema.safeParse(value);
  const facts = keptFacts.safeParse(value);
  if (!document.success || !facts.success) return null;
  const { applied } = asApplied(document.data);
  const { metadata: kept, status } = facts.data;
  return { ...applied, metadata: { ...applied.metadata, ...kept }, status };
}

/** The document without what its keeper writes, its older words replaced; and what is to be said of it. */
export function asApplied(read: Read): { applied: AppliedDocument; warnings: readonly string[] } {
  const { name, namespace, labels, annotations } = read.metadata;
  const { resources: given, ...spec } = read.spec;
  const { named, warnings } = withoutOlderWords(given);
  const applied = {
    apiVersion: read.apiVersion,
    kind: read.kind,
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      ...(isFilled(labels) && { labels }),
      ...(isFilled(annotations) && { annotations }),
    },
    spec: { ...spec, ...(named !== undefined && { resources: named }) },
  } as AppliedDocument;
  return { applied, warnings: [...warnings, ...withoutEffect(applied)] };
}

function isFilled<T extends object>(value: T | null | undefined): value is T {
  return value !== null && value !== undefined && Object.keys(value).length > 0;
}

const OLDER = { cacheConfigs: 'templates', scripts: 'tasks' } as const;

/** The older word wins, as it does with the operator. */
function withoutOlderWords(given: z.infer<typeof resources> | undefined): {
  named: NamedResources | undefined;
  warnings: readonly string[];
} {
  if (given === undefined) return { named: undefined, warnings: [] };
  const { cacheConfigs, scripts, ...rest } = given;
  const older = { cacheConfigs, scripts };
  const named: Partial<Record<ResourceKind, readonly string[]>> = {};
  for (const kind of RESOURCE_KINDS) if (rest[kind] !== undefined) named[kind] = rest[kind];
  const warnings: string[] = [];
  for (const word of ['cacheConfigs', 'scripts'] as const) {
    if (older[word] === undefined) continue;
    named[OLDER[word]] = older[word];
    warnings.push(`spec.resources.${word} is deprecated: it was taken as spec.resources.${OLDER[word]}`);
  }
  return { named, warnings };
}

/** A pod has limits of its own; here the agent's file says how the member is started. */
function withoutEffect({ spec }: AppliedDocument): string[] {
  if (!isFilled(spec.container)) return [];
  return [
    "spec.container has no effect: how the member is started, and with how much memory, the agent's file says",
  ];
}
