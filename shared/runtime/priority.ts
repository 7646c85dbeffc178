import { constants, getPriority, setPriority } from 'node:os';

const URGENT = constants.priority.PRIORITY_HIGHEST;
let urgent = 0;
let usual = 0;

/**
 * While members are held, this thread (and threads it starts) goes before others on a busy host. Where the
 * system does not let us, it stays as it is. Returns the way back; call it once or more.
 */
export function raisePriority(): () => void {
  if (urgent === 0) {
    usual = getPriority();
    prioritize(URGENT);
  }
  urgent += 1;
  let over = false;
  return () => {
    if (over) return;
    over = true;
    urgent -= 1;
    if (urgent === 0) prioritize(usual);
  };
}

function prioritize(priority: number): void {
  try {
    setPriority(priority);
  } catch {
    // Only root may go before others.
  }
}
