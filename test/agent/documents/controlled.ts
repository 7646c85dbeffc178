import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { DocumentController } from '../../../agent/documents/controller.ts';
import { documentsSchema } from '../../../agent/documents/settings.ts';
import { readDocuments } from '../../../shared/documents/read-documents.ts';
import { readKept, type KeptDocument } from '../../../shared/documents/document.ts';
import { MEMBERS_ADDRESS, membersOf } from '../../lab/documents-lab.ts';
import { freePort } from '../../lab/ports.ts';
import { until } from '../../lab/processes.ts';
import { ROOT } from '../../lab/programs.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { silentLog } from '../held-host.ts';
import { scriptedServer } from './scripted-server.ts';

const ARCHIVE = {
  'manifest.properties': '#Backup Manifest\ncontainers=default\nversion=16.0.5\n',
  'containers/default/container.properties':
    '#Container Properties\ncaches=a\ncounters=\ntemplates=\nproto-schemas=\ntasks=\n',
  'containers/default/caches/a/a.xml': '<a/>',
  'containers/default/caches/a/a.dat': '',
  'containers/default/counters/counters.dat': '',
};

/** A controller over clusters of scripted servers, which may be killed, and followed by another. */
export class Controlled {
  readonly folder: string;
  readonly volumes: string;
  readonly state: string;
  readonly template: string;
  readonly #remove: () => void;
  readonly #servers: Server[] = [];
  readonly #urls = new Map<string, string>();
  readonly #ports = new Map<string, number>();
  readonly #held = new Map<string, () => void>();
  #controllers: DocumentController[] = [];
  /** Moments at which a document waits. */
  readonly holds = new Set<string>();
  readonly reached = new Set<string>();
  /** Keys of members, of the storage class and of clusters. */
  readonly memberKeys: Record<string, unknown> = {};
  readonly classKeys: Record<string, unknown> = {};
  readonly clusterKeys: Record<string, unknown> = {};
  service = 'DataGrid';

  private constructor(folder: { readonly path: string; remove(): void }) {
    this.folder = folder.path;
    this.#remove = () => folder.remove();
    this.volumes = join(folder.path, 'volumes');
    this.state = join(folder.path, 'state');
    this.template = join(folder.path, 'template');
  }

  static async make(clusters: readonly string[] = ['source-cluster', 'target-cluster']): Promise<Controlled> {
    const made = new Controlled(temporaryFolder('documents'));
    for (const path of [made.volumes, made.state, join(made.template, 'conf')])
      mkdirSync(path, { recursive: true });
    writeFileSync(join(made.template, 'conf/infinispan.xml'), '<cache-container zero-capacity-node="true"/>');
    for (const name of clusters) {
      const folder = made.cluster(name);
      mkdirSync(join(folder, 'members'), { recursive: true });
      writeFileSync(join(folder, 'members/n1'), '');
      const zip = new ZipFile();
      for (const [file, content] of Object.entries(ARCHIVE)) zip.addBuffer(Buffer.from(content), file);
      zip.end();
      await pipeline(zip.outputStream, createWriteStream(join(folder, 'archive.zip')));
      const server = scriptedServer({ folder, name: 'n1', stop: () => undefined });
      const port = await freePort('127.0.0.1');
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()));
      made.#servers.push(server);
      made.#urls.set(name, `http://127.0.0.1:${port}`);
      made.#ports.set(name, await freePort(MEMBERS_ADDRESS));
    }
    return made;
  }

  /** Where what its servers do is said. */
  cluster(name: string): string {
    return join(this.folder, name);
  }

  says(name: string, file: string, content = ''): void {
    writeFileSync(join(this.cluster(name), file), content);
  }

  saysNot(name: string, file: string): void {
    rmSync(join(this.cluster(name), file), { force: true });
  }

  /** The requests for jobs that its servers had; or all others that were no questions. */
  asked(name: string, what: 'asked' | 'changes' = 'asked'): string[] {
    const file = join(this.cluster(name), what);
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  }

  async open(): Promise<DocumentController> {
    const clusters = Object.fromEntries(
      [...this.#urls].map(([name, url]) => [
        name,
        {
          service: this.service,
          url,
          ...this.clusterKeys,
          member: {
            template: this.template,
            command: [
              process.execPath,
              join(ROOT, 'test/agent/documents/scripted-server.ts'),
              this.cluster(name),
              '{name}',
              MEMBERS_ADDRESS,
              String(this.#ports.get(name)),
              '{room}',
            ],
            url: `http://${MEMBERS_ADDRESS}:${this.#ports.get(name)}`,
            stopWithinSeconds: 1,
            readyWithinSeconds: 60,
            ...this.memberKeys,
          },
        },
      ]),
    );
    const controller = await DocumentController.open({
      settings: documentsSchema.parse({
        clusters,
        storageClasses: { 'my-storage-class': { directory: this.volumes, ...this.classKeys } },
      }),
      state: this.state,
      log: silentLog,
      reach: (moment, who) => this.#reach(moment, who),
      now: () => new Date(),
    });
    this.#controllers.push(controller);
    return controller;
  }

  async #reach(moment: string, who: string): Promise<void> {
    this.reached.add(`${moment} ${who}`);
    if (this.holds.has(moment)) await new Promise<void>((resolve) => this.#held.set(moment, resolve));
  }

  comesTo(moment: string, who: string): Promise<void> {
    return until(`${who} to come to ${moment}`, () => this.reached.has(`${moment} ${who}`));
  }

  release(moment: string): void {
    this.holds.delete(moment);
    this.#held.get(moment)?.();
  }

  apply(
    controller: DocumentController,
    text: string,
    backup: KeptDocument | null = null,
  ): Promise<{ unchanged: boolean }> {
    const [read] = readDocuments(text, 'a file');
    return controller.apply(JSON.stringify(read?.document), backup === null ? '' : JSON.stringify(backup));
  }

  document(controller: DocumentController, name: string): KeptDocument {
    const all = controller.page('').documents.map((text) => readKept(JSON.parse(text)));
    const found = all.find((one) => one?.metadata.name === name);
    if (found === undefined || found === null) throw new Error(`no document ${name}`);
    return found;
  }

  async becomes(controller: DocumentController, name: string, phase: string): Promise<KeptDocument> {
    await until(`${name} to be ${phase}`, () => {
      const { status } = this.document(controller, name);
      if (status.phase !== phase && ['Succeeded', 'Failed'].includes(status.phase))
        throw new Error(`${name} is ${JSON.stringify(status)}`);
      return status.phase === phase;
    });
    return this.document(controller, name);
  }

  async logOf(controller: DocumentController, kind: string, name: string): Promise<string> {
    return (await controller.log(kind, name, 0)).text;
  }

  /** Members of this test alone: others may have theirs on this machine. */
  async members(): Promise<number[]> {
    return (await membersOf()).filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.folder);
      } catch {
        return false;
      }
    });
  }

  async close(): Promise<void> {
    const ended = this.#controllers.map((controller) => controller.end());
    for (const moment of this.#held.keys()) this.release(moment);
    await Promise.all(ended);
    for (const pid of await this.members()) process.kill(pid, 'SIGKILL');
    for (const server of this.#servers) server.close();
    this.#remove();
  }
}
