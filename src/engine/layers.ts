/**
 * The two layers of a view, each by itself: `batch.VIEW` is what its batch holds, `speed.VIEW` what came after. Both
 * are `finish(merge(…))` of the same plan over their own part of the slices and of the tail, unless the view has two
 * definitions: then the batch layer is the rows that the batch's own SQL gave. No state.
 *
 * A layer is taken in one step with the read set: slices, tail and T change together between two ticks.
 */

import type { CommitSeq } from '../model/cut.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import {
  emptyPartQuery,
  finishQuery,
  mergedQuery,
  mergeQuery,
  partColumns,
  partNames,
} from '../plan/queries.ts'
import { must } from '../std/assert.ts'
import { batchSliceRows } from './batch-layer.ts'
import type { LayerName, SliceInfo } from './engine.ts'
import type { LiveView } from './live-view.ts'
import { soleStage } from './merged-relation.ts'
import type { Generation, ReadSet } from './read-set.ts'

export interface Layers {
  readonly readSet: ReadSet
  /** T; undefined: there is no batch layer, and the speed layer has everything. */
  readonly batch: CommitSeq | undefined
  readonly slices: readonly SliceInfo[]
  /** Cut that the slices reach. */
  readonly sealed: CommitSeq
  /** What no slice holds yet. */
  readonly tail: readonly Generation[]
}

/** As they are at this moment. */
export function layersOf(view: LiveView): Layers {
  const { readSet, slicesBatch: batch, slices, sealed } = view
  return { readSet, batch, slices, sealed, tail: [...view.unsealed] }
}

/** What has to be held while a layer is read. */
export function layerTables({ readSet, tail }: Layers): ReadSet {
  return { ...readSet, generations: tail }
}

/** SELECT of a layer's finished rows. */
export function layerQuery(layers: Layers, layer: LayerName): string {
  const { plan } = layers.readSet
  if (layer === 'batch' && plan.batch !== undefined) return definedBatch(layers)
  const stage = soleStage(plan)
  const parts: Record<string, string> = {}
  for (const part of partNames(stage)) {
    const columns = partColumns(stage, part).map(({ name, type }) => ({ name: quoteIdentifier(name), type }))
    const sources = [
      ...sliceSources(layers, layer, part, columns),
      ...tailSources(layers, layer, part, columns),
    ]
    const rows = sources.length === 0 ? emptyPartQuery(stage, part) : sources.join(' UNION ALL ')
    parts[part] = mergeQuery(stage, part, rows)
  }
  return finishQuery(plan, mergedQuery(stage, parts))
}

/** What the second definition gave. */
function definedBatch({ readSet: { plan }, slices }: Layers): string {
  const slice = slices.find(({ part }) => part === BATCH_PART)
  if (slice !== undefined) return batchSliceRows(plan, slice)
  const none = plan.columns.map(({ name, type }) => `CAST(NULL AS ${type}) AS ${quoteIdentifier(name)}`)
  return `SELECT ${none.join(', ')} WHERE false`
}

type Columns = readonly { readonly name: string; readonly type: string }[]

function sliceSources(
  { slices, batch = 0 }: Layers,
  layer: LayerName,
  part: string,
  columns: Columns,
): readonly string[] {
  const own = slices.filter(
    (slice) => slice.part === part && (layer === 'batch' ? slice.to <= batch : slice.to > batch),
  )
  if (own.length === 0) return []
  const list = columns.map(({ name, type }) => `CAST(${name} AS ${type}) AS ${name}`).join(', ')
  return [`SELECT ${list} FROM read_parquet([${own.map(({ path }) => quoteLiteral(path)).join(', ')}])`]
}

function tailSources(
  { readSet, sealed, tail }: Layers,
  layer: LayerName,
  part: string,
  columns: Columns,
): readonly string[] {
  if (layer === 'batch') return []
  const list = columns.map(({ name }) => name).join(', ')
  return tail
    .filter(({ rows }) => rows > 0)
    .map((generation) => {
      const table = must(generation.tables[part], `a generation has a table for part ${part}`)
      return `SELECT ${list} FROM ${table} WHERE _cut > ${sealed} AND _cut <= ${readSet.cut}`
    })
}
