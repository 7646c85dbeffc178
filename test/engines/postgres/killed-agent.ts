import { parseArgs } from 'node:util';
import type { PostgresSettings } from '../../../agent/engines/postgres/settings.ts';
import { createPostgresEngine } from '../../../agent/engines/postgres/postgres-engine.ts';
import { beginCapture, token } from './lab.ts';

/**
 * An agent to be killed: brings a capture to a state, prints the undo that it saved as a line of JSON, and
 * stays there. Run by the tests in a process of its own.
 */
const { values } = parseArgs({
  options: { settings: { type: 'string' }, folder: { type: 'string' }, state: { type: 'string' } },
});
const settings = JSON.parse(values.settings ?? '') as PostgresSettings;
const { capture, undo } = await beginCapture(createPostgresEngine(settings), values.folder ?? '');
await capture.prepare();
await capture.arm(token());
if (values.state === 'frozen') await capture.freeze(token());
process.stdout.write(`${JSON.stringify(undo())}\n`);
setInterval(() => undefined, 1000);
