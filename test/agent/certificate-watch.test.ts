import { expect } from 'chai';
import { CertificateWatch } from '../../agent/certificate-watch.ts';

// Goal: `systemctl reload` is enough, and a file that is half copied fills no log.

describe('the watch over the certificates of an agent', () => {
  it('reads them again on SIGHUP, and tells the same cause once', async () => {
    const told: string[] = [];
    const say = (fields: object): void => void told.push((fields as { event: string }).event);
    let cause: string | null = 'the key is of another certificate';
    let looks = 0;
    const watch = new CertificateWatch({
      reload: () => {
        looks += 1;
        return cause === null ? Promise.resolve(true) : Promise.reject(new Error(cause));
      },
      log: { info: say, warn: say } as never,
    });
    process.emit('SIGHUP');
    await watch.look();
    cause = null;
    await watch.look();
    watch.stop();

    expect(looks).to.equal(3);
    expect(told).to.deep.equal(['certificatesKept', 'certificatesReloaded']);
    expect(process.listenerCount('SIGHUP')).to.equal(0);
  });
});
