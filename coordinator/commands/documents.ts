import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { KeptDocument, Kind } from '../../shared/documents/document.ts';
import { mustNotBeRead } from '../../shared/documents/archive-readers.ts';
import { readDocuments } from '../../shared/documents/read-documents.ts';
import { describe, kindNamed, listOf, referenceTo, tablesOf, yamlOf } from '../../shared/documents/show.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { confirm } from '../confirm.ts';
import { applyDocuments, pause, readLog, waitFor, type Applied } from '../documents/apply.ts';
import { DocumentAgents } from '../documents/document-agents.ts';
import { noSuchKind } from '../documents/failures.ts';
import { table } from '../output.ts';
import { oneOf } from '../options.ts';
import { withSession, type Session } from '../session.ts';
import { stdout } from '../words.ts';

const WATCH_EVERY_MS = 500;

/** Backup and Restore documents, by the words that people know from kubectl. */
export function registerDocuments(program: Command): Command[] {
  return [
    registerApply(program),
    registerGet(program),
    registerDescribe(program),
    registerDelete(program),
    registerLogs(program),
  ];
}

function registerApply(program: Command): Command {
  return program
    .command('apply')
    .description('have Backup and Restore documents carried out, each once')
    .requiredOption('-f, --filename <file>', 'YAML or JSON, one document or many; - for stdin')
    .option('--wait', 'until each has succeeded; exit code 4 where one has failed')
    .addHelpText('after', '\nExample: stillpoint apply -f my-backup.yaml --grid /etc/stillpoint/grid.yaml')
    .action((options: { filename: string; wait?: boolean }, command: Command) =>
      withSession(command, (session) => apply(session, options.filename, options.wait ?? false)),
    );
}

async function apply(session: Session, file: string, wait: boolean): Promise<void> {
  const { gridFile: load, cancellation, progress, printer } = session;
  const { signal } = cancellation;
  const read = readDocuments(await textOf(file), file);
  for (const warning of read.flatMap(({ warnings }) => warnings)) progress.note(`Warning: ${warning}`);
  const agents = await DocumentAgents.all(await load(), signal);
  try {
    const applied = await applyDocuments(
      agents,
      read.map(({ document }) => document),
    );
    if (!wait) return printer.result(appliedReport(applied), appliedInWords(applied));
    for (const one of applied) progress.note(`${referenceTo(one.document)} ${one.result}`);
    const ended = await waitFor(agents, applied, {
      signal,
      tell: (document) => progress.note(stateInWords(document)),
    });
    const done = applied.map((one, at) => ({ ...one, document: ended[at] ?? one.document }));
    printer.result(
      appliedReport(done),
      done.map(({ document }) => `${referenceTo(document)} ${document.status.phase}`).join('\n'),
    );
  } finally {
    agents.close();
  }
}

function appliedReport(applied: readonly Applied[]): object {
  return {
    documents: applied.map(({ document, result, host }) => ({
      kind: document.kind,
      name: document.metadata.name,
      cluster: document.spec.cluster,
      host,
      result,
      phase: document.status.phase,
    })),
  };
}

function appliedInWords(applied: readonly Applied[]): string {
  return applied.map(({ document, result }) => `${referenceTo(document)} ${result}`).join('\n');
}

function stateInWords(document: KeptDocument): string {
  const { phase, reason } = document.status;
  return `${referenceTo(document)}: ${phase}${reason === undefined ? '' : ` (${reason})`}`;
}

async function textOf(file: string): Promise<string> {
  try {
    if (file !== '-') return await readFile(file, 'utf8');
    let text = '';
    for await (const part of process.stdin.setEncoding('utf8')) text += part as string;
    return text;
  } catch (error) {
    throw new StillpointError({
      code: 'document-unreadable',
      message: `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'name a file with -f',
    });
  }
}

interface GetOptions {
  readonly output?: string;
  readonly watch?: boolean;
}

function registerGet(program: Command): Command {
  return program
    .command('get [kind] [name]')
    .description('list Backup and Restore documents, and how far each is')
    .option(
      '-o, --output <format>',
      'text, wide, name, yaml or json',
      oneOf(['text', 'wide', 'name', 'yaml', 'json']),
    )
    .option('-w, --watch', 'print a line with every change, until interrupted')
    .addHelpText('after', '\nExample: stillpoint get backups -o wide --grid /etc/stillpoint/grid.yaml')
    .action((kind: string | undefined, name: string | undefined, options: GetOptions, command: Command) => {
      const asked = askedFor(kind, name);
      const format = command.optsWithGlobals<GetOptions>().output ?? 'text';
      const watch = options.watch ?? false;
      return withSession(
        command,
        async (session) => {
          const { gridFile: load, cancellation, progress } = session;
          const agents = await DocumentAgents.answering(await load(), cancellation.signal);
          try {
            for (const { message } of agents.unreached) progress.note(`Warning: ${message}`);
            const documents = await agents.list(asked.kind, asked.name);
            stdout.write(shown(documents, format, asked.name !== null));
            if (watch) await watchOn(agents, asked, documents, format, cancellation.signal);
          } finally {
            agents.close();
          }
        },
        // Who watches ends it by an interruption, and has seen what they wanted.
        { abortsItself: watch },
      );
    });
}

function shown(documents: readonly KeptDocument[], format: string, named: boolean): string {
  if (format === 'json') return `${JSON.stringify(listOf(documents, named))}\n`;
  if (format === 'yaml') return `${yamlOf(listOf(documents, named))}\n`;
  if (format === 'name') return documents.map((one) => `${referenceTo(one)}\n`).join('');
  if (documents.length === 0) return 'No resources found\n';
  const tables = tablesOf(documents, { wide: format === 'wide', now: Date.now() });
  return `${tables.map((rows) => table(rows)).join('\n\n')}\n`;
}

async function watchOn(
  agents: DocumentAgents,
  asked: Asked,
  first: readonly KeptDocument[],
  format: string,
  signal: AbortSignal,
): Promise<void> {
  let seen = statesOf(first);
  for (;;) {
    await Promise.race([
      pause(WATCH_EVERY_MS),
      new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
    ]);
    if (signal.aborted) return;
    const now = await agents.list(asked.kind, null);
    const watched = now.filter(({ metadata }) => asked.name === null || metadata.name === asked.name);
    const before = seen;
    seen = statesOf(watched);
    const changed = watched.filter((one) => before.get(referenceTo(one)) !== seen.get(referenceTo(one)));
    for (const one of changed) stdout.write(row(one, format));
  }
}

function statesOf(documents: readonly KeptDocument[]): Map<string, string> {
  return new Map(documents.map((one) => [referenceTo(one), JSON.stringify(one.status)]));
}

/** A change, without the head of its table. */
function row(document: KeptDocument, format: string): string {
  if (!['text', 'wide'].includes(format)) return shown([document], format, true);
  const [rows = []] = tablesOf([document], { wide: format === 'wide', now: Date.now() });
  return `${table(rows).split('\n').slice(1).join('\n')}\n`;
}

function registerDescribe(program: Command): Command {
  return program
    .command('describe <kind> [name]')
    .description('everything that is known of a document')
    .addHelpText('after', '\nExample: stillpoint describe backup my-backup --grid /etc/stillpoint/grid.yaml')
    .action((kind: string, name: string | undefined, _options: unknown, command: Command) => {
      const asked = oneAskedFor(kind, name);
      return withSession(command, async ({ gridFile: load, cancellation, printer }) => {
        const agents = await DocumentAgents.answering(await load(), cancellation.signal);
        try {
          const { document } = await agents.find(asked.kind, asked.name);
          printer.result(document, describe(document));
        } finally {
          agents.close();
        }
      });
    });
}

function registerDelete(program: Command): Command {
  return program
    .command('delete <kind> [name]')
    .description('forget a document, and remove what was made for it: of a Backup its archive')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExample: stillpoint delete backup my-backup --yes --grid /etc/stillpoint/grid.yaml',
    )
    .action((kind: string, name: string | undefined, options: { yes?: boolean }, command: Command) => {
      const asked = oneAskedFor(kind, name);
      return withSession(command, async ({ gridFile: load, cancellation, printer }) => {
        const agents = await DocumentAgents.all(await load(), cancellation.signal);
        try {
          const { document, connection } = await agents.find(asked.kind, asked.name);
          const { kind: found, metadata } = document;
          const shelves = await agents.shelves();
          mustNotBeRead(
            document,
            shelves.flatMap(({ documents }) => documents),
          );
          await confirm(
            `delete ${found} ${metadata.name}${found === 'Backup' ? ' with its archive' : ''} for good`,
            { yes: options.yes ?? false },
          );
          await connection.deleteDocument(found, metadata.name);
          printer.result(
            { kind: found, name: metadata.name, deleted: true },
            `${referenceTo(document)} deleted`,
          );
        } finally {
          agents.close();
        }
      });
    });
}

function registerLogs(program: Command): Command {
  return program
    .command('logs <kind> [name]')
    .description('what was logged while a document was carried out, by its member too')
    .option('-f, --follow', 'until it has ended')
    .addHelpText('after', '\nExample: stillpoint logs backup my-backup --grid /etc/stillpoint/grid.yaml')
    .action((kind: string, name: string | undefined, options: { follow?: boolean }, command: Command) => {
      const asked =
        name === undefined && !kind.includes('/') ? { kind: null, name: kind } : oneAskedFor(kind, name);
      return withSession(command, async ({ gridFile: load, cancellation, printer }) => {
        const { signal } = cancellation;
        const agents = await DocumentAgents.answering(await load(), signal);
        try {
          const { document, connection } = await agents.find(asked.kind, asked.name);
          const follow = options.follow ?? false;
          const isJson = command.optsWithGlobals<GetOptions>().output === 'json';
          let whole = '';
          for await (const text of readLog(connection, document, { follow, signal }))
            if (isJson) whole += text;
            else stdout.write(text);
          if (isJson) printer.result({ kind: document.kind, name: document.metadata.name, log: whole }, '');
        } finally {
          agents.close();
        }
      });
    });
}

interface Asked {
  readonly kind: Kind | null;
  readonly name: string | null;
}

/** `backup my-backup`, `backup/my-backup`, `backups`, or nothing, which is all. */
function askedFor(kind: string | undefined, name: string | undefined): Asked {
  if (kind === undefined) return { kind: null, name: null };
  const [word = '', rest] = kind.split('/');
  const found = kindNamed(word);
  if (found === null) throw noSuchKind(word);
  return { kind: found, name: name ?? rest ?? null };
}

function oneAskedFor(kind: string, name: string | undefined): { readonly kind: Kind; readonly name: string } {
  const asked = askedFor(kind, name);
  if (asked.kind !== null && asked.name !== null) return { kind: asked.kind, name: asked.name };
  throw new StillpointError({
    code: 'usage',
    message: 'resource name may not be empty',
    hint: `write ${kind} NAME; stillpoint get ${kind} lists them`,
  });
}
