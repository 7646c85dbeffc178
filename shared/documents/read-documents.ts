import { Lexer, parseAllDocuments } from 'yaml';
import type * as z from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { API_VERSION, asApplied, documentSchema, KINDS, type AppliedDocument } from './document.ts';

/** A file of documents, as text. */
const MOST_CHARACTERS = 1024 * 1024;
/** One of them, as JSON: an agent keeps it, and sends it about. */
const MOST_DOCUMENT_CHARACTERS = 64 * 1024;
const MOST_DOCUMENTS = 100;
/** Brackets in brackets: the parser takes seconds for more than any document has. */
const MOST_DEPTH = 50;

export interface Read {
  readonly document: AppliedDocument;
  /** What it says that is taken otherwise, or has no effect. */
  readonly warnings: readonly string[];
}

/**
 * The documents of a file: YAML or JSON, one or many, also as a List. All of them, or none: throws `document-unreadable`,
 * `document-kind` or `document-invalid` with every mistake of the first that has one, each with its path in the document.
 */
export function readDocuments(text: string, file: string): Read[] {
  const values = parse(text, file).flatMap(itemsOf);
  if (values.length === 0) throw unreadable(file, 'no documents are in it', 'write one: docs/documents.md');
  if (values.length > MOST_DOCUMENTS)
    throw unreadable(file, `more than ${MOST_DOCUMENTS} documents are in it`, 'split it');
  return values.map((value) => readDocument(value, file));
}

function parse(text: string, file: string): unknown[] {
  const remedy = 'mend the YAML there';
  if (text.length > MOST_CHARACTERS)
    throw unreadable(file, `it is ${text.length} characters long`, 'split it');
  let depth = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') depth += 1;
    else if (token === ']' || token === '}') depth -= 1;
    if (depth > MOST_DEPTH) throw unreadable(file, 'it is nested too deep', remedy);
  }
  try {
    const parsed = parseAllDocuments(text);
    return [...parsed].flatMap((one) => {
      const [wrong] = one.errors;
      if (wrong !== undefined) throw unreadable(file, wrong.message.split('\n')[0] ?? '', remedy);
      const value: unknown = one.toJS();
      // What stands between two lines of dashes, and is nothing or comments alone.
      return value === null || value === undefined ? [] : [value];
    });
  } catch (error) {
    if (error instanceof StillpointError) throw error;
    throw unreadable(
      file,
      error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error),
      remedy,
    );
  }
}

function itemsOf(value: unknown): unknown[] {
  const { kind, items } = (value ?? {}) as { kind?: unknown; items?: unknown };
  return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items) ? items : [value];
}

/** Throws `document-kind` or `document-invalid`. */
export function readDocument(value: unknown, file: string): Read {
  const { apiVersion, kind, metadata } = (value ?? {}) as Record<string, unknown>;
  if (apiVersion !== API_VERSION || !KINDS.some((one) => one === kind))
    throw new StillpointError({
      code: 'document-kind',
      message: `${file}: no matches for kind ${quoted(kind)} in version ${quoted(apiVersion)}`,
      hint: `documents here have apiVersion: ${API_VERSION}, and kind: ${KINDS.join(' or ')}`,
    });
  const name = quoted((metadata as { name?: unknown } | undefined)?.name);
  const read = documentSchema.safeParse(value);
  if (!read.success) throw invalid(`${kind as string} ${name}`, mistakesOf(read.error.issues, value));
  const { applied, warnings } = asApplied(read.data);
  if (JSON.stringify(applied).length > MOST_DOCUMENT_CHARACTERS)
    throw invalid(`${kind as string} ${name}`, [
      `metadata: Too long: must have at most ${MOST_DOCUMENT_CHARACTERS} characters, with all of the document`,
    ]);
  return { document: applied, warnings };
}

/** A mistake in a document, in the words of kubectl: the path in it, what kind of mistake, and the rule. */
function invalid(what: string, mistakes: readonly string[]): StillpointError {
  return new StillpointError(
    {
      code: 'document-invalid',
      message: `the ${what} is invalid: ${mistakes.join(', ')}`,
      hint: 'mend it there, and apply it again: docs/documents.md has every field',
    },
    EXIT.usage,
  );
}

function mistakesOf(issues: readonly z.core.$ZodIssue[], value: unknown): string[] {
  return issues.flatMap((issue) => {
    const path = pathOf(issue.path);
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => `unknown field "${path === '' ? key : `${path}.${key}`}"`);
    const found = valueAt(value, issue.path);
    if (found === undefined) return `${path}: Required value`;
    if (issue.code === 'invalid_type')
      return `${path}: Invalid value: "${typeOf(found)}": ${path} in body must be of type ${issue.expected}: "${typeOf(found)}"`;
    const rule = issue.message;
    if (found === '') return `${path}: Required value: ${rule}`;
    return `${path}: Invalid value: ${JSON.stringify(found)}: ${rule}`;
  });
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((so, key) => {
    if (typeof key === 'number') return `${so}[${key}]`;
    return so === '' ? String(key) : `${so}.${String(key)}`;
  }, '');
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function quoted(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : '""';
}

function unreadable(file: string, why: string, hint: string): StillpointError {
  return new StillpointError({
    code: 'document-unreadable',
    message: `${file} cannot be read: ${why}`,
    hint,
  });
}
