import { brief, LONG_MS } from '../lab.ts';
import { holdKinds } from '../holds.ts';
import { Broken, EVERY_ROLE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';
import { describeWithUnknownField } from '../unknown-field.ts';

const A_SECOND_MS = 1000;

/** What a process says of itself. */
export const describePromises: readonly ContractPromise[] = [
  {
    id: 'describe-complete',
    says: 'Describe: what the process is and how it does.',
    roles: EVERY_ROLE,
    check({ description }) {
      const { role, grid, address, version, dataIdentity } = description;
      const required: [string, boolean][] = [
        ['grid', grid !== ''],
        ['version', version !== ''],
        ['address as host:port', /^.+:\d{1,5}$/.test(address)],
        ['copyset', role !== 'node' || description.copyset !== null],
        ['data_identity', (role !== 'node' && role !== 'state-keeper') || dataIdentity !== ''],
        ['journal_directory', role !== 'node' || description.journalDirectory !== ''],
        ['quorum', role !== 'state-keeper' || description.quorum !== null],
        ['definition', role !== 'realm-service' || description.definition !== null],
      ];
      const missing = required.filter(([, isThere]) => !isThere).map(([field]) => field);
      if (missing.length > 0) throw new Broken(`missing: ${missing.join(', ')}`);
      return Promise.resolve(`${role} ${description.name} of grid ${grid}`);
    },
  },
  {
    id: 'describe-in-every-state',
    says: 'Describe: is answered in every state, within a second.',
    roles: EVERY_ROLE,
    async check(lab) {
      const { participant } = lab;
      let slowestMs = 0;
      const ask = async (state: string): Promise<void> => {
        const from = performance.now();
        await participant.describe();
        const tookMs = performance.now() - from;
        slowestMs = Math.max(slowestMs, tookMs);
        if (tookMs > A_SECOND_MS) throw new Broken(`${state}, the answer took ${Math.round(tookMs)} ms`);
      };
      await ask('with nothing held');
      for (const kind of holdKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, LONG_MS);
        await ask(kind.name);
        await kind.end(lab, attempt);
      }
      return `the slowest answer took ${slowestMs.toFixed(1)} ms`;
    },
  },
  {
    id: 'describe-tells-holds',
    says: 'Describe: what is held back now, and for which operation.',
    roles: EVERY_ROLE,
    async check(lab) {
      const { participant } = lab;
      for (const kind of holdKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, LONG_MS);
        const { held } = await participant.describe();
        const ending = await kind.end(lab, attempt);
        if (held[kind.name] && held.operation === attempt.operation) continue;
        if (!ending.held) throw new Unjudged(`it says that it did not hold: ${ending.cause}`);
        throw new Broken(`${kind.name} for ${attempt.operation}, but held was ${brief(held)}`);
      }
      const { held } = await participant.describe();
      const holds = held.quiesced || held.writingSuspended || held.journalRetained || held.maintenance;
      if (holds) throw new Unjudged(`something is still held: ${brief(held)}`);
      return 'held and operation are as was asked';
    },
  },
  {
    id: 'incarnation-stable',
    says: 'Describe: the incarnation changes with every start of the process, and at no other time.',
    roles: EVERY_ROLE,
    async check(lab) {
      const { participant } = lab;
      const seen = new Set([lab.description.incarnation]);
      for (let round = 0; round < 3; round += 1) seen.add((await participant.describe()).incarnation);
      for (const kind of holdKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, LONG_MS);
        seen.add((await participant.describe()).incarnation);
        if (kind.name === 'quiesced') seen.add((await participant.switchJournal(attempt)).incarnation);
        seen.add((await kind.end(lab, attempt)).incarnation);
        seen.add((await participant.release(attempt)).incarnation);
      }
      if (seen.size > 1) throw new Broken(`${seen.size} incarnations: ${[...seen].slice(0, 3).join(', ')}`);
      return lab.description.incarnation;
    },
  },
  {
    id: 'health-says-why',
    says: 'Health: is it fit for clients? Why not; one line.',
    roles: EVERY_ROLE,
    async check({ participant }) {
      const { healthy, cause } = await participant.health();
      if (healthy) return 'healthy';
      if (cause.trim() === '' || cause.includes('\n')) throw new Broken(`unhealthy, cause ${brief(cause)}`);
      return cause;
    },
  },
  {
    id: 'unknown-fields-ignored',
    says: 'Versions: a process ignores fields that it does not know.',
    roles: EVERY_ROLE,
    async check({ target, tls }) {
      await describeWithUnknownField(target, tls);
      return 'Describe with a field of a later contract was answered';
    },
  },
  {
    id: 'endings-held',
    says: 'Resume, ResumeWriting, ReleaseJournal, LeaveMaintenance: held, when it was held without a break.',
    roles: RESTING_ROLES,
    async check(lab) {
      for (const kind of holdKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, LONG_MS);
        const { held, cause } = await kind.end(lab, attempt);
        if (!held) throw new Broken(`${kind.ending} at once: held is false ${cause}`);
      }
      return 'held where it was ended at once';
    },
  },
];
