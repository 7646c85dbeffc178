import { EXIT, failureOf, StillpointError, type MemberState } from '../shared/domain/errors.ts';
import type { RestoreStep, RestoreStepResult } from '../shared/domain/wire.ts';
import { warningLine, type Warning } from '../shared/domain/warning.ts';
import type { PlannedMember } from './planned-member.ts';

/**
 * The restore is decided: members are opened wave by wave, then the old directories are dropped. Nothing turns back
 * from here, so a failure stops nobody else. Resolves with warnings; rejects `restored-not-open`, when all was tried,
 * where members do not do their work.
 */
export async function openRestored(input: {
  readonly waves: readonly (readonly PlannedMember[])[];
  readonly restoreId: string;
  step(member: PlannedMember, step: RestoreStep): Promise<RestoreStepResult>;
}): Promise<Warning[]> {
  const warnings: Warning[] = [];
  const problems: {
    readonly member: PlannedMember;
    readonly message: string;
    readonly state: MemberState;
  }[] = [];
  for (const wave of input.waves) {
    await Promise.all(
      wave.map(async (member) => {
        try {
          const opened = await input.step(member, { type: 'open' });
          if (opened.type === 'opened') {
            warnings.push(...opened.warnings);
            for (const message of opened.problems) problems.push({ member, message, state: 'running' });
          }
        } catch (error) {
          const { message } = failureOf(error, { code: 'finish', hint: '' });
          problems.push({ member, message, state: 'unknown' });
          return;
        }
        await input.step(member, { type: 'finish' }).catch((error: unknown) => {
          const { message } = failureOf(error, { code: 'finish', hint: '' });
          const text = `the old directory is not dropped yet (${message})`;
          const hint = 'its agent goes on trying';
          warnings.push({ code: 'old-data-left', about: member.name, text, hint });
        });
      }),
    );
  }
  if (problems.length === 0) return warnings;
  throw notOpen(input, problems, warnings);
}

function notOpen(
  { waves, restoreId }: { waves: readonly (readonly PlannedMember[])[]; restoreId: string },
  problems: readonly { member: PlannedMember; message: string; state: MemberState }[],
  warnings: readonly Warning[],
): StillpointError {
  const [first] = problems;
  const said = problems.map(({ member, message }) =>
    message.includes(member.name) ? message : `${member.name}: ${message}`,
  );
  const noted = warnings.length === 0 ? '' : `; also: ${warnings.map(warningLine).join('; ')}`;
  return new StillpointError(
    {
      code: 'restored-not-open',
      message: `the data is restored, proven and decided, but not every member does its work: ${said.join('; ')}${noted}`,
      hint: `put that right; agents go on trying to start what does not run, and stillpoint restore --finish ${restoreId} asks them again`,
      ...(first !== undefined && { host: first.member.to.host, member: first.member.name }),
      phase: 'start',
      members: waves.flat().map((member) => ({
        name: member.name,
        state: problems.find((problem) => problem.member === member)?.state ?? 'running',
      })),
    },
    EXIT.invalid,
  );
}
