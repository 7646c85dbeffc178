import { randomBytes } from 'node:crypto';
import { escapeIdentifier, type Client, type QueryConfig } from 'pg';
import type { Answer, Question } from '../../../../shared/domain/wire.ts';
import type { PrivateServer } from './private-server.ts';
import { textOf } from './verify.ts';

const LONGEST_MS = 60_000;
/** The server's own bound comes first, so that the answer has its words. */
const PATIENCE_MS = LONGEST_MS + 5000;
const MOST_ROWS = 1000;
const ROWS_AT_ONCE = 100;
const MOST_CHARACTERS = 64 * 1024;

/**
 * What a drill asks of a server while it is proven. Whoever wrote the statements may be able to write a grid file and
 * nothing more, and a superuser runs programs. So each is asked as a role that can read all tables and has no other
 * right, made for this and dropped after it; as the query of a cursor, which takes one SELECT and nothing else; in a
 * transaction that is read-only; and without foreign tables, behind which the living grid may be.
 */
export async function askQuestions(server: PrivateServer, questions: readonly Question[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const question of questions) {
    const startedAt = performance.now();
    const answer = await ask(server, question).then(
      (text) => ({ text, error: '' }),
      (error: unknown) => ({
        text: '',
        error: textOf(error) || 'it was not answered',
      }),
    );
    answers.push({ name: question.name, ...answer, durationMs: performance.now() - startedAt });
  }
  return answers;
}

async function ask(server: PrivateServer, { statement, database }: Question): Promise<string> {
  const superuser = await server.connect(database === '' ? null : database);
  const name = `stillpoint_drill_${randomBytes(6).toString('hex')}`;
  const role = escapeIdentifier(name);
  try {
    const { rows } = await superuser.query<{ database: string }>('SELECT current_database() AS database');
    const where = rows[0]?.database ?? '';
    await superuser.query(
      `CREATE ROLE ${role} LOGIN BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION IN ROLE pg_read_all_data`,
    );
    await superuser.query(`GRANT CONNECT ON DATABASE ${escapeIdentifier(where)} TO ${role}`);
    try {
      return await askAs(server, name, where, statement);
    } finally {
      await superuser.query(
        `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = $1`,
        [name],
      );
      await superuser.query(`DROP OWNED BY ${role}`);
      await superuser.query(`DROP ROLE ${role}`);
    }
  } finally {
    superuser.end().catch(() => undefined);
  }
}

async function askAs(
  server: PrivateServer,
  role: string,
  database: string,
  statement: string,
): Promise<string> {
  const client = await server.connectAs(role, database);
  let timer: NodeJS.Timeout | undefined;
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it was not answered in ${LONGEST_MS / 1000} s`)), PATIENCE_MS);
  });
  const asked = readAnswer(client, statement);
  try {
    return await Promise.race([asked, hangs]);
  } finally {
    clearTimeout(timer);
    asked.catch(() => undefined);
    client.end().catch(() => undefined);
  }
}

async function readAnswer(client: Client, statement: string): Promise<string> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await client.query(`SET LOCAL statement_timeout = ${LONGEST_MS}`);
  await client.query("SET LOCAL restrict_nonsystem_relation_kind = 'foreign-table'");
  // Prepared, so that it cannot be two statements.
  const declare: QueryConfig & { queryMode: 'extended' } = {
    text: `DECLARE stillpoint_answer NO SCROLL CURSOR FOR ${statement}`,
    queryMode: 'extended',
  };
  await client.query(declare);
  const lines: string[] = [];
  let characters = 0;
  for (;;) {
    const { rows } = await client.query<(string | null)[]>({
      text: `FETCH ${ROWS_AT_ONCE} FROM stillpoint_answer`,
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text },
    });
    for (const row of rows) {
      const line = row.map((cell) => cell ?? '').join('\t');
      characters += line.length + 1;
      lines.push(line);
    }
    if (rows.length < ROWS_AT_ONCE) return lines.join('\n');
    if (lines.length >= MOST_ROWS || characters > MOST_CHARACTERS)
      throw new Error(`it has more than ${MOST_ROWS} rows or ${MOST_CHARACTERS} characters: ask for less`);
  }
}
