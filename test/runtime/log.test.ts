import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { createLog } from '../../shared/runtime/log.ts';

// Goal: whatever an error carries of a connection, no password reaches the log. Method: the log writes to
// stderr of a process, so a process of its own writes it.

const SECRET = 'planted7secret';

function logged(expression: string): string {
  const program = `
    import { createLog } from './shared/runtime/log.ts';
    const secret = '${SECRET}';
    createLog({ name: 'test', level: 'trace' }).error(${expression}, 'it failed');
  `;
  const { stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module-typescript', '--eval', program],
    {
      cwd: new URL('../..', import.meta.url),
      encoding: 'utf8',
    },
  );
  expect(status, stderr).to.equal(0);
  const line = JSON.parse(stderr) as { msg: string };
  expect(line.msg).to.equal('it failed');
  return stderr;
}

describe('a line of the log', () => {
  const errors: Record<string, string> = {
    'a connection URL': '{ err: new Error(`cannot reach postgresql://role:${secret}@host:5432/db`) }',
    'a password with signs in it': '{ err: new Error(`bad postgres://role:a@b:${secret}:c@host/db`) }',
    'a URL of another kind': '{ err: new Error(`no answer from rediss://role:${secret}@host:6379/0`) }',
    'a URL that is none':
      "{ err: (() => { try { new URL('postgresql://r:' + secret + '@h:x/d'); } catch (e) { return e; } })() }",
    'a password behind the host': '{ err: new Error(`postgresql://role@host/db?password=${secret}&x=1`) }',
    'a libpq string': '{ err: new Error(`host=h password=${secret} user=r`) }',
    'a quoted libpq string': "{ err: new Error(`host='h' password = '${secret} and more' user='r'`) }",
    'a cause below': '{ err: new Error("outer", { cause: new Error(`postgresql://r:${secret}@h/d`) }) }',
    'a property': '{ password: secret, settings: { password: secret }, connection: secret }',
  };
  for (const [what, expression] of Object.entries(errors)) {
    it(`has no password from ${what}`, () => {
      expect(logged(expression)).to.not.include(SECRET);
    });
  }

  it('keeps what is not one', () => {
    const line = logged('{ err: new Error("postgresql://role@host:5432/db of " + secret) }');
    expect(line).to.include('postgresql://role@host:5432/db').and.to.include(SECRET);
  });
});

describe('a log', () => {
  it('is refused with a level that does not exist, and says which do', () => {
    expect(() => createLog({ name: 'test', level: 'loud' }))
      .to.throw("'loud' is not a log level")
      .with.nested.property('failure.hint')
      .that.includes('debug');
  });
});
