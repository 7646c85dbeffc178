import { basename, dirname } from 'node:path';
import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { type AnchoredDirectory, closing } from '../../../anchored-directory.ts';
import type { Owner } from '../../../foreign-files.ts';
import { within } from '../../../safe-files.ts';
import { findPendingSettings } from '../look/pending-settings.ts';
import type { PostgresSettings } from '../settings.ts';
import { withAccessBlock } from './access-lines.ts';

const BACKUP = '.before-stillpoint';

interface Access {
  readonly settings: PostgresSettings;
  readonly role: string;
  readonly lines: readonly string[];
  readonly owner: Owner;
}

/**
 * Puts the lines into the server's pg_hba.conf, looks whether the server understands the file, and reloads it. As it was
 * it is kept beside it; where the server finds a mistake it is put back, and nothing is reloaded. A reload takes up
 * what else waits in the server's files: so nothing is done while something does.
 */
export async function letIn(client: Client, { settings, role, lines, owner }: Access): Promise<string> {
  const { problems } = await findPendingSettings(client, settings);
  if (problems[0] !== undefined) throw new StillpointError(problems[0]);
  const { rows } = await client.query<{ file: string }>("SELECT current_setting('hba_file') AS file");
  const file = rows[0]?.file ?? '';
  const name = basename(file);
  await within(dirname(file), async (folder) => {
    const before = await folder.read(name, owner);
    if (before === null) throw notThere(file);
    const text = before.toString('utf8');
    const after = withAccessBlock(text, role, lines);
    if (after === text) return;
    if ((await folder.stat(`${name}${BACKUP}`)) === null) await put(folder, `${name}${BACKUP}`, name, text);
    await put(folder, name, name, after);
    const mistake = await mistakeIn(client);
    if (mistake === null) return;
    await put(folder, name, name, text);
    throw mistaken(file, mistake);
  });
  await client.query('SELECT pg_reload_conf()');
  return `${file} has ${lines.length} lines for ${role} at its head; as it was: ${file}${BACKUP}`;
}

/** In one step, with owner and mode of the file whose name is `like`. */
async function put(folder: AnchoredDirectory, name: string, like: string, text: string): Promise<void> {
  const { uid, gid, mode } = await closing(await folder.openFile(like), (file) => file.stat());
  const temporary = `${name}.stillpoint-new`;
  await folder.remove(temporary);
  await closing(await folder.create(temporary), async (file) => {
    await file.writeFile(text);
    if (process.getuid?.() === 0) await file.chown(uid, gid);
    await file.chmod(mode & 0o777);
    await file.sync();
  });
  await folder.move(temporary, folder, name);
  await folder.sync();
}

/** Of the file as it lies there, which need not be in force. */
async function mistakeIn(client: Client): Promise<string | null> {
  const { rows } = await client.query<{ line: number; error: string }>(
    'SELECT line_number AS line, error FROM pg_hba_file_rules WHERE error IS NOT NULL ORDER BY line_number LIMIT 1',
  );
  return rows[0] === undefined ? null : `line ${rows[0].line}: ${rows[0].error}`;
}

function mistaken(file: string, mistake: string): StillpointError {
  return new StillpointError({
    code: 'postgres-settings-broken',
    message: `${file} would have a mistake with the lines of the agent (${mistake}): it was put back, and not reloaded`,
    hint: 'add the lines by hand, as stillpoint-agent init prints them without --apply, with the address of the agent instead of samehost',
  });
}

function notThere(file: string): StillpointError {
  return new StillpointError({
    code: 'postgres-settings-broken',
    message: `${file} is not there, and the server names it as its hba_file`,
    hint: 'bring it back, or correct hba_file, and reload the server',
  });
}
