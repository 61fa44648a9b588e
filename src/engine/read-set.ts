/**
 * What a read of one view stands on: an image, the generations after it, slices and a cut. Immutable: publishing
 * makes a new read set and swaps it in, so a read that holds an older one never sees anything change. Tables and
 * files go only when no read set that is in use names them.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { ViewPlan } from '../plan/plan.ts'
import type { SliceInfo } from './engine.ts'

/**
 * Partial rows of the ticks in (from, to], one table per part, each row with the cut of its tick in `_cut`. `to` is
 * undefined while ticks still append; a seal or a new image freezes it and opens the next between two ticks.
 */
export interface Generation {
  readonly from: CommitSeq
  to: CommitSeq | undefined
  /** Part name → table. */
  readonly tables: Readonly<Record<string, string>>
  /** Partial rows appended so far, over all parts. */
  rows: number
}

/**
 * Everything up to a cut, merged: one row per group with the stage's merged columns, and for each exact distinct the
 * distinct values with their multiplicity, because later values have to be told from earlier ones.
 */
export interface Image {
  readonly cut: CommitSeq
  readonly main: string
  /** Distinct part → table. */
  readonly distinct: Readonly<Record<string, string>>
  readonly groups: number
}

/** The rows of the last batch of a view with two definitions. */
export interface BatchLayer {
  readonly cut: CommitSeq
  readonly table: string
  readonly rows: number
  readonly indexed: boolean
}

export interface ReadSet {
  readonly view: string
  readonly version: VersionId
  readonly plan: ViewPlan
  /** The answer's cut: rows of the open generation with a later `_cut` do not belong to it. */
  readonly cut: CommitSeq
  /** Group stages only; undefined while nothing was ever merged. */
  readonly image: Image | undefined
  /** In order, without a gap, from the image's (row stage: the slices') cut on. */
  readonly generations: readonly Generation[]
  /** Row stages only: they are read from the files. */
  readonly slices: readonly SliceInfo[]
  /**
   * Leave out rows of generations that came up to this cut: what the image or the slices hold of a generation in whose
   * middle they end, and what a delta of a row stage does not show.
   */
  readonly rowsAfter?: CommitSeq
  /** Cut T of the batch that the slices up to it belong to, where the view runs as lambda. */
  readonly batch?: CommitSeq
  /** Views with two definitions only: then everything else here is the speed layer, which begins at this one's cut. */
  readonly batchLayer?: BatchLayer
}

/** Every table that a read set reads. */
export function tablesOf(readSet: ReadSet): string[] {
  const image =
    readSet.image === undefined ? [] : [readSet.image.main, ...Object.values(readSet.image.distinct)]
  const layer = readSet.batchLayer === undefined ? [] : [readSet.batchLayer.table]
  return [
    ...image,
    ...layer,
    ...readSet.generations.flatMap((generation) => Object.values(generation.tables)),
  ]
}
