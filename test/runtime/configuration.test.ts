import { expect } from 'chai';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAgentFile } from '../../agent/agent-file.ts';
import { loadGridFile } from '../../coordinator/grid-file.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a mistake in a file is named with its line and key, and nothing is done.

describe('a configuration file', () => {
  const folder = temporaryFolder('files');
  after(() => folder.remove());

  function file(name: string, text: string): string {
    const path = join(folder.path, name);
    writeFileSync(path, text);
    return path;
  }

  async function failureOf(
    loading: Promise<unknown>,
  ): Promise<{ code: string; message: string; hint: string }> {
    try {
      await loading;
    } catch (error) {
      return (error as StillpointError).failure;
    }
    throw new Error('it was accepted');
  }

  const GRID =
    'grid: orders\nagents: [alpha:1]\nrepository: repo\ntls: { ca: ca.pem, cert: c.pem, key: k.pem }\n';

  it('of a grid has its paths relative to itself, and defaults', async () => {
    const grid = await loadGridFile(file('grid.yaml', GRID));
    expect(grid.repository).to.equal(join(folder.path, 'repo'));
    expect(grid.tls.key).to.equal(join(folder.path, 'k.pem'));
    expect(grid.leaseSeconds).to.equal(10);
  });

  it('with an unknown key is refused with the key and its line', async () => {
    const failure = await failureOf(loadGridFile(file('grid.yaml', `${GRID}agnets: [beta:2]\n`)));
    expect(failure).to.include({ code: 'bad-configuration', message: "grid.yaml:5: unknown key 'agnets'" });
  });

  it('with a wrong value is refused with the key and its line', async () => {
    const failure = await failureOf(loadGridFile(file('grid.yaml', GRID.replace('[alpha:1]', '[alpha]'))));
    expect(failure.message).to.match(/^grid\.yaml:2: 'agents\.0': must be host:port/);
  });

  it('that is not YAML is refused with the line', async () => {
    const failure = await failureOf(loadGridFile(file('grid.yaml', 'grid: [orders\n')));
    expect(failure.message).to.match(/^grid\.yaml:\d+: /);
  });

  it('takes values from the environment, and names a variable that is not there', async () => {
    process.env['STILLPOINT_TEST_GRID'] = 'payroll';
    const grid = await loadGridFile(file('grid.yaml', GRID.replace('orders', '${STILLPOINT_TEST_GRID}')));
    expect(grid.grid).to.equal('payroll');
    const failure = await failureOf(
      loadGridFile(file('grid.yaml', GRID.replace('orders', '${STILLPOINT_NOWHERE}'))),
    );
    expect(failure.message).to.equal('grid.yaml:1: the environment has no variable STILLPOINT_NOWHERE');
  });

  function agent(change: (text: string) => string): string {
    mkdirSync(join(folder.path, 'state'), { recursive: true, mode: 0o700 });
    writeFileSync(join(folder.path, 'key.pem'), 'key', { mode: 0o600 });
    chmodSync(join(folder.path, 'key.pem'), 0o600);
    return file(
      'agent.yaml',
      change(
        [
          'grid: orders',
          'listen: alpha:7411',
          'tls: { ca: ca.pem, cert: c.pem, key: key.pem }',
          `state: ${folder.path}/state`,
          `repository: ${folder.path}/repository`,
          'members:',
          '  - { name: one, role: node, copyset: a, engine: postgres, address: "alpha:5432", data: /data/one, connection: "postgresql://x@alpha:5432/postgres" }',
          '  - { name: two, role: node, copyset: b, engine: postgres, address: "alpha:5433", data: /data/two, connection: "postgresql://x@alpha:5433/postgres" }',
          '',
        ].join('\n'),
      ),
    );
  }

  it('of an agent is read', async () => {
    const loaded = await loadAgentFile(agent((text) => text));
    expect(loaded.members.map(({ name }) => name)).to.deep.equal(['one', 'two']);
  });

  it('of an agent has the certificates for a process where its own are: relative to the file, or anywhere', async () => {
    const members = [
      'members:',
      '  - { name: n, role: node, copyset: c, engine: native, address: "alpha:7000", data: /data/n, participant: "alpha:7001", tls: { ca: ca.pem, cert: /etc/n/c.pem, key: n/key.pem } }',
    ].join('\n');
    const loaded = await loadAgentFile(agent((text) => text.replace('members:', members)));
    expect(loaded.members[0]).to.have.deep.property('tls', {
      ca: join(folder.path, 'ca.pem'),
      cert: '/etc/n/c.pem',
      key: join(folder.path, 'n/key.pem'),
    });
  });

  it('takes what stands where text is asked for as it is written, and not for a number', async () => {
    const run = 'run: { start: [pg_ctlcluster, 15, main, start], stop: [stop, 017, 15.0, 0x1F, 1e3, true] }';
    const { members } = await loadAgentFile(
      agent((text) => text.replace('name: one,', `name: 1, ${run},`).replace('copyset: b', 'copyset: 2026')),
    );
    expect(members.map(({ name, copyset }) => [name, copyset])).to.deep.equal([
      ['1', 'a'],
      ['two', '2026'],
    ]);
    expect(members[0]?.run?.start).to.deep.equal(['pg_ctlcluster', '15', 'main', 'start']);
    expect(members[0]?.run?.stop).to.deep.equal(['stop', '017', '15.0', '0x1F', '1e3', 'true']);
  });

  it('takes a number of an alias as it is written where the alias stands', async () => {
    const change = (text: string): string =>
      text
        .replace('name: one,', 'name: one, run: &run { start: [start, &version 015] },')
        .replace('name: two,', 'name: two, run: { start: [*version] },');
    const { members } = await loadAgentFile(agent(change));
    expect(members.map(({ run }) => run?.start)).to.deep.equal([['start', '015'], ['015']]);
  });

  it('with nothing where text is asked for is refused', async () => {
    const failure = await failureOf(
      loadAgentFile(agent((text) => text.replace('name: one,', 'name: one, run: { start: [a, ~] },'))),
    );
    expect(failure.message).to.match(/^agent\.yaml:7: 'members\.0\.run\.start\.1'/);
  });

  it('of an agent has a member run by systemd or by commands, and not by both', async () => {
    const { members } = await loadAgentFile(
      agent((text) => text.replace('name: one,', 'name: one, unit: postgresql@15-main,')),
    );
    expect(members[0]?.unit).to.equal('postgresql@15-main.service');
    const both = 'name: one, unit: postgresql@15-main, run: { start: [start] },';
    const failure = await failureOf(loadAgentFile(agent((text) => text.replace('name: one,', both))));
    expect(failure.message).to.match(/^agent\.yaml:7: 'members\.0\.unit': .*write one of them/);
    for (const name of ['-h', 'a b', '../x', 'a;b'])
      await failureOf(
        loadAgentFile(agent((text) => text.replace('name: one,', `name: one, unit: "${name}",`))),
      );
  });

  it('of an agent gives the name of its host: that of listen, or its own', async () => {
    const names = [];
    for (const change of [
      (text: string) => text,
      (text: string) => text.replace('listen: alpha:7411', 'listen: "0.0.0.0:7411"\nhost: alpha.example'),
      (text: string) => text.replace('listen: alpha:7411', 'listen: "[::]:7411"\nhost: 10.0.0.7'),
    ])
      names.push((await loadAgentFile(agent(change))).host);
    expect(names).to.deep.equal(['alpha', 'alpha.example', '10.0.0.7']);
  });

  for (const listen of ['0.0.0.0:7411', '[::]:7411', '[0:0::0]:7411', '127.0.1.1:7411']) {
    it(`of an agent that listens at ${listen}, which is no name, is refused with the remedy`, async () => {
      const failure = await failureOf(
        loadAgentFile(agent((text) => text.replace('alpha:7411', `"${listen}"`))),
      );
      expect(failure.code).to.equal('host-unnamed');
      expect(failure.hint).to.include('host: NAME');
    });
  }

  it('of an agent whose state directory is not there yet makes nothing', async () => {
    await loadAgentFile(agent((text) => text.replace('/state', '/not-yet')));
    expect(existsSync(join(folder.path, 'not-yet'))).to.equal(false);
  });

  const unsafe: Record<string, [string, (text: string) => string]> = {
    'a data directory inside another': [
      'unsafe-directories',
      (text) => text.replace('/data/two', '/data/one/two'),
    ],
    'the state inside a data directory': [
      'unsafe-directories',
      (text) => text.replace('/data/two', folder.path),
    ],
    'two members whose tablespaces are restored into one directory': [
      'unsafe-directories',
      (text) => text.replaceAll('connection: ', 'tablespaces: { /mnt/fast: /mnt/restored }, connection: '),
    ],
    'images in the directory that holds all others': [
      'unsafe-directories',
      (text) => text.replace('name: one,', 'name: one, images: /,'),
    ],
    'a storage class in a data directory': [
      'unsafe-directories',
      (text) =>
        `${text}\ndocuments: { clusters: {}, storageClasses: { fast: { directory: /data/one/fast } } }\n`,
    ],
    'a password in a connection': [
      'password-in-file',
      (text) => text.replace('//x@alpha:5432', '//x:secret@alpha:5432'),
    ],
    'two members of one name': ['duplicate-member', (text) => text.replace('name: two', 'name: one')],
    'two members of one address': ['duplicate-member', (text) => text.replaceAll('5433', '5432')],
    'an engine that this version does not know': [
      'bad-configuration',
      (text) => text.replace('engine: postgres', 'engine: oracle'),
    ],
  };
  for (const [what, [code, change]] of Object.entries(unsafe)) {
    it(`of an agent with ${what} is refused`, async () => {
      const failure = await failureOf(loadAgentFile(agent(change)));
      expect(failure.code).to.equal(code);
      expect(JSON.stringify(failure)).not.to.contain('secret');
    });
  }

  it('of an agent whose key others may read is refused', async () => {
    const path = agent((text) => text);
    chmodSync(join(folder.path, 'key.pem'), 0o644);
    expect(await failureOf(loadAgentFile(path))).to.include({ code: 'key-readable' });
  });
});
