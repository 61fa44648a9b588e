/**
 * Sealing: writes frozen generations of a version as staged slices, one file per part, merged and sorted by key. The
 * server publishes them; until it has, reads go on from the generations.
 */

import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitSeq } from '../model/cut.ts'
import { quoteIdentifier } from '../model/schema.ts'
import { mergeQuery, partColumns, partKeyColumns, partNames } from '../plan/queries.ts'
import { must } from '../std/assert.ts'
import type { SealedGeneration, SliceInfo } from './engine.ts'
import { lateMark } from './late-mark.ts'
import type { LiveView } from './live-view.ts'
import { soleStage } from './merged-relation.ts'
import type { Generation } from './read-set.ts'
import { sliceTally } from './slice-tally.ts'
import { copyToParquet } from './staging.ts'

/** Stages the slices of the generations that are frozen and in no slice yet; undefined when there is nothing. */
export async function sealView(
  connection: DuckDBConnection,
  view: LiveView,
  stagingDir: string,
): Promise<SealedGeneration | undefined> {
  const frozen = view.unsealed.filter(({ to }) => to !== undefined && to > view.sealed)
  const last = frozen.at(-1)
  if (last?.to === undefined) return undefined
  const range = { from: view.sealed, to: last.to }
  const stage = soleStage(view.spec.plan)
  const slices: SliceInfo[] = []
  for (const part of partNames(stage)) {
    const path = join(
      stagingDir,
      `${view.spec.view}-${view.spec.version.slice(0, 12)}-${part}-${range.from}-${range.to}.parquet`,
    )
    const sort = partKeyColumns(stage, part).map(({ name }) => quoteIdentifier(name))
    const merged = mergeQuery(
      stage,
      part,
      frozen.map((generation) => partialRows(stage, part, generation, view.sealed)).join(' UNION ALL '),
    )
    const sql = sort.length === 0 ? merged : `SELECT * FROM (${merged}) ORDER BY ${sort.join(', ')}`
    const file = await copyToParquet(connection, sql, path)
    slices.push({
      view: view.spec.view,
      version: view.spec.version,
      stage: stage.name,
      part,
      path,
      ...range,
      ...file,
      ...(await sliceTally(connection, stage, part, path)),
      ...lateMark(view.spec, range),
    })
  }
  return { view: view.spec.view, version: view.spec.version, range, slices }
}

/** A batch may have sealed a generation up to its middle. */
function partialRows(
  stage: Parameters<typeof partColumns>[0],
  part: string,
  generation: Generation,
  after: CommitSeq,
): string {
  const columns = partColumns(stage, part)
    .map(({ name }) => quoteIdentifier(name))
    .join(', ')
  const table = must(generation.tables[part], `a generation has a table for part ${part}`)
  return `SELECT ${columns} FROM ${table}${generation.from < after ? ` WHERE _cut > ${after}` : ''}`
}
