import { expect } from 'chai';
import {
  answerDigest,
  digestChallenge,
  readChallenges,
} from '../../../agent/engines/infinispan/server/challenge.ts';

// Goal: the digest is that of the standard. Method: the example of RFC 7616, section 3.9.1, word for word.

const NONCE = '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v';
const OPAQUE = 'FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS';
const LINES = [
  `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="${NONCE}", opaque="${OPAQUE}"`,
  `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="${NONCE}", opaque="${OPAQUE}"`,
];
const REQUEST = {
  user: 'Mufasa',
  password: 'Circle of Life',
  method: 'GET',
  path: '/dir/index.html',
  count: 1,
  cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
};

function answered(lines: readonly string[]): string {
  const challenge = digestChallenge(readChallenges(lines));
  if (challenge === null) throw new Error('nothing was understood');
  return answerDigest(challenge, REQUEST);
}

describe('the digest by which a server of Infinispan knows us', () => {
  it('is that of RFC 7616 with SHA-256, where a server offers that beside MD5', () => {
    expect(answered(LINES)).to.equal(
      `Digest username="Mufasa", realm="http-auth@example.org", nonce="${NONCE}", uri="/dir/index.html", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="${REQUEST.cnonce}", response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", opaque="${OPAQUE}"`,
    );
    expect(answered(LINES.toReversed()), 'in any order').to.equal(answered(LINES));
  });

  it('is that of RFC 7616 with MD5, where a server offers nothing better', () => {
    expect(answered(LINES.slice(1))).to.contain('response="8ca523f5e9506fed4657c9700eebdbec"');
  });

  it('is understood where a line holds several challenges, and where a value has quotes in it', () => {
    const line = `Basic realm="a \\"b\\", c", Negotiate, Digest realm="x", qop="auth", nonce="n", Bearer`;
    const challenges = readChallenges([line]);
    expect(challenges.map(({ scheme }) => scheme)).to.deep.equal(['basic', 'negotiate', 'digest', 'bearer']);
    expect(challenges[0]?.parameters.get('realm')).to.equal('a "b", c');
    expect(digestChallenge(challenges)?.parameters.get('nonce')).to.equal('n');
  });

  it('is not given where what is asked for cannot be answered', () => {
    const lines = [
      'Digest realm="x", nonce="n", qop="auth-int"',
      'Digest realm="x", nonce="n", qop="auth", algorithm=SHA-3',
      'Digest realm="x", qop="auth"',
      'Digest realm="x", nonce="n"',
      'Basic realm="x"',
    ];
    expect(digestChallenge(readChallenges(lines))).to.equal(null);
  });
});
