import { expect } from 'chai';
import { documentsSchema } from '../../../agent/documents/settings.ts';

// Goal: what would send a secret readable over a network does not come into an agent.

describe('the clusters of documents in an agent file', () => {
  const faultsOf = (url: string, member: string, type: 'basic' | 'digest'): string[] => {
    const read = documentsSchema.safeParse({
      clusters: {
        one: {
          url,
          auth: { type, user: 'stillpoint', passwordFile: '/etc/stillpoint/password' },
          member: { template: '/srv/template', command: ['/bin/server', '{room}', '{name}'], url: member },
        },
      },
    });
    return (read.error?.issues ?? []).map(({ path, message }) => `${path.join('.')} ${message}`);
  };

  it('have their secrets covered on the way to the cluster, and to the member that is started', () => {
    const covered = 'basic and token send the secret as it is: the url must be https';
    expect(faultsOf('https://data-1:11222', 'https://data-9:11322', 'basic')).to.deep.equal([]);
    expect(faultsOf('https://data-1:11222', 'http://127.0.0.1:11322', 'basic')).to.deep.equal([]);
    expect(faultsOf('http://data-1:11222', 'http://data-9:11322', 'digest')).to.deep.equal([]);
    expect(faultsOf('https://data-1:11222', 'http://data-9:11322', 'basic')).to.deep.equal([
      `clusters.one.member.url ${covered}`,
    ]);
    expect(faultsOf('http://data-1:11222', 'https://data-9:11322', 'basic')).to.deep.equal([
      `clusters.one.auth ${covered}`,
    ]);
  });
});
