import type { Repository } from '../shared/repository/repository.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { AgentMember } from './checkpoint-operation.ts';
import type { StateDirectory } from './state-directory.ts';

/**
 * Ends the restores that a killed agent left half done, as the decision in the repository says; where there
 * is none yet, this host makes it: rolled back. What cannot be ended now stays recorded, and preflight
 * refuses the member until it is.
 */
export async function recoverRestores(context: {
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly state: StateDirectory;
  readonly repository: () => Promise<Repository>;
  readonly log: Logger;
}): Promise<void> {
  for (const record of await context.state.restoreRecords()) {
    const member = context.members.get(record.member);
    try {
      if (member === undefined) throw new Error(`the agent file has no member ${record.member}`);
      const repository = await context.repository();
      const outcome = await repository.decideRestore(record.grid, record.restoreId, 'rolledBack');
      await member.engine.recoverRestore(outcome);
      await context.state.clearRestore(record.member);
      context.log.warn(
        { event: 'restoreRecovered', member: record.member, outcome },
        `restore ended: ${outcome}`,
      );
    } catch (error) {
      context.log.error(
        { event: 'restoreLeft', member: record.member, err: error },
        'restore not ended; restart the agent to try again',
      );
    }
  }
}
