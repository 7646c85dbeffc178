import { startNode } from './node.ts';
import { readOptions } from './options.ts';
import { keepDescribed, serveParticipant } from './participant.ts';
import { startProxy } from './proxy.ts';
import { startRealmService } from './realm-service.ts';
import { startStateKeeper } from './state-keeper.ts';

/** One process of the grid: `main.ts realm-service|keeper|node|proxy --name … --listen … --realm … --participant …`. */

const STOP_MS = 5000;
const roles = {
  'realm-service': startRealmService,
  keeper: startStateKeeper,
  node: startNode,
  proxy: startProxy,
};

const options = readOptions(process.argv.slice(2));
if (!Object.hasOwn(roles, options.role)) throw new Error(`there is no role ${options.role}`);
const { participation, listens, begun, stop } = await roles[options.role as keyof typeof roles](options);
const server = await serveParticipant(options.participant, participation);
let described: ReturnType<typeof keepDescribed> | undefined;

const end = (): void => {
  server.forceShutdown();
  // Who is held still does not come to an end by itself; what it acknowledged is durable all the same.
  setTimeout(() => process.exit(1), STOP_MS).unref();
  void Promise.all([stop(), described?.stop()]).then(() => process.exit(0));
};
process.once('SIGTERM', end);
process.once('SIGINT', end);
await listens;
// What it is is known only when it has read what it has.
described = keepDescribed(options.data, participation);
process.stdout.write(`${options.name} listens\n`);
await begun;
