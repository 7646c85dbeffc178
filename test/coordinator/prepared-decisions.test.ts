import { expect } from 'chai';
import { warningLine } from '../../shared/domain/warning.ts';
import { preparedAtMark } from '../../agent/engines/postgres/copy/prepared-transactions.ts';
import type { TransactionRecord } from '../../agent/engines/postgres/journal/wal-records.ts';
import { committedElsewhere } from '../../coordinator/prepared-decisions.ts';
import { describedMember, manifestOf } from './descriptions.ts';

// Goal: a prepared transaction is committed by a restore only where another member had committed this very one.
// Method: what each member's journal says, through the real reading of it, to what the coordinator tells to commit.

type Event = readonly ['prepare' | 'commitPrepared' | 'abortPrepared', xid: number, gid?: string];
interface Journal {
  /** What stood prepared before the base copy began. */
  readonly before?: readonly (readonly [xid: number, gid: string])[];
  readonly events: readonly Event[];
}

describe('a prepared transaction in a checkpoint', () => {
  const decided = async (
    journals: Readonly<Record<string, Journal>>,
  ): Promise<{ committed: Record<string, readonly string[]>; warnings: readonly string[] }> => {
    const manifest = manifestOf(
      Object.keys(journals).map((name) => ({ host: name, member: describedMember(name) })),
    );
    const result = await committedElsewhere(manifest, ({ name }) =>
      factsOf(journals[name] ?? { events: [] }),
    );
    return {
      committed: Object.fromEntries([...result.committed].map(([{ name }, gids]) => [name, gids])),
      warnings: result.warnings.map(warningLine),
    };
  };

  it('is committed where another member had committed it', async () => {
    const { committed, warnings } = await decided({
      aa: { events: [['prepare', 7, 'nightly']] },
      ba: {
        events: [
          ['prepare', 9, 'nightly'],
          ['commitPrepared', 9],
        ],
      },
    });
    expect(committed).to.deep.equal({ aa: ['nightly'], ba: [] });
    expect(warnings).to.deep.equal([]);
  });

  const once: Event[] = [
    ['prepare', 9, 'nightly'],
    ['commitPrepared', 9],
  ];
  const reuses: Record<string, Record<string, Journal>> = {
    'its member committed one of the same name before': {
      aa: {
        events: [
          ['prepare', 7, 'nightly'],
          ['commitPrepared', 7],
          ['prepare', 8, 'nightly'],
        ],
      },
      ba: { events: once },
    },
    'one of the same name stood there when the copy was begun': {
      aa: { before: [[7, 'nightly']], events: [['prepare', 8, 'nightly']] },
      ba: { events: once },
    },
    'a third member saw the name used again': {
      aa: { events: [['prepare', 8, 'nightly']] },
      ba: { events: once },
      ca: {
        events: [
          ['prepare', 3, 'nightly'],
          ['abortPrepared', 3],
          ['prepare', 4, 'nightly'],
        ],
      },
    },
  };
  for (const [what, journals] of Object.entries(reuses)) {
    it(`is left undecided, and told, where ${what}`, async () => {
      const { committed, warnings } = await decided(journals);
      expect(Object.values(committed).flat()).to.deep.equal([]);
      expect(warnings[0]).to.include('aa: prepared transaction nightly').and.include('more than once');
    });
  }
});

function factsOf({ before = [], events }: Journal): Promise<unknown> {
  async function* records(): AsyncGenerator<TransactionRecord> {
    for (const [type, xid, gid] of events) {
      const prepared = gid === undefined ? null : { gid, databaseOid: 5, ownerOid: 10 };
      yield { type, xid, prepared, commit: null, start: 0n };
    }
  }
  return preparedAtMark({
    before: before.map(([xid, gid]) => ({ xid, gid, database: 'postgres', owner: 'postgres' })),
    after: [],
    records: records(),
    names: () => Promise.resolve({ databases: new Map(), owners: new Map() }),
  });
}
