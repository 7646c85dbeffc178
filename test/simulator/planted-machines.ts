import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import type * as identity from '../../agent/engines/postgres/server/server-identity.ts';
import type * as checkpoint from '../../agent/checkpoint-operation.ts';
import type * as guard from '../../agent/guard/watches.ts';
import type * as hostClaim from '../../agent/host-claim.ts';
import type * as jobs from '../../agent/jobs.ts';
import type * as undoKeeper from '../../agent/undo-keeper.ts';
import type * as assignment from '../../coordinator/assignment.ts';
import type * as heldJob from '../../coordinator/jobs/held-job.ts';
import type * as driver from '../../coordinator/checkpoint-run.ts';
import type * as judgeSet from '../../shared/domain/judge-set.ts';
import type * as claim from '../../shared/protocol/claim.ts';
import type * as coordinator from '../../shared/protocol/coordinator-machine.ts';
import type * as member from '../../shared/protocol/member-machine.ts';
import type * as repository from '../../shared/repository/directory-repository.ts';
import type * as writeDaemon from './write-daemon.ts';
import type * as written from './written.ts';
import { MACHINES, type Machines } from './machines.ts';
import type { Planted } from './plant.ts';

const SHARED = new URL('../../shared/', import.meta.url).href;
const MARK = '?planted=';
const ERRORS = new URL('domain/errors.ts', SHARED).href;
const known = new Map<string, Planted>();
let isHooked = false;

/**
 * The machines with one fault planted: their own sources, loaded anew with a few words replaced. An edit whose
 * words are not there, or more than once, is an error: a mutant that changes nothing proves nothing.
 */
export async function plantedMachines(planted: Planted): Promise<Machines> {
  hook();
  known.set(planted.id, planted);
  mustFit(planted);
  const load = (file: string): Promise<unknown> => import(`${SHARED}${file}${MARK}${planted.id}`);
  if (planted.handIn !== undefined) return { ...MACHINES, ...planted.handIn(MACHINES) };
  return {
    guard: (await load('../agent/guard/watches.ts')) as typeof guard,
    undoKeeper: (await load('../agent/undo-keeper.ts')) as typeof undoKeeper,
    identity: (await load('../agent/engines/postgres/server/server-identity.ts')) as typeof identity,
    assignment: (await load('../coordinator/assignment.ts')) as typeof assignment,
    driver: (await load('../coordinator/checkpoint-run.ts')) as typeof driver,
    checkpoint: (await load('../agent/checkpoint-operation.ts')) as typeof checkpoint,
    hostClaim: (await load('../agent/host-claim.ts')) as typeof hostClaim,
    heldJob: (await load('../coordinator/jobs/held-job.ts')) as typeof heldJob,
    jobs: (await load('../agent/jobs.ts')) as typeof jobs,
    coordinator: (await load('protocol/coordinator-machine.ts')) as typeof coordinator,
    member: (await load('protocol/member-machine.ts')) as typeof member,
    judgeSet: (await load('domain/judge-set.ts')) as typeof judgeSet,
    claim: (await load('protocol/claim.ts')) as typeof claim,
    repository: (await load('repository/directory-repository.ts')) as typeof repository,
    writeDaemon: (await load('../test/simulator/write-daemon.ts')) as typeof writeDaemon,
    written: (await load('../test/simulator/written.ts')) as typeof written,
  };
}

/** Throws where the words of an edit are not in their source exactly once. */
export function mustFit({ id, edits }: Planted): void {
  for (const { file, from } of edits) {
    const count = readFileSync(new URL(file, SHARED), 'utf8').split(from).length - 1;
    if (count !== 1) throw new Error(`${id}: "${from}" is ${count} times in shared/${file}`);
  }
}

function hook(): void {
  if (isHooked) return;
  isHooked = true;
  registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context);
      const [, id] = (context.parentURL ?? '').split(MARK);
      // What a planted module imports is planted too; but errors are known by their class, of which there is one.
      return id === undefined || !specifier.startsWith('.') || resolved.url === ERRORS
        ? resolved
        : { ...resolved, url: `${resolved.url}${MARK}${id}` };
    },
    load: (url, context, next) => {
      const [file, id] = url.split(MARK);
      const planted = known.get(id ?? '');
      if (file === undefined || planted === undefined) return next(url, context);
      let source = readFileSync(new URL(file), 'utf8');
      for (const edit of planted.edits) {
        // A function: what is put in is taken to the letter.
        if (file === new URL(edit.file, SHARED).href) source = source.replace(edit.from, () => edit.to);
      }
      return { format: 'module-typescript', source, shortCircuit: true };
    },
  });
}
