/**
 * One version of one view in the live engine: its current read set and what hangs on it. Mutable, and changed only by
 * the tick loop (`fold-tick.ts`), by a new image (`image.ts`), by a seal (`seal.ts`) and by `published`, each between
 * two ticks; everybody else takes the read set of the moment and reads that.
 */

import type { CommitSeq } from '../model/cut.ts'
import { partColumns, partNames } from '../plan/queries.ts'
import { must } from '../std/assert.ts'
import type { Delta, EngineView, EventPosition, SliceInfo, StallInfo } from './engine.ts'
import { soleStage } from './merged-relation.ts'
import type { BatchLayer, Generation, Image, ReadSet } from './read-set.ts'
import type { TableStore } from './table-store.ts'

export interface LiveView {
  readonly spec: EngineView
  readSet: ReadSet
  /** The read set before the last image, kept while somebody asks for deltas that begin before it. */
  previous: ReadSet | undefined
  /** The last repair by a batch, while followers are told of it. */
  repair: Repair | undefined
  /** The batch of the last repair. */
  repaired: number | undefined
  /** When the last image was swapped in, monotonic ms, and how long it took to make. */
  imageMadeAtMs: number
  imageTookMs: number
  /** When a delta was last asked for, monotonic ms; undefined: never. */
  deltaAskedMs: number | undefined
  /** Cuts at which ticks of this engine ended, ascending: only there is a state of the past known. */
  tickCuts: CommitSeq[]
  /** Generations that no published slice holds yet, in order; the last one is open. */
  unsealed: Generation[]
  sealed: CommitSeq
  slices: readonly SliceInfo[]
  /** T of the batch that `slices` begin with; the read set has it once its image is made of them. */
  slicesBatch: CommitSeq | undefined
  stalled: StallInfo | undefined
  /** Monotonic ms before which a stall is not tried again; Infinity: only after a skip. */
  retryAtMs: number
  skipped: EventPosition[]
  /** Skips not yet reported to the server. */
  unreportedSkips: StallInfo[]
}

/** What a batch changed in what was served, beyond what events did. */
export interface Repair {
  readonly batch: number
  /** What there was before, as it stood when the new one was swapped in; kept for a while. */
  readonly before: ReadSet
  /** The new one as it was swapped in; kept as long. */
  readonly after: ReadSet
  /** From the rows of the one to those of the other at the same cut; made when it is first asked for. */
  delta(): Promise<Delta>
  readonly madeAtMs: number
}

/** A view whose slices reach `spec.sealed` and whose tail is empty. */
export function newLiveView(
  spec: EngineView,
  { image, layer }: { readonly image: Image | undefined; readonly layer: BatchLayer | undefined },
  open: Generation,
): LiveView {
  return {
    spec,
    readSet: {
      view: spec.view,
      version: spec.version,
      plan: spec.plan,
      cut: spec.sealed,
      image,
      generations: [open],
      slices: soleStage(spec.plan).kind === 'rows' ? spec.slices : [],
      ...(spec.batch === undefined ? {} : { batch: spec.batch }),
      ...(layer === undefined ? {} : { batchLayer: layer }),
    },
    previous: undefined,
    repair: undefined,
    repaired: undefined,
    imageMadeAtMs: 0,
    imageTookMs: 0,
    deltaAskedMs: undefined,
    tickCuts: [spec.sealed],
    unsealed: [open],
    sealed: spec.sealed,
    slices: spec.slices,
    slicesBatch: spec.batch,
    stalled: undefined,
    retryAtMs: 0,
    skipped: [...spec.skipped],
    unreportedSkips: [],
  }
}

export function viewKey(view: string, version: string): string {
  return `${view}@${version}`
}

/** Whether ticks take it along: it is neither stalled nor paused. */
export function goesOn(view: LiveView): boolean {
  return view.stalled === undefined && view.spec.paused === undefined
}

/** The generation that ticks append to. */
export function openGeneration(view: LiveView): Generation {
  return must(view.readSet.generations.at(-1), 'a live view has an open generation')
}

/** Creates the tables of a new open generation after `from`. */
export async function createGeneration(
  tables: TableStore,
  spec: EngineView,
  from: CommitSeq,
): Promise<Generation> {
  const stage = soleStage(spec.plan)
  const names: Record<string, string> = {}
  for (const part of partNames(stage)) {
    const columns = partColumns(stage, part)
    const system = [
      { name: '_h', type: 'UBIGINT' },
      { name: '_cut', type: 'BIGINT' },
    ]
    names[part] = await tables.create(`${spec.view}_${part}`, [...columns, ...system])
  }
  return { from, to: undefined, tables: names, rows: 0 }
}

/**
 * Freezes the open generation at the view's cut and opens the next. Must run between two ticks. An empty generation
 * is left open: there is nothing to freeze.
 */
export async function freezeGeneration(tables: TableStore, view: LiveView): Promise<void> {
  const open = openGeneration(view)
  const { cut } = view.readSet
  if (open.rows === 0) return
  const next = await createGeneration(tables, view.spec, cut)
  open.to = cut
  view.unsealed.push(next)
  view.readSet = { ...view.readSet, generations: [...view.readSet.generations, next] }
}

/** Partial rows in memory that no slice holds yet. */
export function tailRows(view: LiveView): number {
  return view.unsealed.reduce((rows, generation) => rows + generation.rows, 0)
}

/**
 * The read set of the moment, with everything up to where the slices reach from `image` or, for a row stage, from the
 * slices, and the generations after it.
 */
export function withTail(view: LiveView, image: Image | undefined): ReadSet {
  const { rowsAfter: _, ...rest } = view.readSet
  const generations = [...view.unsealed]
  const straddles = (generations[0]?.from ?? view.sealed) < view.sealed
  return {
    ...rest,
    cut: Math.max(rest.cut, view.sealed),
    image,
    generations,
    slices: soleStage(view.spec.plan).kind === 'rows' ? view.slices : [],
    ...(straddles ? { rowsAfter: view.sealed } : {}),
  }
}

/** The read set as read from a batch of this cut, or from none; with that batch's rows where it has some of its own. */
export function withBatch(
  { batch: _, ...readSet }: ReadSet,
  batch: CommitSeq | undefined,
  layer: BatchLayer | undefined = readSet.batchLayer,
): ReadSet {
  return {
    ...readSet,
    ...(batch === undefined ? {} : { batch }),
    ...(layer === undefined ? {} : { batchLayer: layer }),
  }
}
