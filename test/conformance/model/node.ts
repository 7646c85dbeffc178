import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isFault } from './faults.ts';
import { Model } from './model.ts';

// The model node as a process of its own: node.ts DATA SOCKET [FAULT | none] [preallocates]. Clients speak lines at the
// port in DATA/clients.port: `write N`, `read`, `scan`.

const [data = '', socket = '', name = '', journal = ''] = process.argv.slice(2);
const fault = isFault(name) ? name : null;
const model = new Model({
  data,
  socket,
  role: 'node',
  fault,
  sync: true,
  preallocates: journal === 'preallocates',
});

async function reply(line: string, client: Socket): Promise<string> {
  const [verb, row] = line.split(' ');
  if (verb === 'write') return await model.front.write(Number(row));
  if (verb === 'read') return (await model.front.read()).join(' ');
  model.front.scans += 1;
  client.once('close', () => (model.front.scans -= 1));
  return 'scanning';
}

const clients = createServer((client) => {
  client.on('error', () => undefined);
  const lines = createInterface(client);
  // It says again what the socket said.
  lines.on('error', () => undefined);
  lines.on('line', (line) => {
    reply(line, client).then(
      (text) => client.write(`${text}\n`),
      () => client.destroy(),
    );
  });
});
clients.listen(0, '127.0.0.1', () => {
  writeFileSync(join(data, 'clients.port'), String((clients.address() as AddressInfo).port));
  void model.start().then(() => process.stdout.write('listening\n'));
});
