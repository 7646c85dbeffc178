import { plant, type Planted } from './plant.ts';

const VIEWERS = 'protocol/viewers';
const ATTEMPT = 'protocol/coordinator-attempt';
const VALIDITY = 'protocol/validity';
const ENGINE = 'protocol/member-engine';

const NOBODY_HOLDS = 'if (observer === undefined && !viewer.isBlind) return';

/** Whoever has a member's journal: who is asked for, when, and what it is compared with. */
export const PLANTED_AMONG_VIEWERS: readonly Planted[] = [
  plant('no-comparison-with-the-arm', 'in-vain', [
    ATTEMPT,
    'return unheldAtArm(state, next) === null\n    ? becomeFreezing',
    'return now >= 0\n    ? becomeFreezing',
  ]),
  plant('no-comparison-in-the-proof', 'proven', [
    VALIDITY,
    'return findUnheld(viewed, allowLogical);',
    'return viewed.length < 0 ? findUnheld(viewed, allowLogical) : null;',
  ]),
  plant('who-was-seen-with-the-arm-is-not-passed-on', 'in-vain', [
    ENGINE,
    '...(viewing !== undefined && { viewing }),',
    '...(viewing === undefined && { viewing }),',
  ]),
  plant('names-are-not-counted', 'proven', [
    VIEWERS,
    'held.get(viewer.key)?.pop()',
    'held.get(viewer.key)?.[0]',
  ]),
  plant('an-observer-that-does-not-stream-accounts-for-its-name', 'proven', [
    VIEWERS,
    NOBODY_HOLDS,
    "if (observer === undefined && !viewer.isBlind && !viewer.key.startsWith('observer')) return",
  ]),
  plant('who-came-and-went-is-nobody', 'proven', [
    VIEWERS,
    NOBODY_HOLDS,
    "if (observer === undefined && !viewer.isBlind && viewer.key !== '') return",
  ]),
  plant('nobody-asks-who-streams-from-an-observer', 'proven', [
    VIEWERS,
    "const standbys = viewersOf(members, 'standby');",
    "const standbys = viewersOf(members, 'standby').filter(({ member }) => member.kind !== 'observer');",
  ]),
  plant('only-the-first-viewer-is-looked-at', 'proven', [
    VIEWERS,
    '.filter((viewer) => viewer.kind === kind)',
    '.slice(0, 1).filter((viewer) => viewer.kind === kind)',
  ]),
  plant('a-blind-one-must-be-held', 'no-reason', [
    VIEWERS,
    NOBODY_HOLDS,
    'if (observer === undefined) return',
  ]),
  plant('logical-consumers-are-not-looked-at', 'proven', [
    VIEWERS,
    'return findLogical(members, allowLogical) ?? findStandby(members);',
    'return findStandby(members) ?? (allowLogical ? findLogical([], true) : null);',
  ]),
  plant('a-consumer-is-always-allowed', 'proven', [VIEWERS, 'if (allowLogical) continue;', 'continue;']),
  plant('a-member-may-subscribe-where-consumers-are-allowed', 'proven', [
    VIEWERS,
    'if (subscription === undefined) continue;',
    'if (subscription === undefined || allowLogical) continue;',
  ]),
  plant('consumers-are-never-allowed', 'no-reason', [
    VIEWERS,
    'if (allowLogical) continue;',
    'if (allowLogical && viewer.key === "") continue;',
  ]),
];
