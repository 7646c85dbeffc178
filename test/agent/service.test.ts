import { expect } from 'chai';
import { PROTOCOL_VERSION } from '../../shared/domain/wire.ts';
import { firstToken as token, HeldHost, settled } from './held-host.ts';
import { CHECKPOINT, claim, HELLO, PREPARE, served } from './served-host.ts';

// Goal: what a coordinator says is heard in its order, by one holder at a time, and ends with its stream.
// Method: the real service, claim and operation behind streams that the test writes and reads.

describe('the service of an agent', () => {
  it('ends a stream that says something else than hello first, or nothing at all', async () => {
    const host = new HeldHost(['a']);
    const { opened } = served(host);
    const early = opened();
    await early.says({ type: 'describe', id: 1 });
    const silent = opened();
    await host.clock.pass(9_900);
    expect(silent.closed.aborted).to.equal(false);
    await host.clock.pass(200);
    for (const stream of [early, silent]) {
      expect(stream.heard).to.deep.equal(['rejected bad-message']);
      expect(stream.closed.aborted).to.equal(true);
    }
  });

  it('turns away who is of another grid, or speaks another version', async () => {
    const { opened } = served(new HeldHost(['a']));
    const [ofAnother, older] = [opened(), opened()];
    await ofAnother.says({ ...HELLO, grid: 'invoices' });
    await older.says({ ...HELLO, protocolVersion: PROTOCOL_VERSION - 1 });
    expect(ofAnother.heard).to.deep.equal(['rejected wrong-grid']);
    expect(older.heard).to.deep.equal(['rejected protocol-version']);
  });

  it('hears commands of whoever holds the host, and of nobody else', async () => {
    const host = new HeldHost(['a']);
    const { opened } = served(host);
    const [holder, other] = [opened(), opened()];
    await holder.holds('one');
    await holder.says(PREPARE);
    await other.says(HELLO, PREPARE, { type: 'settle', id: 3, checkpoint: CHECKPOINT }, claim('two'));
    expect(holder.heard).to.include.members(['welcome', 'described', 'claimed', 'prepared']);
    expect(other.heard).to.deep.equal([
      'welcome',
      'refused not-claimed',
      'failed not-claimed',
      'failed grid-busy',
    ]);
    expect(host.calls.filter((call) => call === 'a: prepare')).to.have.length(1);
  });

  it('ends what was armed with its stream, and the next has the host when that is done', async () => {
    const host = new HeldHost(['a']);
    const { opened } = served(host);
    const [holder, next] = [opened(), opened()];
    await holder.holds('one');
    await holder.says(PREPARE);
    await holder.says({ type: 'member', member: 'a', command: { type: 'arm', token, leaseMs: 1000 } });
    const releasing = Promise.withResolvers<void>();
    host.releasing = releasing.promise;
    holder.close();
    await next.says(HELLO, claim('two'));
    expect(host.calls).to.include('a: release');
    expect(next.heard).to.deep.equal(['welcome']);
    releasing.resolve();
    await settled();
    host.guards[0]?.die();
    await settled();
    expect(next.heard).to.deep.equal(['welcome', 'claimed']);
  });

  it('keeps what is only prepared for the same operation on another stream', async () => {
    const host = new HeldHost(['a']);
    const { opened } = served(host);
    const [first, second] = [opened(), opened()];
    await first.holds('one');
    await first.says(PREPARE);
    first.close();
    await second.says(HELLO, claim('one'));
    expect(second.sent.at(-1)).to.deep.equal({ type: 'claimed', id: 1, resumed: true, rehearses: true });
    await second.says(PREPARE);
    expect(second.heard.at(-1)).to.equal('prepared');
    expect(host.calls.filter((call) => call === 'a: prepare')).to.have.length(1);
  });

  it('hands the host over when its holder was silent for a lease', async () => {
    const host = new HeldHost(['a']);
    const { opened } = served(host);
    const [silent, next] = [opened(), opened()];
    await silent.says(HELLO, claim('one'));
    await host.clock.pass(900);
    await silent.says({ type: 'keepAlive' });
    await host.clock.pass(900);
    await next.says(HELLO, claim('two'));
    expect(next.heard.at(-1)).to.equal('failed grid-busy');
    await host.clock.pass(200);
    await next.says(claim('two'));
    expect(next.heard.at(-1)).to.equal('claimed');
    await silent.says(PREPARE);
    expect(silent.heard.at(-1)).to.equal('refused not-claimed');
  });

  it('ends its operations when it ends, and from then on says why nobody new is served', async () => {
    const host = new HeldHost(['a']);
    const { service, opened } = served(host);
    const holder = opened();
    await holder.holds('one');
    await holder.says(PREPARE);
    expect(service.refusal).to.equal(null);
    let isOver = false;
    void service.end().then(() => (isOver = true));
    await settled();
    expect([host.calls.includes('a: release'), isOver]).to.deep.equal([true, false]);
    expect(service.refusal).to.equal('the agent is ending, and serves nobody new');
    host.guards[0]?.die();
    await settled();
    expect(isOver).to.equal(true);
  });

  it('is at rest when nobody has spoken to it for a while, and never while a member is held', async () => {
    const host = new HeldHost(['a']);
    const { opened } = served(host);
    const restsAfter = async (ms: number): Promise<boolean> => {
      host.calls.length = 0;
      await host.clock.pass(ms);
      return host.calls.includes('rested');
    };
    const [one, two] = [opened(), opened()];
    await two.says(HELLO);
    one.close();
    expect(await restsAfter(30_000), 'one is left').to.equal(false);
    two.close();
    await settled();
    expect(await restsAfter(19_000), 'not yet').to.equal(false);
    const holder = opened();
    await holder.holds('one');
    await holder.says(PREPARE);
    await holder.says({ type: 'member', member: 'a', command: { type: 'arm', token, leaseMs: 1000 } });
    const releasing = Promise.withResolvers<void>();
    host.releasing = releasing.promise;
    holder.close();
    await settled();
    expect(await restsAfter(60_000), 'a member is not released').to.equal(false);
    releasing.resolve();
    await settled();
    host.guards[0]?.die();
    await settled();
    expect(await restsAfter(21_000)).to.equal(true);
    expect(await restsAfter(60_000), 'once').to.equal(false);
  });
});
