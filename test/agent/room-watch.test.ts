import { expect } from 'chai';
import { watchRooms, type Room } from '../../agent/room-watch.ts';
import type { Failure } from '../../shared/domain/errors.ts';

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
    await new Promise<void>((resolve) => {
      watchRooms(
        [
          hangs,
          room('unseen', null),
          room('broken', new Error('EIO')),
          room('enough', 100),
          room('server', 200, 99),
        ],
        (failure) => {
          said.push(failure);
          resolve();
        },
      );
    });
    await new Promise((resolve) => setTimeout(resolve, 1200));

    expect(said).to.deep.equal([{ code: 'server', message: '99 free', hint: 'make room' }]);
  });

  it('says nothing when it has ended', async () => {
    const said: Failure[] = [];
    watchRooms([room('server', 0)], (failure) => said.push(failure))();
    await new Promise((resolve) => setTimeout(resolve, 1200));

    expect(said).to.deep.equal([]);
  });
});
