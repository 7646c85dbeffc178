import { StillpointError } from './errors.ts';
import { NAME } from './name.ts';

/**
 * The name of a checkpoint: `<timestamp>_<epoch>_<counter>_<name>`, for example
 * `20261120T120000.123Z_00000000_00000007_nightly`. The name may itself hold `_`.
 */
export interface CheckpointId {
  readonly at: Date;
  readonly epoch: number;
  readonly counter: number;
  readonly name: string;
}

const ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{3})Z_(\d{8})_(\d{8})_(.+)$/;

export function formatCheckpointId(id: CheckpointId): string {
  const timestamp = id.at.toISOString().replace(/[-:]/g, '');
  return `${timestamp}_${pad8(id.epoch)}_${pad8(id.counter)}_${id.name}`;
}

/** Null where the text is no checkpoint id. */
export function parseCheckpointId(text: string): CheckpointId | null {
  const match = ID.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second, ms, epoch, counter, name] = match;
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
  if (Number.isNaN(at.getTime()) || name === undefined || !NAME.test(name)) return null;
  return { at, epoch: Number(epoch), counter: Number(counter), name };
}

/** Throws `bad-checkpoint-name` unless the name can stand in a file name on every system. */
export function checkCheckpointName(name: string): void {
  if (NAME.test(name)) return;
  throw new StillpointError({
    code: 'bad-checkpoint-name',
    message: `'${name}' is not a checkpoint name`,
    hint: 'use 1 to 64 letters, digits, dots, dashes or underscores, and begin with a letter or digit',
  });
}

function pad8(value: number): string {
  return String(value).padStart(8, '0');
}
