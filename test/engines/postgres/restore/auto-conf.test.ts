import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  conninfoFor,
  formatSettings,
  parseSettings,
  restoredSettings,
  type RestoredSettingsInput,
} from '../../../../agent/engines/postgres/restore/auto-conf.ts';
import { postgresServer, type PostgresServer } from '../../../lab/postgres.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';

// Goal: the settings of a restored server are those that it had, to the letter, but for what must differ.
// Method: tables and round trips; and PostgreSQL itself as the judge of what a line means.

/** Values made mostly of what has a meaning in one of the files or in a connection string. */
const value = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom("'", '\\', ' ', '=', '#', '"', 'n', '0', '%', '/'),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
    ),
    maxLength: 12,
  })
  .filter((text) => !text.includes('\0'));
const oneLine = value.filter((text) => !/[\r\n]/.test(text));
const settingName = fc
  .stringMatching(/^[a-z_][a-z0-9_]{0,10}(\.[a-z_][a-z0-9_]{0,10})?$/)
  .filter((name) => !name.startsWith('include'));

describe('the settings file of a server', () => {
  it('says after writing and reading what it said before, whatever the values', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(settingName, value)), (pairs) => {
        const settings = new Map(pairs);
        expect(parseSettings(formatSettings(settings))).to.deep.equal(settings);
      }),
    );
  });

  const lines: Record<string, [text: string, settings: Record<string, string>]> = {
    'a quoted value': ["port = '5433'", { port: '5433' }],
    'a plain value, without an equals sign': ['port 5433', { port: '5433' }],
    'no spaces': ["port='5433'", { port: '5433' }],
    'a comment behind': ["port = 5433 # not '5434'", { port: '5433' }],
    'a number sign between quotes': ["search_path = 'a#b' # c", { search_path: 'a#b' }],
    'a comment alone': ['# port = 5433', {}],
    'an empty value': ["restore_command = ''", { restore_command: '' }],
    'a doubled quote': ["archive_command = 'cp ''%p'' x'", { archive_command: "cp '%p' x" }],
    'a quote behind a backslash': ["archive_command = 'it\\'s' # 'x'", { archive_command: "it's" }],
    'a doubled backslash at the end': ["archive_command = 'a\\\\'", { archive_command: 'a\\' }],
    'escapes of letters and numbers': ["log_line_prefix = '\\t\\101\\n\\q'", { log_line_prefix: '\tA\nq' }],
    'capital letters in the name': ['Work_Mem = 4MB', { work_mem: '4MB' }],
    'a name with a dot': ["plpgsql.extra_errors = 'all'", { 'plpgsql.extra_errors': 'all' }],
    'two lines for one name': ['port = 1\nwork_mem = 4MB\nPORT = 2', { port: '2', work_mem: '4MB' }],
    'lines of another system': ["port = '1'\r\nwork_mem = 4MB\r\n", { port: '1', work_mem: '4MB' }],
    'includes of every kind': [
      "include 'a'\nInclude_Dir = 'b'\ninclude_if_exists c\nport = 1",
      { port: '1' },
    ],
    'what is no setting': ['=\n= 5\nport\n\n  \t\n', {}],
  };
  for (const [what, [text, settings]] of Object.entries(lines)) {
    it(`is read with ${what}`, () => {
      expect(Object.fromEntries(parseSettings(text))).to.deep.equal(settings);
    });
  }

  describe('of a PostgreSQL that runs', () => {
    const folder = temporaryFolder('auto-conf');
    let server: PostgresServer;

    before(async () => {
      server = await postgresServer({ data: join(folder.path, 'data'), host: '127.0.22.1' });
      await server.start();
    });

    after(() => {
      server?.kill();
      folder.remove();
    });

    const autoConf = (): string => join(server.data, 'postgresql.auto.conf');

    it('is read as the server wrote it, and the server reads what we write', async () => {
      const client = await server.connect();
      const said = async (): Promise<unknown> =>
        (await client.query("SELECT setting FROM pg_file_settings WHERE name = 'archive_command'")).rows;
      try {
        await fc.assert(
          fc.asyncProperty(oneLine, async (text) => {
            await client.query(`ALTER SYSTEM SET archive_command = ${client.escapeLiteral(text)}`);
            const settings = parseSettings(readFileSync(autoConf(), 'utf8'));
            expect(settings.get('archive_command')).to.equal(text);
            writeFileSync(autoConf(), formatSettings(settings));
            expect(await said()).to.deep.equal([{ setting: text }]);
          }),
          { numRuns: 60 },
        );
        writeFileSync(autoConf(), formatSettings(new Map([['archive_command', 'one\ntwo\r\n']])));
        expect(await said()).to.deep.equal([{ setting: 'one\ntwo\r\n' }]);
      } finally {
        await client.end();
      }
    });
  });
});

describe('the settings of a restored server', () => {
  const primary: RestoredSettingsInput = {
    base: new Map(),
    standbyNames: null,
    primaryConninfo: null,
    address: null,
    listenAddresses: 'alpha',
    archived: false,
    subscribed: false,
    dropSockets: false,
  };
  const standby = { ...primary, primaryConninfo: "host='beta'" };

  it('are what the owner of a primary set: it is recovered before they are read', () => {
    const base = new Map([
      ['work_mem', '4MB'],
      ['restore_command', 'cp /archive/%f %p'],
      ['primary_conninfo', 'host=old'],
    ]);
    expect(Object.fromEntries(restoredSettings({ ...primary, base }))).to.deep.equal({
      work_mem: '4MB',
      restore_command: 'cp /archive/%f %p',
    });
  });

  it('never hold the fence that the base copy was armed with, only what the owner had', () => {
    const base = new Map([['synchronous_standby_names', 'ANY 1 (stillpoint_fence)']]);
    expect(restoredSettings({ ...primary, base }).has('synchronous_standby_names')).to.equal(false);
    const owned = restoredSettings({ ...primary, base, standbyNames: 'FIRST 1 (b)' });
    expect(owned.get('synchronous_standby_names')).to.equal('FIRST 1 (b)');
  });

  it('let a standby follow the new primary and nothing else, and neither replay from another place nor clean up there', () => {
    const base = new Map([
      ['primary_conninfo', 'host=old'],
      ['primary_slot_name', 'old_slot'],
      ['restore_command', 'cp /old/archive/%f %p'],
      ['archive_cleanup_command', 'pg_archivecleanup /old/archive %r'],
    ]);
    expect(Object.fromEntries(restoredSettings({ ...standby, base }))).to.deep.equal({
      restore_command: '',
      archive_cleanup_command: '',
      recovery_end_command: '',
      recovery_target: '',
      recovery_target_name: '',
      recovery_target_time: '',
      recovery_target_xid: '',
      recovery_target_lsn: '',
      recovery_target_timeline: 'latest',
      primary_conninfo: "host='beta'",
      primary_slot_name: '',
    });
  });

  it('say where it listens when it moved: at its new address, and at the others of its list', () => {
    const address = { host: 'epsilon', port: 5440, wasHost: 'alpha' };
    const moved = (listenAddresses: string): unknown =>
      restoredSettings({ ...primary, address, listenAddresses }).get('listen_addresses');
    expect(restoredSettings({ ...primary, address }).get('port')).to.equal('5440');
    expect(moved('alpha')).to.equal('epsilon');
    expect(moved('localhost,alpha, 10.0.0.7')).to.equal('epsilon, localhost, 10.0.0.7');
    expect(moved('"::1", epsilon')).to.equal('epsilon, ::1');
    expect(moved('')).to.equal('epsilon');
    for (const everywhere of ['*', '0.0.0.0', '::', 'localhost, *'])
      expect(moved(everywhere)).to.equal(undefined);
  });

  it('neither archive nor subscribe, and drop sockets whose directories are not here', () => {
    const held = restoredSettings({ ...primary, archived: true, subscribed: true, dropSockets: true });
    expect(Object.fromEntries(held)).to.deep.equal({
      archive_mode: 'off',
      max_logical_replication_workers: '0',
      unix_socket_directories: '',
    });
  });
});

describe('the connection of a restored standby', () => {
  const follow = { host: 'beta', port: 5440 };
  const connections: Record<string, [own: string, follows: string]> = {
    'pairs, quoted and plain': [
      "user=joe password = 'a b' hostaddr=10.0.0.1 host=old port=1",
      "user='joe' password='a b' host='beta' port='5440'",
    ],
    'escapes in both': [
      "password=a\\ b\\'c application_name='it\\'s \\\\'",
      "password='a b\\'c' application_name='it\\'s \\\\' host='beta' port='5440'",
    ],
    'several hosts': ['host=a,b port=1,2 user=joe', "host='beta' port='5440' user='joe'"],
    'a URI': [
      'postgresql://joe:p%40ss@old:1/payroll?sslmode=require&application_name=a+b',
      "user='joe' password='p@ss' dbname='payroll' sslmode='require' application_name='a+b' host='beta' port='5440'",
    ],
    'a URI of several hosts': [
      'postgres://joe@a:1,b:2/?target_session_attrs=any',
      "user='joe' target_session_attrs='any' host='beta' port='5440'",
    ],
    'a URI without a host': [
      'postgresql:///payroll?host=%2Ftmp&user=joe',
      "dbname='payroll' host='beta' user='joe' port='5440'",
    ],
  };
  for (const [what, [own, follows]] of Object.entries(connections)) {
    it(`keeps its own but for the place: ${what}`, () => {
      expect(conninfoFor(own, follow, { user: 'unused' })).to.equal(follows);
    });
  }

  it("is the agent's where it had none", () => {
    expect(conninfoFor(null, follow, { user: 'stillpoint', password: "a'b\\" })).to.equal(
      "user='stillpoint' password='a\\'b\\\\' host='beta' port='5440'",
    );
  });

  it('is the same when it is made of itself, whatever the password, also through the settings file', () => {
    fc.assert(
      fc.property(value, (password) => {
        const made = conninfoFor(null, follow, { user: 'joe', password });
        const read = parseSettings(formatSettings(new Map([['primary_conninfo', made]])));
        expect(conninfoFor(read.get('primary_conninfo') ?? '', follow, {})).to.equal(made);
      }),
    );
  });
});
