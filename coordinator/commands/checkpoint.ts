import type { Command } from 'commander';
import type { Reach } from '../../shared/runtime/moments.ts';
import { registerCatalogue } from './checkpoint-catalogue.ts';
import { registerCheckpointCreate } from './checkpoint-create.ts';
import { registerPrune } from './checkpoint-prune.ts';
import { registerRetention } from './checkpoint-retention.ts';
import { registerSalvage } from './checkpoint-salvage.ts';

export function registerCheckpoint(program: Command, reach: Reach): Command[] {
  const checkpoint = program.command('checkpoint').description('create checkpoints and look after them');
  return [
    checkpoint,
    registerCheckpointCreate(checkpoint, reach),
    ...registerCatalogue(checkpoint),
    ...registerRetention(checkpoint),
    registerPrune(checkpoint),
    registerSalvage(checkpoint),
  ];
}
