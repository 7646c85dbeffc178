import { parentPort } from 'node:worker_threads';
import { findPlanted, runSeeds, type Job } from './jobs.ts';

const port = parentPort;
port?.on('message', (job: Job) => {
  void (async () => {
    port.postMessage(await (job.type === 'seeds' ? runSeeds(job) : findPlanted(job)));
  })();
});
