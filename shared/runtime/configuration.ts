import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  Lexer,
  LineCounter,
  isAlias,
  isCollection,
  isScalar,
  parseDocument,
  stringify,
  visit,
  type Document,
} from 'yaml';
import type * as z from 'zod';
import { StillpointError } from '../domain/errors.ts';

/** Hundreds of members fit in many times. */
const MOST_BYTES = 1024 * 1024;
const MOST_DEPTH = 50;
/** Columns. */
const MOST_INDENT = 300;

/** A value as one line of such a file: what its reader takes for a variable of the environment is written as it is meant. */
export function yamlLine(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 })
    .trim()
    .replaceAll('${', () => '$${');
}

/**
 * Reads a YAML file into what its schema says. `${NAME}` in a value is the environment variable NAME
 * (`$${` stands for `${`). Every error names the file, the line and the key; unknown keys are errors.
 */
export async function loadYamlFile<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MOST_BYTES) throw new Error(`it is ${size} bytes long`);
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw bad(
      `${path} cannot be read (${code ?? String(error)})`,
      'name the file with --grid (stillpoint) or --config (stillpoint-agent)',
    );
  }
  const lines = new LineCounter();
  const file = basename(path);
  checkDepth(text, file);
  const document = attempt(file, () => parseDocument(text, { lineCounter: lines }));
  const [syntax] = document.errors;
  if (syntax !== undefined) {
    throw bad(
      `${file}:${lines.linePos(syntax.pos[0]).line}: ${syntax.message.split('\n')[0] ?? 'not YAML'}`,
      'mend the YAML there',
    );
  }
  attempt(file, () => expandEnvironment(document, file, lines));
  const value = attempt<unknown>(file, () => document.toJS());
  let parsed = schema.safeParse(value);
  if (!parsed.success && takeTextAsWritten(value, parsed.error.issues, document))
    parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) => inWords(issue, document, lines, file));
  const [first = `${file}: does not fit`, ...others] = problems;
  throw bad(first, others.length === 0 ? 'see the documentation of this file' : `also: ${others.join('; ')}`);
}

/**
 * YAML takes 15 for a number, and 017 for another one than is written. Where text is asked for, what stands in the file
 * is meant: `[server, 15, start]`. Says whether there was any.
 */
function takeTextAsWritten(value: unknown, issues: readonly z.core.$ZodIssue[], document: Document): boolean {
  let changed = false;
  for (const issue of issues) {
    if (issue.code !== 'invalid_type' || issue.expected !== 'string') continue;
    const written = writtenAt(document, issue.path);
    if (written === null) continue;
    let parent = value as Record<PropertyKey, unknown>;
    for (const key of issue.path.slice(0, -1)) parent = parent[key] as Record<PropertyKey, unknown>;
    parent[issue.path.at(-1) ?? ''] = written;
    changed = true;
  }
  return changed;
}

/** The text of a number or of true and false; null where anything else stands. */
function writtenAt(document: Document, path: readonly PropertyKey[]): string | null {
  let node: unknown = document.contents;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    node = isCollection(node) ? node.get(key, true) : null;
  }
  if (isAlias(node)) node = node.resolve(document);
  if (!isScalar(node) || !['number', 'boolean', 'bigint'].includes(typeof node.value)) return null;
  return node.source ?? null;
}

/** The parser takes seconds for brackets in brackets in brackets, and none of our files has more than a few. */
function checkDepth(text: string, file: string): void {
  let depth = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') depth += 1;
    else if (token === ']' || token === '}') depth -= 1;
    if (depth > MOST_DEPTH || (token.length > MOST_INDENT && token.trim() === ''))
      throw bad(`${file}: is nested too deep`, 'see the documentation of this file');
  }
}

/** The parser gives up on some texts by throwing: aliases of aliases without end, or brackets in brackets. */
function attempt<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof StillpointError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw bad(
      `${file}: cannot be taken apart: ${why.split('\n')[0] ?? ''}`,
      'write it without such anchors, aliases or nesting',
    );
  }
}

function expandEnvironment(document: Document, file: string, lines: LineCounter): void {
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string') return;
      node.value = node.value.replace(
        /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g,
        (found: string, name: string | undefined) => {
          if (name === undefined) return '${';
          const value = process.env[name];
          if (value !== undefined) return value;
          const line = lines.linePos(node.range?.[0] ?? 0).line;
          throw bad(
            `${file}:${line}: the environment has no variable ${name}`,
            `set ${name}, or write the value itself instead of ${found}`,
          );
        },
      );
    },
  });
}

function inWords(issue: z.core.$ZodIssue, document: Document, lines: LineCounter, file: string): string[] {
  const where = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const line = lineOf(document, lines, [...issue.path, key]);
      return `${file}:${line}: unknown key '${key}'${where === '' ? '' : ` in ${where}`}`;
    });
  }
  const line = lineOf(document, lines, issue.path);
  return [`${file}:${line}: ${where === '' ? 'the file' : `'${where}'`}: ${lowerFirst(issue.message)}`];
}

/** The line of the key at this path, or of what is nearest above it. */
function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    const items = (parent as { items?: unknown[] } | null)?.items ?? [];
    for (const [index, item] of items.entries()) {
      const pair = item as { key?: unknown; range?: [number, number, number] };
      const range = isScalar(pair.key)
        ? pair.key.value === last
          ? pair.key.range
          : null
        : index === last
          ? pair.range
          : null;
      if (range !== null && range !== undefined) return lines.linePos(range[0]).line;
    }
  }
  return 1;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function bad(message: string, hint: string): StillpointError {
  return new StillpointError({ code: 'bad-configuration', message, hint });
}
