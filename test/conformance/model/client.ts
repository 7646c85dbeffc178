import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

// client.ts write DATA FROM | read DATA | busy DATA: the programs that the conformance suite is given for the model.

const [verb = '', data = '', from = '1'] = process.argv.slice(2);
const IN_FLIGHT = 4;
/** Many processes share the machine that tests this. */
const PAUSE_MS = 5;

const socket = connect(join(data, 'clients.sock'));
socket.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
let next = Number(from);
const write = (): void => void socket.write(`write ${next++}\n`);

createInterface(socket).on('line', (line) => {
  if (verb === 'read') {
    process.stdout.write(line.replaceAll(' ', '\n') + '\n', () => process.exit(0));
    return;
  }
  const [outcome, row] = line.split(' ');
  process.stdout.write(outcome === 'written' ? `${row}\n` : `${outcome}\n`);
  if (outcome === 'written' || outcome === 'refused') setTimeout(write, PAUSE_MS);
});

if (verb === 'write') for (let flight = 0; flight < IN_FLIGHT; flight += 1) write();
else socket.write(verb === 'busy' ? 'scan\n' : 'read\n');
