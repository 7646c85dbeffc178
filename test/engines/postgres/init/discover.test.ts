import { expect } from 'chai';
import { unitIn } from '../../../../agent/engines/host-processes.ts';
import { socketsIn } from '../../../../agent/engines/native/discover.ts';
import {
  configurationIn,
  parseClusters,
  parsePostmasterFile,
} from '../../../../agent/engines/postgres/init/clusters.ts';
import { connectionTo } from '../../../../agent/engines/postgres/init/discover.ts';

// Goal: what init reads of a host means what the host's own tools mean by it.

describe('the look for members on a host', () => {
  it("takes from Debian's list of clusters what runs and what does not, with spaces in a path, and nothing of what is no line", () => {
    const text = [
      '15  main    5432 online          postgres /var/lib/postgresql/15/main /var/log/postgresql/postgresql-15-main.log',
      '16  standby 5433 online,recovery postgres /srv/my data/16 /var/log/postgresql/16.log',
      '17  old     5434 down            <unknown> /var/lib/postgresql/17/old syslog',
      'Error: something else',
      '',
    ].join('\n');
    const [main, standby, old, ...more] = parseClusters(text);
    expect(main).to.deep.equal({
      version: '15',
      name: 'main',
      port: 5432,
      running: true,
      data: '/var/lib/postgresql/15/main',
    });
    expect(standby).to.include({ running: true, data: '/srv/my data/16' });
    expect(old).to.include({ running: false, data: '/var/lib/postgresql/17/old' });
    expect(more).to.deep.equal([]);
  });

  it('reads of a server where it listens, also where it takes no TCP or is about to start', () => {
    const file = (listen: string): string =>
      `7001\n/srv/data\n1700000000\n5433\n/var/run/postgresql\n${listen}\n  5432001 7\nready   \n`;
    expect(parsePostmasterFile(file('*'))).to.deep.equal({
      pid: 7001,
      port: 5433,
      socketFolder: '/var/run/postgresql',
      listen: '*',
    });
    expect(parsePostmasterFile(file(''))?.listen).to.equal('');
    expect(parsePostmasterFile('7001\n/srv/data\n')).to.equal(null);
    expect(parsePostmasterFile('')).to.equal(null);
  });

  it('connects to the address of this host at which a server listens, or to its socket', () => {
    const to = (listen: string): string => connectionTo({ listen, socketFolder: '/run/my pg' }, 5433);
    for (const everywhere of ['*', 'localhost', '0.0.0.0'])
      expect(to(everywhere)).to.equal('postgresql://stillpoint@127.0.0.1:5433/postgres');
    expect(to('10.0.0.7')).to.equal('postgresql://stillpoint@10.0.0.7:5433/postgres');
    expect(to('::')).to.equal('postgresql://stillpoint@[::1]:5433/postgres');
    expect(to('')).to.equal('postgresql://stillpoint@%2Frun%2Fmy%20pg:5433/postgres');
  });

  it('finds a configuration file that the command line names, however it is written', () => {
    const data = '/srv/data';
    expect(configurationIn(['postgres', '-D', data, '-c', 'config_file=/etc/pg/a.conf'], data)).to.equal(
      '/etc/pg/a.conf',
    );
    expect(configurationIn(['postgres', '--config-file=/etc/pg/a.conf'], data)).to.equal('/etc/pg/a.conf');
    expect(configurationIn(['postgres', '-cconfig_file=/etc/pg/a.conf'], data)).to.equal('/etc/pg/a.conf');
    expect(configurationIn(['postgres', '-D', '/etc/pg'], data)).to.equal('/etc/pg/postgresql.conf');
    expect(configurationIn(['postgres', '-D', data, '-p', '5432'], data)).to.equal(null);
  });

  it("names the unit of the host's systemd, and no session, container or user's unit", () => {
    const unit = '0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n';
    expect(unitIn(unit)).to.equal('postgresql@15-main.service');
    expect(unitIn(`1:name=systemd:/system.slice/pg.service/payload\n`)).to.equal('pg.service');
    for (const other of [
      '0::/user.slice/user-0.slice/session-3.scope',
      '0::/user.slice/user-1000.slice/user@1000.service/app.slice/pg.service',
      '0::/system.slice/docker-0123.scope',
      '0::/',
      '',
    ])
      expect(unitIn(other), other).to.equal(null);
  });

  it('sees the sockets that listen, and none that is connected or has no path', () => {
    const text = [
      'Num       RefCount Protocol Flags    Type St Inode Path',
      '0000000000000000: 00000002 00000000 00010000 0001 01 31744 /run/grid/keeper 1/participant.sock',
      '0000000000000000: 00000003 00000000 00000000 0001 03 31745 /run/grid/participant.sock',
      '0000000000000000: 00000002 00000000 00010000 0001 01 31746 @participant',
      '0000000000000000: 00000002 00000000 00000000 0002 01 31747 /run/participant-datagrams',
      '0000000000000000: 00000002 00000000 00010000 0001 01 31748',
    ].join('\n');
    expect(socketsIn(text)).to.deep.equal([{ path: '/run/grid/keeper 1/participant.sock', inode: '31744' }]);
  });
});
