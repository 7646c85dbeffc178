import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { recordedFiles } from './contract/scripts.ts';
import { readSequence } from './contract/sequence-file.ts';
import { modelInProcess } from './model/in-process.ts';
import { replay, type Replayed } from './replay.ts';
import type { Fault } from './model/faults.ts';

// Goal: whoever writes a process has sequences of calls to try one after the other, and they are right. Method: the files
// are what the model answers, and each is played against it, and against ones with a fault.

const FOLDER = join(ROOT, 'proto/sequences');

describe('recorded sequences of calls', () => {
  const folder = temporaryFolder('replay');
  let count = 0;

  after(() => folder.remove());

  async function played(file: string, fault: Fault | null): Promise<readonly Replayed[]> {
    const sequence = readSequence(readFileSync(join(FOLDER, file), 'utf8'));
    const model = await modelInProcess(join(folder.path, String(count++)), sequence.role, fault);
    try {
      const done = await replay({ target: model.target, sequence, epoch: 1 });
      if (fault === null) expect(model.heldFor()).to.equal('');
      return done;
    } finally {
      model.close();
    }
  }

  it('are in proto/sequences as the model of the contract answers them', () => {
    const files = recordedFiles();
    expect(readdirSync(FOLDER).toSorted()).to.deep.equal([...files.keys()].toSorted());
    for (const [name, text] of files) expect(readFileSync(join(FOLDER, name), 'utf8'), name).to.equal(text);
  });

  for (const [file, text] of recordedFiles()) {
    it(`are kept by a process that keeps the contract: ${file}`, async () => {
      const done = await played(file, null);
      expect(done.filter(({ difference }) => difference !== null)).to.deep.equal([]);
      expect(done.length).to.equal(text.trimEnd().split('\n').length - 2);
    });
  }

  for (const [fault, file, line] of [
    ['forgets-that-it-was-at-rest', 'node-lost-answers.calls', /^Resume .* -> OK held=true$/],
    ['forgets-a-Resume-that-came-first', 'node-overtaken.calls', /^Quiesce .*token=1/],
    ['does-not-release-a-rest', 'node-abort.calls', /^Describe -> OK operation=$/],
    ['claims-held-after-expiry', 'node-lease-over.calls', /^Resume .* held=false$/],
  ] as const) {
    it(`show where a process goes another way: ${fault}`, async () => {
      const last = (await played(file, fault)).at(-1);
      expect(last?.line).to.match(line);
      expect(last?.difference).to.be.a('string');
    });
  }

  it('are refused with the line that is not understood', () => {
    expect(() => readSequence('role node\nQuiesc operation=A -> OK')).to.throw(
      'line 2 is not understood: Quiesc',
    );
    expect(() => readSequence('role node\nQuiesce lease_ms=soon -> OK')).to.throw('lease_ms is no number');
    expect(() => readSequence('Describe -> OK')).to.throw('there is no line: role node');
  });
});
