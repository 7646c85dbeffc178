import { Command } from 'commander';
import { goOn, type Reach } from '../shared/runtime/moments.ts';
import { version } from '../shared/runtime/version.ts';
import { registerCatalogue } from './commands/checkpoint-catalogue.ts';
import { registerRetention } from './commands/checkpoint-retention.ts';
import { registerCheckpointCreate } from './commands/checkpoint-create.ts';
import { registerSalvage } from './commands/checkpoint-salvage.ts';
import { registerPrune } from './commands/checkpoint-prune.ts';
import { registerDocuments } from './commands/documents.ts';
import { registerDrill } from './commands/drill.ts';
import { registerFreeze } from './commands/freeze.ts';
import { registerGrid } from './commands/grid.ts';
import { registerJournalCheckpoint } from './commands/journal-checkpoint.ts';
import { registerResume, registerThaw } from './commands/let-go.ts';
import { registerMetrics } from './commands/metrics.ts';
import { registerPki } from './commands/pki.ts';
import { registerQuiesce } from './commands/quiesce.ts';
import { registerRepository } from './commands/repository.ts';
import { registerRestore } from './commands/restore.ts';
import { registerSets } from './commands/set.ts';
import { addGlobalOptions } from './session.ts';
import { stdout } from './words.ts';

/** Every command of `stillpoint`, with its options. Parsing rejects CommanderErrors; actions, StillpointErrors. */
export function createProgram(reach: Reach = goOn): Command {
  const program = new Command('stillpoint')
    .description('live backup and restore for whole data grids')
    .version(version)
    .showSuggestionAfterError()
    .addHelpText('after', '\nExample: stillpoint checkpoint create nightly --grid /etc/stillpoint/grid.yaml');
  const checkpoint = program.command('checkpoint').description('create checkpoints and look after them');
  const commands = [
    program,
    checkpoint,
    registerCheckpointCreate(checkpoint, reach),
    ...registerCatalogue(checkpoint),
    ...registerRetention(checkpoint),
    registerPrune(checkpoint),
    registerSalvage(checkpoint),
    registerRestore(program, reach),
    registerDrill(program, reach),
    registerQuiesce(program, reach),
    registerResume(program),
    registerJournalCheckpoint(program, reach),
    registerFreeze(program, reach),
    registerThaw(program),
    ...registerSets(program),
    ...registerDocuments(program),
    ...registerGrid(program),
    ...registerRepository(program),
    ...registerPki(program),
    registerMetrics(program),
  ];
  for (const command of commands) {
    addGlobalOptions(command)
      .exitOverride()
      .configureOutput({ writeErr: () => undefined, writeOut: (text) => stdout.write(text) });
  }
  return program;
}
