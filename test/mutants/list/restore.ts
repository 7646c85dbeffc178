import { edit, type Mutant } from '../mutant.ts';

const SAID = { file: 'engines/native/said.test.ts' } as const;
const REALM_RESTORE = { file: 'coordinator/realm-restore.test.ts' } as const;
const MAIN_JOB = {
  file: 'e2e/reference/main-job.test.ts',
  only: 'is captured while|comes back on other hosts|names the new places|goes on there',
} as const;

/** Nodes of these names come back without a row, and are filled by their copysets. */
const emptyNodes = (names: string): Mutant['edits'] => [
  edit(
    'agent/engines/native/restoration',
    "if (this.#settings.role === 'node') await stage.room",
    `if (/${names}/.test(this.#settings.name)) await stage.directory(staged, 0o700);
    else if (this.#settings.role === 'node') await stage.room`,
  ),
];

/** What a restore promises. */
export const RESTORE_MUTANTS: readonly Mutant[] = [
  {
    id: 'S5',
    breaks: 'does not tell the realm where the data directories are now',
    edits: [edit('coordinator/relocation', 'dataDirectory: to.dataDirectory,', "dataDirectory: '',")],
    file: 'coordinator/realm-restore-plan.test.ts',
  },
  {
    id: 'S4',
    breaks: 'brings a node back empty where it had data before, on the same machine',
    edits: [
      edit(
        'agent/engines/native/restoration',
        "if (this.#settings.role === 'node') await stage.room",
        `if (this.#settings.role === 'node' && (await isThere(live))) await stage.directory(staged, 0o700);
    else if (this.#settings.role === 'node') await stage.room`,
      ),
    ],
    file: 'e2e/reference/salvage.test.ts',
    only: 'on the same machines',
  },
  {
    id: 'S9',
    breaks: 'is not blocked by one process that runs',
    edits: [
      edit(
        'coordinator/restore',
        'if (this.#wasRunning.size === 0) return;',
        'if (this.#wasRunning.size <= 1) return;',
      ),
    ],
    ...REALM_RESTORE,
  },
  {
    id: 'S13',
    breaks: 'takes a manifest for a member of the checkpoint, whichever checkpoint it is of',
    edits: [
      edit(
        'shared/repository/catalogue',
        'parseMemberManifest((await readDigested(path, digest)).toString(), path);',
        'parseMemberManifest(((await readOrNull(path)) ?? digest).toString(), path);',
      ),
      edit(
        'shared/repository/catalogue',
        'manifest.grid !== grid || manifest.checkpoint !== checkpoint || manifest.member.name',
        'manifest.member.name',
      ),
    ],
    file: 'coordinator/damaged-restore.test.ts',
    only: 'of the checkpoint before',
  },
  {
    id: 'S63',
    breaks: 'gives a restored server no journal to recover from',
    edits: [
      edit(
        'agent/engines/postgres/restore/restoration',
        "await stage.room(source, 'journal', journal, undefined, (file) => file.mode | (groupReads ? 0o040 : 0));",
        'await stage.directory(journal, 0o700);',
      ),
    ],
    file: 'e2e/main-job.test.ts',
    only: 'PostgreSQL 18 .*(is captured while|comes back elsewhere|has rolled back)',
  },
  {
    id: 'S16',
    breaks: 'starts a process before its restored files are in place',
    edits: [
      edit(
        'agent/engines/native/restoration',
        'if (record !== null) await switchDirectories(record);',
        'if (record !== null) await isThere(record.checkpoint);',
      ),
    ],
    ...SAID,
  },
  {
    id: 'S17',
    breaks: 'tells satellites too where the processes are',
    edits: [
      edit(
        'coordinator/restore',
        'await this.#steps.each([relocation.tell], {',
        "await this.#steps.each(members.filter(({ role }) => role === 'realm-service'), {",
      ),
    ],
    ...REALM_RESTORE,
  },
  {
    id: 'S19',
    breaks: 'takes one of several primary realm services for a satellite of another',
    edits: [
      edit(
        'coordinator/restore-sources',
        "hasData(own) || own.role === 'proxy'",
        "(hasData(own) && own.name !== 'r2') || own.role === 'proxy'",
      ),
    ],
    file: 'coordinator/realm-restore-plan.test.ts',
  },
  {
    id: 'S25',
    breaks: 'gives a restored keeper no state to start from',
    edits: [
      edit(
        'agent/engines/native/restoration',
        "if (this.#settings.role === 'realm-service' && follow !== null) return;",
        "if (this.#settings.role === 'state-keeper' || follow !== null) return;",
      ),
    ],
    ...SAID,
  },
  {
    id: 'S43',
    breaks: 'starts proxies before what they need',
    edits: [
      edit(
        'coordinator/restore-plan',
        "['realm-service', 'state-keeper', 'node', 'proxy']",
        "['proxy', 'realm-service', 'state-keeper', 'node']",
      ),
    ],
    file: 'coordinator/realm-restore-plan.test.ts',
  },
  {
    id: 'S6',
    breaks: 'does not look whether a stopped realm is of another grid',
    edits: [edit('coordinator/restore-plan', 'realm !== null && realm.grid !== grid', 'false')],
    file: 'coordinator/realm-restore-plan.test.ts',
  },
  {
    id: 'S7',
    breaks: 'does not look what else is in the realm of a target that does not run',
    edits: [
      edit(
        'coordinator/restore-plan',
        'description.realm?.foreign ?? []',
        '(description.running && description.realm?.foreign) || []',
      ),
    ],
    file: 'coordinator/realm-restore-plan.test.ts',
  },
  {
    id: 'S10',
    breaks: 'leaves out what has no place in the target',
    edits: [
      edit(
        'coordinator/restore-plan',
        'const target = alike ?? targetOf(member, targets, maps, manifest);',
        `if (!targets.some(({ description }) => description.name === member.name)) continue;
        const target = alike ?? targetOf(member, targets, maps, manifest);`,
      ),
    ],
    file: 'coordinator/restore-plan.test.ts',
  },
  {
    id: 'S12',
    breaks: 'believes in what a restored process came up with, without a look',
    edits: [edit('agent/engines/native/restoration', 'missed.differs === null', 'true')],
    file: 'engines/native/restored-content.test.ts',
  },
  {
    id: 'S18',
    breaks: 'does not tell the primary realm service where its satellites are now',
    edits: [
      edit(
        'coordinator/relocation',
        'processes: defined.map(',
        'processes: defined.filter(({ follow }) => follow === null).map(',
      ),
    ],
    ...MAIN_JOB,
  },
  {
    id: 'S22',
    breaks: "starts the realm service without its database's backup",
    edits: [
      edit(
        'agent/engines/native/restoration',
        "this.#settings.role === 'realm-service' && follow !== null",
        "this.#settings.role === 'realm-service'",
      ),
    ],
    ...SAID,
  },
  {
    id: 'S29',
    breaks: 'brings keepers back with an identity and no state',
    edits: [
      edit(
        'agent/engines/native/restoration',
        "join(staged, 'recovery'), entry, source.read(STATE_FILE));",
        `join(staged, 'recovery'), entry, withoutState(source.read(STATE_FILE)));
    async function* withoutState(parts: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
      let text = '';
      for await (const part of parts) text += Buffer.from(part).toString();
      const state = JSON.parse(text) as { copysets?: object };
      yield Buffer.from(JSON.stringify(state.copysets === undefined ? state : { ...state, copysets: {} }));
    }`,
      ),
    ],
    ...MAIN_JOB,
  },
  {
    id: 'S40',
    breaks: 'brings the second node of every copyset back empty',
    edits: emptyNodes('^[ab]2$'),
    ...MAIN_JOB,
  },
  {
    id: 'S42',
    breaks: 'brings one node back without its data',
    edits: emptyNodes('^b2$'),
    ...MAIN_JOB,
  },
  {
    id: 'S110',
    breaks: 'makes a cache that is there anew as the checkpoint has it',
    edits: [
      edit(
        'agent/engines/infinispan/restore/replace',
        'const stays = archived.has(name) || !isKept;',
        'const stays = !isKept;',
      ),
    ],
    file: 'engines/infinispan/restoration.test.ts',
  },
  {
    id: 'S111',
    breaks: 'leaves what is there as it is',
    edits: [
      edit(
        'agent/engines/infinispan/restore/replace',
        'if (apart.has(cache)) continue;',
        'if (apart.has(cache) || archived.has(cache)) continue;',
      ),
      edit(
        'agent/engines/infinispan/restore/replace',
        'const caches = namesOf(content.caches).filter((name) => !apart.has(name));',
        'const caches = namesOf(content.caches).filter((name) => !apart.has(name) && !kept.has(name));',
      ),
      edit(
        'agent/engines/infinispan/restore/replace',
        'if (stays && !apart.has(name))',
        'if (stays && !apart.has(name) && !now.caches.includes(name))',
      ),
    ],
    file: 'engines/infinispan/restoration.test.ts',
  },
];
