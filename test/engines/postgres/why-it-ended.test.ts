import { expect } from 'chai';
import { whyItEnded } from '../../../agent/engines/postgres/restore/server-process.ts';

// Goal: a server that does not start is quoted, and its clients are not.

const AT = '2026-11-20 12:00:00.000 UTC [7]';

describe('why a server ended', () => {
  it('is its last fatal line, with what it says to it', () => {
    const log = [
      `${AT} FATAL:  terminating connection due to administrator command`,
      `${AT} LOG:  starting PostgreSQL`,
      `${AT} FATAL:  could not write lock file`,
      `${AT} DETAIL:  no space left`,
      `${AT} HINT:  make room`,
      `${AT} LOG:  database system is shut down`,
    ].join('\n');
    expect(whyItEnded(log)).to.equal(
      `${AT} FATAL:  could not write lock file | ${AT} DETAIL:  no space left | ${AT} HINT:  make room`,
    );
  });

  it('is nothing of what clients said and stored', () => {
    const log = [
      `${AT} ERROR:  duplicate key value violates unique constraint "t_pkey"`,
      `${AT} DETAIL:  Key (name)=(a client) already exists.`,
      `${AT} STATEMENT:  INSERT INTO t VALUES ('a client')`,
      `${AT} LOG:  statement: SELECT 'a client'`,
    ].join('\n');
    expect(whyItEnded(log)).to.equal('');
  });
});
