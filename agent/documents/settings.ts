import * as z from 'zod';
import { byteSizeSchema } from '../byte-size.ts';
import {
  isCovered,
  MUST_BE_COVERED,
  secretsAreCovered,
  serverShape,
  tlsIsUsed,
} from '../engines/infinispan/server/settings.ts';

/** As much of the service of a cluster as documents ask for. */
export const DATA_GRID = 'DataGrid';

const absolute = z.string().startsWith('/', 'must be an absolute path');
const seconds = z.number().min(1, 'must be at least 1').max(3600, 'must be at most 3600');

/** What the agent replaces in the command of a member. */
const PLACEHOLDERS = ['{room}', '{name}'] as const;

/** The server that the agent starts for one document, and ends. */
const memberSchema = z.strictObject({
  /**
   * A server's root, of which each document has a copy: conf/ with the configuration of a server that joins the cluster
   * with no capacity.
   */
  template: absolute,
  /** `{room}` is the copy, `{name}` how the member calls itself in the cluster. */
  command: z
    .array(z.string(), 'must be a list: the program, then its arguments')
    .min(1, 'must be a list: the program, then its arguments')
    .refine((words) => PLACEHOLDERS.every((one) => words.some((word) => word.includes(one))), {
      message: `must have ${PLACEHOLDERS.join(' and ')} in it`,
    }),
  /** Where the member answers over REST, with the secrets of its cluster. */
  url: serverShape.url,
  /** As whom it runs; else as the agent does. */
  user: z.string().min(1).optional(),
  readyWithinSeconds: seconds.default(120),
  /** For each step of its end: asked, then told, then killed. */
  stopWithinSeconds: seconds.default(30),
  /** For how long it may not answer before it is given up. */
  silentSeconds: seconds.default(60),
});

const clusterSchema = z
  .strictObject({
    /** As the operator calls what a cluster was made for: documents are for DataGrid alone. */
    service: z.string().min(1).default(DATA_GRID),
    ...serverShape,
    /** How long a document waits for a checkpoint or a restore of the cluster. */
    turnWithinSeconds: seconds.default(3600),
    member: memberSchema.optional(),
  })
  .refine(...secretsAreCovered)
  .refine(...tlsIsUsed)
  // The member is asked with the secrets of its cluster.
  .refine(({ auth, member }) => member === undefined || isCovered({ auth, url: member.url }), {
    path: ['member', 'url'],
    message: MUST_BE_COVERED,
  })
  .refine(({ service, member }) => service !== DATA_GRID || member !== undefined, {
    path: ['member'],
    message: 'is needed: documents of this cluster are carried out by a server of their own',
  });

const storageClassSchema = z.strictObject({
  /** Its volumes: the archive of a Backup is backups/NAME/NAME.zip below it. */
  directory: absolute,
  /** As much as all volumes of it may ask for together. */
  quota: byteSizeSchema.optional(),
  /** Taken by documents that name none. */
  default: z.boolean().default(false),
});

/** A name that documents may say. */
const named = z.string().min(1).max(253);

/** Whose Backup and Restore documents this agent carries out (docs/documents.md). */
export const documentsSchema = z
  .strictObject({
    clusters: z.record(named, clusterSchema),
    storageClasses: z.record(named, storageClassSchema).default({}),
  })
  .refine(({ storageClasses }) => Object.values(storageClasses).filter((one) => one.default).length <= 1, {
    path: ['storageClasses'],
    message: 'two of them are the default',
  });

export type DocumentSettings = z.infer<typeof documentsSchema>;
export type ClusterSettings = DocumentSettings['clusters'][string];
export type MemberSettings = NonNullable<ClusterSettings['member']>;
export type StorageClass = DocumentSettings['storageClasses'][string];
