import { parseArgs } from 'node:util';
import type { MemberSettings } from '../../agent/engines/registry.ts';
import { engineOf } from '../../agent/engines/registry.ts';

/** What an agent sees of a member: printed as a line of JSON. Run by the tests in a process of another user. */
const { values } = parseArgs({ options: { settings: { type: 'string' } } });
const settings = JSON.parse(values.settings ?? '') as MemberSettings;
const engine = await engineOf(settings).create(settings);
const description = await engine.describe(AbortSignal.timeout(20_000));
const findings = await engine.diagnose(AbortSignal.timeout(20_000));
process.stdout.write(`${JSON.stringify({ description, findings })}\n`);
process.exit();
