import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { mustBeReplaceable } from '../../../../agent/engines/restore/directory-switch.ts';
import { failureOf } from '../../../repository/samples.ts';
import { beginCapture, token } from '../../tested-capture.ts';
import { postgresLab, type PostgresLab } from '../lab.ts';

describe('a PostgreSQL server whose data directory is named by a link', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18');
  });
  after(() => lab.remove());

  it('is captured; the doctor says that no restore could replace it, and what to name', async () => {
    const data = join(lab.folder, 'link');
    symlinkSync(lab.server.data, data);
    const engine = createPostgresEngine({ ...lab.settings, data });

    const { problems } = await engine.describe(AbortSignal.timeout(10_000));
    const findings = await engine.diagnose(AbortSignal.timeout(10_000));
    const refused = await failureOf(mustBeReplaceable('aa', [data]));
    const { capture } = await beginCapture(engine, lab.folder);
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    const proof = await capture.thaw(token(), () => undefined);
    await capture.abort();

    expect(problems).to.deep.equal([]);
    const found = findings.find(({ failure }) => failure.code === 'data-is-link');
    expect(found?.level).to.equal('problem');
    expect(found?.failure.message).to.include(lab.server.data);
    expect(refused.code).to.equal('data-is-link');
    expect(proof.type).to.equal('held');
  });
});
