import { expect } from 'chai';
import { watchRooms, type Room } from '../../agent/room-watch.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import { HandClock } from './held-host.ts';

describe('the watch over disks', () => {
  const room = (code: string, ...free: (number | null | Error)[]): Room => ({
    floorBytes: 100,
    freeBytes() {
      const next = free.length > 1 ? free.shift() : free[0];
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next ?? null);
    },
    failure: (freeBytes) => ({ code, message: `${freeBytes} free`, hint: 'make room' }),
  });

  it('says once which of them runs full, also while another cannot be looked at', async () => {
    const hangs: Room = { ...room('hangs', 0), freeBytes: () => new Promise(() => undefined) };
    const said: Failure[] = [];
    const clock = new HandClock();
    watchRooms(
      [
        hangs,
        room('unseen', null),
        room('broken', new Error('EIO')),
        room('enough', 100),
        room('server', 200, 99),
      ],
      (failure) => said.push(failure),
      clock,
    );
    await clock.pass(1500);
    expect(said).to.deep.equal([]);
    await clock.pass(2500);

    expect(said).to.deep.equal([{ code: 'server', message: '99 free', hint: 'make room' }]);
  });

  it('says nothing when it has ended', async () => {
    const said: Failure[] = [];
    const clock = new HandClock();
    watchRooms([room('server', 0)], (failure) => said.push(failure), clock)();
    await clock.pass(3000);

    expect(said).to.deep.equal([]);
  });
});
