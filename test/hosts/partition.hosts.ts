import { expect } from 'chai';
import type { Failure } from '../../shared/domain/errors.ts';
import { until } from '../lab/processes.ts';
import { commits } from './lab/commits.ts';
import { heal, part } from './lab/network.ts';
import { LEASE_MS, StandingGrid } from './lab/standing-grid.ts';

// Goal: who gives commands is cut off from two of four hosts, whenever that is: nobody stays frozen for longer than the
// lease, nothing is listed that cannot be restored, and the command says what became of whom.
// Method: hosts that boot; a cable that leads nowhere, of which nobody is told. Agents and command wait at a moment each.

/** A commit and what is asked of it: a new connection, and the next try. */
const ONE_TRY_MS = 3000;

describe('a partition between the commands and two of four hosts', function () {
  const grid = StandingGrid.forSuite();
  const cutOff = ['alpha', 'beta'];
  const parted = () => grid().hosts.filter(({ short }) => cutOff.includes(short));

  afterEach(() => {
    heal(grid().operator, parted());
    for (const host of [grid().operator, ...grid().hosts]) grid().hooks(host).reset();
  });

  interface Ended {
    readonly code: number | null;
    readonly error: Failure;
    readonly said: string;
  }

  /** Cuts the hosts off while one member of each is at the moment, and lets them go on; the checkpoint's end. */
  async function cutAt(moment: string): Promise<Ended> {
    const { operator, hosts } = grid();
    const held = moment === 'committing' ? [operator] : parted();
    const who = (short: string): string => (held.includes(operator) ? 'coordinator' : `orders-${short}`);
    for (const host of held) grid().hooks(host).hold(moment, who(host.short));
    const ended = operator.begin(
      grid().withHooks(`stillpoint checkpoint create at-${moment} --grid grid.yaml --output json`),
    );
    for (const host of held)
      await until(
        `${host.name} to be ${moment}`,
        () => grid().hooks(host).hasReached(moment, who(host.short)),
        60_000,
      );
    part(operator, parted());
    const longest = await Promise.all(
      grid().clusters.map((cluster) => commits(cluster, LEASE_MS + ONE_TRY_MS)),
    );
    console.log(
      `      commits return after ${Math.round(Math.max(...longest))} ms at most, on ${hosts.length} hosts`,
    );
    for (const host of held) grid().hooks(host).release(moment, who(host.short));
    const { code, stdout, stderr } = await ended;
    const { error } = JSON.parse(stdout) as Pick<Ended, 'error'>;
    console.log(`      exit code ${code}${error === undefined ? '' : `: ${error.message}`}`);
    return { code, error, said: stdout + stderr };
  }

  async function isWholeAgain(): Promise<void> {
    heal(grid().operator, parted());
    await grid().expect(0, 'stillpoint checkpoint create healed --grid grid.yaml --output json');
  }

  it('aborts a checkpoint that it meets when members have prepared, and says which hosts are away', async () => {
    const before = await grid().verified();
    const { code, said } = await cutAt('prepared');
    expect(code, said).to.equal(4);
    for (const { name } of parted()) expect(said).to.include(name);
    expect(await grid().verified()).to.deep.equal(before);
    await isWholeAgain();
  });

  it('aborts a checkpoint that it meets when members have stored, and calls nobody frozen whose thaw was proven', async () => {
    const before = await grid().verified();
    const { code, error, said } = await cutAt('collected');
    expect(code, said).to.equal(4);
    expect(error.host).to.be.oneOf(parted().map(({ name }) => name));
    expect(error.members?.map(({ state }) => state)).to.deep.equal(grid().clusters.map(() => 'running'));
    expect(await grid().verified()).to.deep.equal(before);
    await isWholeAgain();
  });

  it('@short has every member commit again within the lease when it begins in the window, and names who may still be frozen', async () => {
    const before = await grid().verified();
    const { code, error, said } = await cutAt('marked');
    expect(code, said).to.equal(5);
    for (const { host, member } of grid().clusters)
      expect(error.members, said).to.deep.include(
        parted().includes(host)
          ? { name: member, state: 'unknown', host: host.name }
          : { name: member, state: 'running' },
      );
    expect(await grid().verified()).to.deep.equal(before);
    await isWholeAgain();
  });

  it('takes nothing of a checkpoint that is about to be committed, and says whose copies are not finished', async () => {
    const before = await grid().verified();
    const { code, said } = await cutAt('committing');
    expect(code, said).to.equal(0);
    for (const { name } of parted()) expect(said).to.include(name);
    expect(await grid().verified()).to.have.length(before.length + 1);
    await isWholeAgain();
  });
});
