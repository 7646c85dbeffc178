import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { Finding } from '../engine.ts';
import { hasUnit, unitFindings } from '../restore/unit.ts';
import { describeNative } from './describe.ts';
import { withParticipant } from './link.ts';
import { differingMetadata } from './metadata.ts';
import { liveOf, type NativeSettings } from './settings.ts';

/** What `grid doctor` says of a native member, before a checkpoint or a restore finds it out. */
export async function diagnoseNative(settings: NativeSettings): Promise<Finding[]> {
  const findings: Finding[] = [];
  const find = (level: Finding['level'], code: string, message: string, hint: string): void =>
    void findings.push({ level, failure: { code, message, hint } });
  const description = await describeNative(settings, false);
  for (const failure of description.problems) findings.push({ level: 'problem', failure });
  if (!description.running)
    find('problem', 'member-down', `${settings.name} does not answer`, howToStart(settings));
  else if (description.problems.length === 0) {
    const { healthy, cause } = await withParticipant(settings, (participant) => participant.health());
    if (!healthy)
      find(
        'warning',
        'member-unhealthy',
        `${settings.name} is not healthy: ${cause}`,
        `a checkpoint would wait for it in vain, or be refused: mend what it names${hasUnit(settings) ? ` (journalctl -u ${settings.unit})` : ''}`,
      );
  }
  if (hasUnit(settings)) findings.push(...(await unitFindings(settings, null)));
  for (const what of ['start', 'stop'] as const) {
    if (hasUnit(settings) || settings.run?.[what] !== undefined) continue;
    const hint = `unit: NAME, or run: { ${what}: [program, arguments…] } in the agent file`;
    find('warning', 'native-run', `a restore does not know how to ${what} ${settings.name}`, hint);
  }
  if (settings.role !== 'proxy') {
    try {
      await access(settings.data, constants.R_OK | constants.W_OK | constants.X_OK);
      await access(liveOf(settings), constants.R_OK | constants.X_OK);
    } catch (error) {
      const { message } = error as Error;
      find(
        'problem',
        'data-not-readable',
        message,
        'let the agent run as root, or as the owner of the directory',
      );
    }
  }
  if (settings.role === 'node') {
    for (const path of await differingMetadata(settings)) {
      find(
        'problem',
        'metadata-differs',
        `${path} is not as it was written, and differs from that on the other nodes of the copyset`,
        'restore from the repository, and look at the disk; create a new checkpoint',
      );
    }
  }
  return findings;
}

/** The very command, where the agent's file has one. */
function howToStart({ name, unit, run, participant }: NativeSettings): string {
  if (unit !== undefined)
    return `systemctl start ${unit}; why it is down: journalctl -u ${unit}. Where it runs: participant (${participant}) in the agent file must be its socket`;
  const start = run?.start?.join(' ');
  return `start ${name}${start === undefined ? '' : ` (${start})`}; where it runs, participant (${participant}) in the agent file must be its socket`;
}
