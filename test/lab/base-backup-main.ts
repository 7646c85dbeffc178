import { baseBackup } from './base-backup.ts';
import { postgresServer, type PostgresVersion } from './postgres.ts';

// `node base-backup-main.ts VERSION HOST PORT IMAGE`: for machines that have no pg_basebackup.

const [version, host = '', port, image = ''] = process.argv.slice(2);
const server = await postgresServer({
  version: version as PostgresVersion,
  data: '',
  host,
  port: Number(port),
  existing: true,
});
await baseBackup(server, image);
