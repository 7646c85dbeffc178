import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { accessLines, withAccessBlock } from '../../../../agent/engines/postgres/init/access-lines.ts';
import { roleStatements } from '../../../../agent/engines/postgres/look/privileges.ts';

const page = readFileSync(new URL('../../../../docs/engines/postgres.md', import.meta.url), 'utf8');
const blocks = [...page.matchAll(/```(\w*)\n([\s\S]*?)```/g)].map(([, kind, text]) => ({ kind, text }));

describe('what a PostgreSQL server is told for its agent', () => {
  it('is in the documentation to the letter: the statements, and the lines of pg_hba.conf', () => {
    const statements = roleStatements('stillpoint', { exists: false }).join('\n');
    expect(blocks.find(({ kind }) => kind === 'sql')?.text).to.equal(`${statements}\n`);
    const lines = accessLines('stillpoint', 'samehost').join('\n');
    expect(blocks.map(({ text }) => text)).to.include(`${lines}\n`);
  });

  it('quotes a role that must be, and comes over the socket where there is nothing else', () => {
    expect(accessLines('Still Point', 'socket')).to.deep.equal([
      'local all          "Still Point"  scram-sha-256',
      'local replication  "Still Point"  scram-sha-256',
    ]);
    expect(roleStatements('a"b', { exists: true })[0]).to.equal('ALTER ROLE "a""b" LOGIN REPLICATION;');
  });

  it('stands at the head of pg_hba.conf once, however often it is put there, and leaves the rest as it is', () => {
    const own = '# mine\nhost all all 127.0.0.1/32 reject\n';
    const once = withAccessBlock(own, 'stillpoint', accessLines('stillpoint', 'samehost'));
    expect(once.indexOf('host  all          stillpoint')).to.be.lessThan(once.indexOf('reject'));
    expect(once.endsWith(own)).to.equal(true);
    expect(withAccessBlock(once, 'stillpoint', accessLines('stillpoint', 'samehost'))).to.equal(once);

    const moved = withAccessBlock(`# first\n${once}`, 'stillpoint', [
      'host all stillpoint 10.0.0.7/32 scram-sha-256',
    ]);
    expect(moved.match(/samehost/g)).to.equal(null);
    expect(moved.startsWith('# first\n# BEGIN')).to.equal(true);
    const other = withAccessBlock(once, 'other', accessLines('other', 'samehost'));
    expect(other.match(/# BEGIN stillpoint/g)).to.have.length(2);
  });
});
