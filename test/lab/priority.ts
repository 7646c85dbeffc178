import { constants, getPriority, setPriority } from 'node:os';

/** Whether this process may go before others, tried on itself. */
export function mayRaisePriority(): boolean {
  const usual = getPriority();
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
    setPriority(usual);
    return true;
  } catch {
    return false;
  }
}
