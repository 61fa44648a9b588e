/** What the HTTP surface asks of the running system about divergence. Pure types. */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'

/** A batch held against what was served at its cut. */
export interface DivergenceInfo {
  readonly batch: number
  readonly view: string
  readonly version: VersionId
  /** T, at which both sides stand. */
  readonly cut: CommitSeq
  readonly at: string
  /** Rows that the batch has, and those that differ by kind and by cause. */
  readonly rows: number
  readonly changed: number
  readonly added: number
  readonly removed: number
  readonly causes: Readonly<Record<string, number>>
  /** Column → the largest difference between numbers, among the rows of the sample. */
  readonly largest: Readonly<Record<string, number>>
  readonly tookMs: number
  /** The first rows that differ, damage first. */
  readonly sample: readonly {
    readonly what: 'changed' | 'added' | 'removed'
    /** `damage`, `late`, `approximate` or `definition`. */
    readonly cause: string
    readonly key: JsonValue
    /** As it was served, and as the batch has it; null: there is none. */
    readonly served: JsonValue
    readonly computed: JsonValue
  }[]
}

/** Compared batches of a view, newest first. Throws VIEW_UNKNOWN. */
export type CoreDivergence = (view: string, options: { readonly limit: number }) => readonly DivergenceInfo[]
