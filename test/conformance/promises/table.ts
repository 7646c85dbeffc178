import fc from 'fast-check';
import { ContractMachine, type Asked } from '../contract/machine.ts';
import { HOLD_OF, ROLES_OF, protoName, type CallName, type HoldName } from '../contract/table.ts';
import { Difference, Walk } from '../contract/walk.ts';
import { perform } from '../contract/perform.ts';
import { madeOnce } from '../brought-up.ts';
import { LONG_MS, type Lab } from '../lab.ts';
import { Broken, RESTING_ROLES, type ContractPromise } from '../promise.ts';

const TIMEOUT_MS = 5000;
/** Of a sequence. */
const MOST_STEPS = 12;

/** How the states of the table are brought about; `ours` is who then calls, `other` another operation. */
type Way = (kit: Kit) => readonly Asked[];

interface Kit {
  readonly isNode: boolean;
  readonly call: CallName;
  readonly ours: Asked;
  readonly newer: Asked;
  readonly other: Asked;
}

const quiesce = (one: Asked): Asked => ({ ...one, call: 'quiesce', timeoutMs: TIMEOUT_MS, leaseMs: LONG_MS });
const as = (call: CallName, one: Asked): Asked => ({ ...one, call, leaseMs: LONG_MS });
/** The hold that a call is about; of one that is about none, any that its role has. */
function holdOf({ call, isNode }: Kit): HoldName {
  return HOLD_OF[call] ?? (isNode ? 'writingSuspended' : 'quiesced');
}

function taking(kit: Kit): Asked[] {
  const { ours } = kit;
  const name = holdOf(kit);
  if (name === 'quiesced') return [quiesce(ours)];
  if (name === 'maintenance') return [as('enterMaintenance', ours)];
  const suspended = as('suspendWriting', ours);
  return name === 'journalRetained'
    ? [suspended, { ...as('resumeWriting', ours), retainJournal: true }]
    : [suspended];
}
function ending(kit: Kit): Asked {
  const { ours } = kit;
  const name = holdOf(kit);
  if (name === 'quiesced') return as('resume', ours);
  if (name === 'maintenance') return as('leaveMaintenance', ours);
  return as(name === 'journalRetained' ? 'releaseJournal' : 'resumeWriting', ours);
}

const WAYS: Readonly<Record<string, Way>> = {
  'nothing held': () => [],
  held: (kit) => taking(kit),
  'held, and asked twice': (kit) => [...taking(kit), ...taking(kit)],
  ended: (kit) => [...taking(kit), ending(kit)],
  released: (kit) => [...taking(kit), as('release', kit.ours)],
  'at rest': ({ ours }) => [quiesce(ours)],
  'held by another operation': ({ other }) => [quiesce(other)],
};
const REST_WAYS: Readonly<Record<string, Way>> = {
  'at rest with an older token': ({ ours }) => [quiesce(ours)],
  marked: ({ ours }) => [quiesce(ours), as('switchJournal', ours)],
  'a newer token was seen': ({ newer }) => [quiesce(newer), as('resume', newer)],
};

/** Whether a call is made with the newer of both tokens. */
const NEWER = 'at rest with an older token';

const WALKED = (Object.keys(ROLES_OF) as CallName[]).filter((call) => !['describe', 'health'].includes(call));

/** What every call answers in every state, and in any order of them. Where something is broken already, not looked at. */
export const tablePromises: readonly ContractPromise[] = [
  ...WALKED.map((call): ContractPromise => ({
    id: `table-${protoName(call)}`,
    says: `The table of the contract (docs/participant-table.md): ${protoName(call)} in every state.`,
    roles: ROLES_OF[call].filter((role) => RESTING_ROLES.includes(role)),
    hiddenBy: 'all',
    excuse: (description) =>
      description.role === 'realm-service' &&
      !description.primary &&
      ['backUpDatabase', 'relocate'].includes(call)
        ? 'this realm service is a satellite'
        : null,
    check: (lab) => walkStates(lab, call),
  })),
  {
    id: 'sequences',
    says: 'The table of the contract, in any order of calls: tokens, repeats, other operations and leases that run out.',
    roles: RESTING_ROLES,
    hiddenBy: 'all',
    check: walkSequences,
  },
];

async function walkStates(lab: Lab, call: CallName): Promise<string> {
  const differences = await differencesOf(lab);
  const own = differences.get(call);
  if (own !== undefined) throw new Broken(own);
  // What a call did shows in the answers to those after it: where these are other than the table's by themselves, not.
  if (HOLD_OF[call] !== undefined && differences.size === 0) {
    for (const state of waysOf(call)) {
      const difference = await walkWay(lab, call, state, 'and what comes after it');
      if (difference !== null) throw new Broken(difference);
    }
  }
  return `${waysOf(call).length} states: as the table says`;
}

/** The calls whose answer is other than the table's in some state, and how. */
const differencesOf = madeOnce(async (lab: Lab) => {
  const { role, primary } = lab.description;
  const isSatellite = role === 'realm-service' && !primary;
  const differences = new Map<CallName, string>();
  for (const call of WALKED.filter((one) => ROLES_OF[one].includes(role))) {
    if (isSatellite && (call === 'backUpDatabase' || call === 'relocate')) continue;
    for (const state of waysOf(call)) {
      const difference = await walkWay(lab, call, state, 'alone');
      if (difference !== null) differences.set(call, difference);
      if (difference !== null) break;
    }
  }
  return differences;
});

function waysOf(call: CallName): readonly string[] {
  return Object.keys({ ...WAYS, ...(HOLD_OF[call] === 'quiesced' && REST_WAYS) });
}

/** Brings a state about and makes the call. Null where all is as the table says. */
async function walkWay(
  lab: Lab,
  call: CallName,
  state: string,
  what: 'alone' | 'and what comes after it',
): Promise<string | null> {
  const ours: Asked = { call, ...lab.attempt() };
  const isNode = lab.description.role === 'node';
  const newer: Asked = { call, ...lab.attempt(ours.operation ?? '') };
  const kit = { isNode, call, ours, newer, other: { call, ...lab.attempt() } };
  const walk = walkOf(lab);
  const way = { ...WAYS, ...REST_WAYS }[state];
  try {
    for (const asked of way?.(kit) ?? []) await walk.step(asked);
  } catch (error) {
    await releaseBoth(lab, kit);
    // Another call's: of this one nothing can be said here.
    if (error instanceof Difference) return null;
    throw error;
  }
  const asked = state === NEWER ? newer : ours;
  const after = what === 'alone' ? [] : [...taking(kit), ending(kit)];
  try {
    for (const next of [call === 'quiesce' ? quiesce(asked) : as(call, asked), ...after])
      await walk.step(next);
    return null;
  } catch (error) {
    if (error instanceof Difference) return error.message;
    throw error;
  } finally {
    await releaseBoth(lab, kit);
  }
}

async function releaseBoth(lab: Lab, { ours, other }: Kit): Promise<void> {
  for (const { operation = '' } of [ours, other])
    await perform(lab.participant, { call: 'release', operation });
}

interface Drawn {
  readonly call: CallName;
  readonly isOther: boolean;
  readonly token: 'same' | 'new' | 'old';
  readonly retain: boolean;
  readonly lapses: boolean;
}

async function walkSequences(lab: Lab): Promise<string> {
  const { role } = lab.description;
  const calls = WALKED.filter(
    (call) => ROLES_OF[call].includes(role) && !['backUpDatabase', 'relocate'].includes(call),
  );
  const drawn: fc.Arbitrary<Drawn> = fc.record({
    call: fc.constantFrom(...calls),
    isOther: fc.integer({ min: 0, max: 4 }).map((n) => n === 4),
    token: fc.constantFrom('same', 'same', 'new', 'old'),
    retain: fc.boolean(),
    lapses: fc.integer({ min: 0, max: 15 }).map((n) => n === 15),
  });
  const { seed, runs } = lab.sequences;
  const property = fc.asyncProperty(fc.array(drawn, { minLength: 3, maxLength: MOST_STEPS }), (steps) =>
    walkOne(lab, steps),
  );
  const details = await fc.check(property, { seed, numRuns: runs, endOnFailure: true });
  if (!details.failed) return `${runs} sequences of up to ${MOST_STEPS} calls (seed ${seed})`;
  const cause: unknown = details.errorInstance;
  if (cause instanceof Difference) throw new Broken(`${cause.message} (seed ${seed})`);
  throw cause;
}

async function walkOne(lab: Lab, steps: readonly Drawn[]): Promise<void> {
  const old = lab.attempt();
  const [ours, other] = [lab.attempt(), lab.attempt()];
  const last = new Map([
    [ours.operation, ours.token],
    [other.operation, other.token],
  ]);
  const walk = walkOf(lab);
  try {
    for (const { call, isOther, token: which, retain, lapses } of steps) {
      const { operation } = isOther ? other : ours;
      const token =
        which === 'new' ? lab.attempt(operation).token : which === 'old' ? old.token : last.get(operation);
      if (which === 'new' && token !== undefined) last.set(operation, token);
      const name = HOLD_OF[call];
      const isFree = name !== undefined && !walk.holds(name);
      const leaseMs = lapses && isFree ? lab.pace.leaseMs : LONG_MS;
      const asked = { call, operation, token, retainJournal: retain, leaseMs, timeoutMs: TIMEOUT_MS };
      await walk.step(asked);
      if (leaseMs === LONG_MS || name === undefined) continue;
      const held = call === 'resumeWriting' ? 'journalRetained' : name;
      if (!walk.holds(held)) continue;
      if (!(await lab.endsByItself(held, leaseMs)))
        throw new Difference(`after ${walk.path}: it does not end by itself`);
      await walk.lapsed(held);
    }
  } finally {
    for (const { operation } of [ours, other]) await lab.participant.release({ operation });
  }
}

function walkOf(lab: Lab): Walk {
  const { role, primary } = lab.description;
  return new Walk(
    lab.participant,
    new ContractMachine(role, { isSatellite: role === 'realm-service' && !primary }),
  );
}
