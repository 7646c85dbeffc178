import { expect } from 'chai';
import { parametersFor, placesOf, type Place } from '../../../../agent/engines/postgres/look/places.ts';
import { AddressBook, type Fate } from '../../../../agent/engines/postgres/restore/address-book.ts';
import { formatConninfo, parseConninfo } from '../../../../agent/engines/postgres/server/conninfo.ts';

// Goal: an address of the old grid is known however it is written, and goes where its member goes; what nobody can know
// is said to be unclear, and what is not the grid's is left alone.

const NAMES = new Map([
  ['alpha.example', ['10.0.0.1']],
  ['alpha', ['10.0.0.1']],
  ['beta.example', ['10.0.0.2', 'fd00::2']],
  ['reports', ['10.9.9.9']],
]);

function book(moves: { members?: string[][]; hosts?: string[][] } = {}, host = 'gamma.example'): AddressBook {
  const pairs = (list: string[][]): { from: string; to: string }[] =>
    list.map(([from = '', to = '']) => ({ from, to }));
  return new AddressBook(
    {
      members: pairs(
        moves.members ?? [
          ['alpha.example:5432', 'gamma.example:5440'],
          ['alpha.example:5433', 'gamma.example:5441'],
          ['beta.example:5432', 'delta.example:5432'],
        ],
      ),
      hosts: pairs(moves.hosts ?? []),
    },
    { wasHost: 'alpha.example', host },
    (asked) => Promise.resolve(NAMES.get(asked) ?? []),
  );
}

const at = (host: string, port: number | null = 5432): Place => ({ host, port });

describe('an address that stands in the data', () => {
  const cases: [string, Place[], Fate | Place[]][] = [
    ['of a member', [at('alpha.example', 5433)], [at('gamma.example', 5441)]],
    ['of a member, in capital letters and with a dot', [at('Alpha.Example.')], [at('gamma.example', 5440)]],
    ['of a member, as a number', [at('10.0.0.2')], [at('delta.example')]],
    ['of a member, as a number of IPv6', [at('fd00::2')], [at('delta.example')]],
    ['of a member, by another name of its host', [at('alpha', 5433)], [at('gamma.example', 5441)]],
    ['of another port on a host that goes to one', [at('beta.example', 6432)], [at('delta.example', 6432)]],
    ['of a host without a port', [at('beta.example', null)], [at('delta.example', null)]],
    ['of the server itself by its socket', [at('', 5433)], [at('', 5441)]],
    ['of the server itself by a directory of sockets', [at('/run/x', 5432)], [at('/run/x', 5440)]],
    ['of the server itself as localhost', [at('localhost', 5432)], [at('localhost', 5440)]],
    ['of nobody', [at('reports')], { type: 'outside' }],
    ['of a name that nobody knows', [at('nowhere')], { type: 'outside' }],
    [
      'of several, one of them a member',
      [at('reports'), at('alpha.example')],
      [at('reports'), at('gamma.example', 5440)],
    ],
  ];
  for (const [name, places, expected] of cases)
    it(name, async () => {
      const fate = await book().fateOf(places);
      expect(fate).to.deep.equal(Array.isArray(expected) ? { type: 'moves', places: expected } : expected);
    });

  it('stays where its member stays', async () => {
    const same = book({ members: [['alpha.example:5432', 'alpha.example:5432']] }, 'alpha.example');
    expect(await same.fateOf([at('alpha.example')])).to.deep.equal({ type: 'stays' });
    expect(await same.fateOf([at('', 5432)])).to.deep.equal({ type: 'stays' });
    // A pooler before the old grid, or before the restored one: nobody knows.
    expect(await same.fateOf([at('alpha.example', 6432)])).to.deep.equal({ type: 'outside' });
  });

  it('is unclear where it is the port of no member, and its host is divided', async () => {
    const divided = book({
      members: [
        ['alpha.example:5432', 'gamma.example:5432'],
        ['alpha.example:5433', 'delta.example:5432'],
      ],
    });
    expect(await divided.fateOf([at('alpha.example', 6432)])).to.have.property('type', 'unclear');
    expect(await divided.fateOf([at('alpha', 6432)])).to.have.property('type', 'unclear');
    expect(await divided.fateOf([at('alpha', 5433)])).to.deep.equal({
      type: 'moves',
      places: [at('delta.example')],
    });
    // The server itself was on the divided host, and is on another than its neighbour now.
    expect(await divided.fateOf([at('localhost', 5433)])).to.deep.equal({
      type: 'moves',
      places: [at('delta.example')],
    });
  });

  it('goes where --map says of its host', async () => {
    const mapped = book({ hosts: [['reports', 'reports-2']] });
    expect(await mapped.fateOf([at('reports', 1)])).to.deep.equal({
      type: 'moves',
      places: [at('reports-2', 1)],
    });
    expect(await mapped.fateOf([at('10.9.9.9', 1)])).to.deep.equal({
      type: 'moves',
      places: [at('reports-2', 1)],
    });
  });
});

describe('the parameters of a connection', () => {
  const cases: [string, string, Place[], string][] = [
    ['with a host and no port', "host=a dbname='x y'", [at('b')], "dbname='x y' host='b'"],
    ['whose port was not said, and is another now', 'host=a', [at('b', 5440)], "host='b' port='5440'"],
    ['without a host', "dbname='x'", [at('b', 5432)], "dbname='x' host='b'"],
    [
      'with an address that goes before the host',
      'host=cert.name hostaddr=10.0.0.1',
      [at('10.0.1.1')],
      "host='10.0.1.1' hostaddr='10.0.1.1'",
    ],
    ['with an address that becomes a name', 'hostaddr=10.0.0.1 port=1', [at('b', 1)], "host='b' port='1'"],
    [
      'of several hosts with one port',
      'host=a,c port=5433',
      [at('b', 5433), at('c', 5433)],
      "host='b,c' port='5433'",
    ],
    [
      'of several hosts that have several ports now',
      'host=a,c port=5433',
      [at('b', 1), at('c', 5433)],
      "host='b,c' port='1,5433'",
    ],
    [
      'as a URI',
      'postgresql://joe:s%27x@a:5433,[fd00::1]/db?sslmode=require',
      [at('b', 1), at('fd00::2')],
      "host='b,fd00::2' port='1,5432' user='joe' password='s\\'x' dbname='db' sslmode='require'",
    ],
  ];
  for (const [name, conninfo, places, expected] of cases)
    it(name, () => {
      const was = parseConninfo(conninfo);
      const changed = new Map(was);
      for (const [key, value] of parametersFor(was, places))
        if (value === null) changed.delete(key);
        else changed.set(key, value);
      expect(Object.fromEntries(changed)).to.deep.equal(Object.fromEntries(parseConninfo(expected)));
      expect(placesOf(parseConninfo(formatConninfo(changed)))).to.deep.equal(places);
    });

  it('are not touched where they lead to the same places', () => {
    const was = parseConninfo('host=a,b port=1,2 hostaddr=10.0.0.1,');
    expect([...parametersFor(was, placesOf(was))]).to.deep.equal([]);
  });
});
