import type { Traits } from '../shared/domain/grid.ts';
import type { GridManifestMember } from '../shared/domain/manifest.ts';
import type { ImageReference } from '../shared/domain/wire.ts';

/** One member of the target grid and where its data comes from. */
export interface PlannedMember {
  readonly name: string;
  readonly role: GridManifestMember['role'];
  readonly copyset: string | null;
  readonly engine: GridManifestMember['engine'];
  readonly traits: Traits;
  readonly from: { readonly member: string; readonly host: string; readonly address: string };
  readonly to: {
    readonly member: string;
    readonly host: string;
    readonly agent: string;
    readonly address: string;
    readonly dataDirectory: string;
  };
  /** Its own address in the checkpoint; null where it was absent. */
  readonly wasAt: string | null;
  /** Whose artifacts build it: its own, or those of the primary of its copyset or kind. */
  readonly source: GridManifestMember;
  /** Set where the data is an operator's own image, which is brought to the mark of `source`. */
  readonly image?: { readonly name: string; readonly reference: ImageReference };
  /** Its own artifacts besides, where it stood as an observer in the checkpoint. */
  readonly own: GridManifestMember | null;
  /** The address of the primary that it follows; null for one that follows nobody. */
  readonly follow: string | null;
}
