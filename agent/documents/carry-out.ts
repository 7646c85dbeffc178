import type { KeptDocument } from '../../shared/documents/document.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { ClusterTurn } from '../engines/infinispan/server/cluster-turn.ts';
import type { InfinispanServer } from '../engines/infinispan/server/infinispan-server.ts';
import { BackupMember } from './backup-member.ts';
import { referenceOf } from './document-store.ts';
import type { KeptDocuments } from './kept-documents.ts';
import { directoryOf, memberFor, volumeOf } from './places.ts';
import { DocumentRun } from './run.ts';
import type { DocumentSettings } from './settings.ts';
import { makeRoom, removeRoom, roomIn, Volume } from './volume.ts';
import { BackupWork, RestoreWork, type Say, type Work } from './work.ts';

interface CarryOutContext {
  readonly settings: DocumentSettings;
  readonly kept: KeptDocuments;
  /** A client of its cluster, which others use too. */
  readonly server: InfinispanServer;
  readonly log: Logger;
  readonly reach: Reach;
  readonly now: () => Date;
}

/** Brings one document to its end, with all that the agent's file has for it. Rejects where that has it no more. */
export async function carryOut(
  document: KeptDocument,
  context: CarryOutContext,
  signal: AbortSignal,
): Promise<void> {
  const { settings, kept, server, log, reach, now } = context;
  const reference = referenceOf(document);
  const { uid, name } = document.metadata;
  const { cluster, member: memberSettings } = memberFor(settings, document);
  const directory = directoryOf(settings, document);
  const room = roomIn(directory, uid);
  const member = new BackupMember({ uid, name, room, cluster, settings: memberSettings });
  const worker = { kind: 'document', id: uid, name: reference } as const;
  const say: Say = (line) => kept.say(reference, line);
  try {
    await new DocumentRun({
      store: kept.store,
      log,
      reach,
      now,
      cluster: server,
      member,
      work: workOf(document, { settings, kept, room, say }),
      silentMs: memberSettings.silentSeconds * 1000,
      takeTurn: (waitsFor, until) =>
        ClusterTurn.take([cluster], worker, {
          signal: until,
          waitsFor,
          withinSeconds: cluster.turnWithinSeconds,
        }),
      // The server of the agent's file may be gone; the member is one of the cluster too.
      keepTurn: () => ClusterTurn.keep([cluster, { ...cluster, url: memberSettings.url }], worker),
      say,
      makeRoom: () => makeRoom(directory, uid),
      clear: () => removeRoom(directory, uid),
      document: () => kept.get(reference) ?? document,
      update: (change) => kept.update(reference, change),
    }).run(signal);
  } finally {
    member.server.close();
  }
}

function workOf(
  document: KeptDocument,
  {
    settings,
    kept,
    room,
    say,
  }: {
    readonly settings: DocumentSettings;
    readonly kept: KeptDocuments;
    readonly room: string;
    readonly say: Say;
  },
): Work {
  if (document.kind === 'Backup') return new BackupWork(document, volumeOf(settings, document), say);
  const { archive } = new Volume({
    directory: directoryOf(settings, document),
    name: document.spec.backup,
    storage: '',
    limitBytes: 0,
  });
  return new RestoreWork(document, { archive, room }, say, () =>
    kept.store.logSince(referenceOf(document), 0),
  );
}
