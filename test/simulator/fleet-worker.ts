import { parentPort } from 'node:worker_threads';
import { findPlanted, runSeeds, type Job } from './jobs.ts';

const port = parentPort;
port?.on('message', (job: Job) => {
  void (async () => {
    port.postMessage(job.type === 'seeds' ? runSeeds(job) : await findPlanted(job));
  })();
});
