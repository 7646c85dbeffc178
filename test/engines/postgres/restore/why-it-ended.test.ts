import { expect } from 'chai';
import { whyItEnded } from '../../../../agent/engines/postgres/restore/server-process.ts';

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

  it('is not that somebody was turned away meanwhile', () => {
    const log = [
      `${AT} FATAL:  recovery ended before configured recovery target was reached`,
      `${AT} LOG:  terminating any other active server processes`,
      `${AT} FATAL:  the database system is starting up`,
      `${AT} FATAL:  the database system is not yet accepting connections`,
      `${AT} DETAIL:  Consistent recovery state has not been yet reached.`,
      `${AT} FATAL:  the database system is shutting down`,
    ].join('\n');
    expect(whyItEnded(log)).to.equal(
      `${AT} FATAL:  recovery ended before configured recovery target was reached`,
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
