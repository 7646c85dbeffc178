import * as z from 'zod';

/** Where the archive of a cluster lies among the artifacts of the member that was copied for it. */
export const ARCHIVE_PATH = 'backup.zip';

const name = z.string();
const sha256 = z.string();
const files = z.array(z.object({ name, sha256 })).readonly();

/** What a checkpoint of a cluster knows of its archive: what a restore is compared with. Digests: hexadecimal SHA-256. */
export const clusterFactsSchema = z.object({
  kind: z.literal('cluster'),
  /** Of the servers, when the archive was made. */
  version: z.string(),
  container: z.string(),
  /** None of an archive that somebody brought. */
  servers: z.array(z.string()).readonly(),
  archive: z.object({ path: z.string(), sizeBytes: z.number(), sha256 }),
  caches: z
    .array(
      z.object({
        name,
        entries: z.number(),
        sha256,
        contentSha256: sha256,
        sizeBytes: z.number(),
        configurationSha256: sha256,
      }),
    )
    .readonly(),
  counters: z.array(z.object({ name, value: z.string(), configurationSha256: sha256 })).readonly(),
  templates: files,
  protoSchemas: files,
  tasks: files,
  /** How long clients were refused, and for how long of it the server wrote the archive. Null where nobody held them. */
  heldMs: z.number().nullable(),
  backupMs: z.number().nullable(),
});

export type ClusterFacts = z.infer<typeof clusterFactsSchema>;
