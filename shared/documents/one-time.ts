import { EXIT, StillpointError } from '../domain/errors.ts';
import type { AppliedDocument, KeptDocument } from './document.ts';

/**
 * What applying a document does where one of its kind and name is kept: nothing, whatever state that is in, for it stands
 * for one event. Returns where the same was applied again; throws `document-immutable` where another is meant.
 */
export function mustBeTheSame(kept: KeptDocument, applied: AppliedDocument): void {
  const { kind, metadata } = applied;
  const { name } = metadata;
  // Both were read by one schema, which puts their fields in one order.
  if (JSON.stringify(kept.spec) !== JSON.stringify(applied.spec))
    throw immutable(
      name,
      kind,
      `spec: Forbidden: The ${kind} spec is immutable and cannot be updated after initial ${kind} creation`,
    );
  if (kept.metadata.namespace === metadata.namespace) return;
  throw immutable(
    name,
    kind,
    `metadata.namespace: Forbidden: a ${kind} of this name is kept ${
      kept.metadata.namespace === undefined
        ? 'without a namespace'
        : `in namespace ${kept.metadata.namespace}`
    }, and names are unique in a grid`,
  );
}

function immutable(name: string, kind: string, mistake: string): StillpointError {
  return new StillpointError(
    {
      code: 'document-immutable',
      message: `the ${kind} "${name}" is invalid: ${mistake}`,
      hint: 'it stands for one event: give what you want now a new name in metadata.name, and apply that',
    },
    EXIT.refused,
  );
}
