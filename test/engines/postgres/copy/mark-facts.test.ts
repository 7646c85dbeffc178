import { expect } from 'chai';
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseFacts, type PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import type { MemberManifest } from '../../../../shared/domain/manifest.ts';
import type { Purpose } from '../../../../shared/domain/purpose.ts';
import { beginCapture, token } from '../../tested-capture.ts';
import { postgresLab, until, versions, type PostgresLab } from '../lab.ts';

const assignment = { hold: 'member', part: 'none' } as const;
const JOURNAL_CHECKPOINT: Purpose = { type: 'journalCheckpoint' };

for (const version of versions) {
  describe(`PostgreSQL ${version}, marked and not copied`, () => {
    let lab: PostgresLab;
    beforeEach(async () => {
      lab = await postgresLab(version);
    });
    afterEach(() => lab.remove());

    const marked = async (): Promise<{
      facts: PostgresFacts;
      file: string;
      warnings: string[];
      stored: number;
    }> => {
      const { capture, artifacts } = await beginCapture(lab.engine, lab.folder, {
        assignment,
        purpose: JOURNAL_CHECKPOINT,
      });
      await capture.prepare();
      await capture.arm(token());
      const { mark } = await capture.freeze(token());
      expect((await capture.thaw(token(), () => undefined)).type).to.equal('held');
      const { engineFacts, warnings } = await capture.collect();
      await capture.close();
      const facts = parseFacts({ engineFacts, member: { name: 'a' } } as MemberManifest);
      expect(facts.markPosition).to.equal(mark?.position);
      return {
        facts,
        file: mark?.journalFile ?? '',
        warnings: warnings.map(({ code }) => code),
        stored: artifacts.files.size,
      };
    };

    it('says what a restore from a copy of its operator needs, and stores nothing', async () => {
      const client = await lab.server.connect();
      const prepare = async (gid: string): Promise<void> => {
        await client.query('BEGIN; INSERT INTO entry VALUES (floor(random() * 1e9))');
        await client.query(`PREPARE TRANSACTION '${gid}'`);
      };
      await prepare('stands');
      await prepare('ended before');
      await client.query("COMMIT PREPARED 'ended before'");
      await client.end();

      const { facts, stored } = await marked();
      await lab.server.query("ROLLBACK PREPARED 'stands'");

      expect(stored).to.equal(0);
      expect(facts.kind).to.equal('primary');
      expect([facts.startPosition, facts.leftOut, facts.damagedPages, facts.also]).to.deep.equal([
        null,
        [],
        [],
        [],
      ]);
      expect(facts.restorePoint).to.match(/#1$/);
      expect(facts.preparedAtMark.map(({ gid }) => gid)).to.deep.equal(['stands']);
      const [row] = await lab.server.query<{ id: string }>(
        'SELECT system_identifier::text AS id FROM pg_control_system()',
      );
      expect(facts.systemIdentifier).to.equal(row?.id);
    });

    it('ends the journal file of the mark, which an archive then gets as a whole [S76]', async () => {
      const archive = join(lab.folder, 'archive');
      mkdirSync(archive);
      chmodSync(archive, 0o777);
      lab.server.stop();
      lab.server.configure(['archive_mode = on', `archive_command = 'cp %p ${archive}/%f'`]);
      await lab.server.start();

      const { file, warnings } = await marked();

      expect(warnings).to.deep.equal([]);
      await until('the file to be archived', () => readdirSync(archive).includes(file));
    });

    it('warns where nothing archives the journal, and where the archiver stands', async () => {
      expect((await marked()).warnings).to.deep.equal(['postgres-journal-not-kept']);
      lab.server.stop();
      lab.server.configure(['archive_mode = on', 'archive_command = false']);
      await lab.server.start();
      await lab.server.query('SELECT pg_switch_wal()');
      await until('the archiver to fail', async () => {
        const [row] = await lab.server.query<{ failed: string }>(
          'SELECT failed_count::text AS failed FROM pg_stat_archiver',
        );
        return row?.failed !== '0';
      });

      expect((await marked()).warnings).to.deep.equal(['postgres-archive-fails']);
    });
  });

  describe(`what PostgreSQL ${version} can be held for`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version);
    });
    after(() => lab.remove());

    it('is a mark, and a quiesce that lets reads go on; each refusal says what to do instead', async () => {
      const { abilities } = await lab.engine.describe(AbortSignal.timeout(10_000));

      expect([abilities.journalCheckpoint, abilities.quiesceAllowingReads]).to.deep.equal([null, null]);
      expect(abilities.quiesce?.code).to.equal('reads-go-on');
      expect(abilities.quiesce?.hint).to.include('--allow-reads');
      expect(abilities.freeze?.code).to.equal('freeze-unsupported');
      expect(abilities.freeze?.hint).to.include('stillpoint journal-checkpoint');
    });

    it('is no quiesce where its role may not have it write, and it says the statement that helps', async () => {
      await lab.server.query('REVOKE pg_checkpoint FROM stillpoint');
      const { abilities, problems } = await lab.engine.describe(AbortSignal.timeout(10_000));
      const findings = await lab.engine.diagnose(AbortSignal.timeout(10_000));
      await lab.server.query((abilities.quiesceAllowingReads?.hint ?? '').replace(/^[^:]*: /, ''));

      expect(problems).to.deep.equal([]);
      expect(abilities.quiesceAllowingReads?.code).to.equal('postgres-privilege');
      expect(findings.filter(({ level }) => level === 'warning')).to.have.length(1);
      const again = await lab.engine.describe(AbortSignal.timeout(10_000));
      expect(again.abilities.quiesceAllowingReads).to.equal(null);
    });
  });
}
