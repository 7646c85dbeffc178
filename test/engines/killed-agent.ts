import { parseArgs } from 'node:util';
import type { MemberSettings } from '../../agent/engines/registry.ts';
import { engineOf } from '../../agent/engines/registry.ts';
import type { Token } from '../../shared/domain/token.ts';
import { beginCapture } from './tested-capture.ts';

/**
 * An agent to be killed: brings a capture to a state, prints the undo that it saved as a line of JSON, and
 * stays there. Run by the tests in a process of its own.
 */
const { values } = parseArgs({
  options: {
    settings: { type: 'string' },
    folder: { type: 'string' },
    state: { type: 'string' },
    token: { type: 'string' },
  },
});
const settings = JSON.parse(values.settings ?? '') as MemberSettings;
const { capture, undo } = await beginCapture(await engineOf(settings).create(settings), values.folder ?? '');
await capture.prepare();
const token = JSON.parse(values.token ?? '') as Token;
await capture.arm(token);
if (values.state === 'frozen') await capture.freeze(token);
process.stdout.write(`${JSON.stringify(undo())}\n`);
if (values.state === 'freezing') await capture.freeze(token);
setInterval(() => undefined, 1000);
