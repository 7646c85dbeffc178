import { PLANTED_BEFORE_THE_ARM } from './planted-before-the-arm.ts';
import { PLANTED_IN_THE_COORDINATOR } from './planted-coordinator.ts';
import { PLANTED_IN_DOMAINS } from './planted-domain.ts';
import { PLANTED_IN_HOLDS } from './planted-holds.ts';
import { PLANTED_IN_THE_DRIVER } from './planted-driver.ts';
import { PLANTED_IN_THE_MEMBER } from './planted-member.ts';
import { PLANTED_IN_THE_REPOSITORY } from './planted-repository.ts';
import { PLANTED_IN_THE_OPERATION } from './planted-operation.ts';
import { PLANTED_IN_THE_RUNTIME } from './planted-runtime.ts';
import { PLANTED_IN_THE_UNDO } from './planted-undo.ts';
import { PLANTED_AMONG_VIEWERS } from './planted-viewers.ts';
import type { Planted } from './plant.ts';

/** Every one of these must be found. One that survives is a gap in the simulator. */
export const PLANTED: readonly Planted[] = [
  ...PLANTED_IN_THE_COORDINATOR,
  ...PLANTED_IN_THE_MEMBER,
  ...PLANTED_BEFORE_THE_ARM,
  ...PLANTED_AMONG_VIEWERS,
  ...PLANTED_IN_THE_REPOSITORY,
  ...PLANTED_IN_THE_UNDO,
  ...PLANTED_IN_THE_DRIVER,
  ...PLANTED_IN_THE_RUNTIME,
  ...PLANTED_IN_THE_OPERATION,
  ...PLANTED_IN_DOMAINS,
  ...PLANTED_IN_HOLDS,
];
