/**
 * Images: everything of a view up to a cut, merged into tables of one row per group, so that reads merge only what
 * came after. A new image is made beside the old one from the old one and the frozen generations, while ticks go on;
 * then the read set is swapped. Row stages have none.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitSeq } from '../model/cut.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { GroupStage } from '../plan/plan.ts'
import { emptyPartQuery, mergedQuery, mergeQuery, partColumns, partKeyColumns } from '../plan/queries.ts'
import { must } from '../std/assert.ts'
import { queryValue, run } from './duckdb.ts'
import type { SliceInfo } from './engine.ts'
import { ALL_GROUPS, hashColumn, mergedRelation } from './merged-relation.ts'
import type { Image, ReadSet } from './read-set.ts'
import type { TableName } from './table-store.ts'

/** Below this many groups a scan is as quick as an index. */
const INDEX_FROM_GROUPS = 2_000

/** The image of a view whose slices reach `cut`. */
export async function imageFromSlices(
  connection: DuckDBConnection,
  name: TableName,
  view: string,
  stage: GroupStage,
  slices: readonly SliceInfo[],
  cut: CommitSeq,
): Promise<Image> {
  const distinct: Record<string, string> = {}
  const parts: Record<string, string> = {}
  for (const part of stage.parts) {
    const merged = mergeQuery(stage, part.name, sliceRows(stage, part.name, slices))
    if (part.kind === 'main') {
      parts[part.name] = merged
      continue
    }
    const table = name(`${view}_${part.name}_image`)
    await run(connection, `CREATE TABLE ${table} AS ${withHash(stage, merged)}`)
    distinct[part.name] = table
    parts[part.name] = `SELECT ${columnNames(stage, part.name)} FROM ${table}`
  }
  return finishImage(connection, name, view, stage, cut, mergedQuery(stage, parts), distinct)
}

/** The image at a read set's cut; every generation of the read set must be frozen. */
export async function nextImage(
  connection: DuckDBConnection,
  name: TableName,
  stage: GroupStage,
  readSet: ReadSet,
): Promise<Image> {
  const distinct: Record<string, string> = {}
  for (const part of stage.parts) {
    if (part.kind === 'main') continue
    const table = name(`${readSet.view}_${part.name}_image`)
    await run(
      connection,
      `CREATE TABLE ${table} AS ${withHash(stage, nextDistinct(stage, part.name, readSet))}`,
    )
    distinct[part.name] = table
  }
  return finishImage(
    connection,
    name,
    readSet.view,
    stage,
    readSet.cut,
    mergedRelation(readSet, ALL_GROUPS),
    distinct,
  )
}

/** Values that no tick has brought again stay as they are; only those that came again are merged. */
function nextDistinct(stage: GroupStage, part: string, readSet: ReadSet): string {
  const columns = columnNames(stage, part)
  const where = readSet.rowsAfter === undefined ? '' : ` WHERE _cut > ${readSet.rowsAfter}`
  const tail = readSet.generations
    .filter((generation) => generation.rows > 0)
    .map(
      (generation) =>
        `SELECT ${columns} FROM ${must(generation.tables[part], `a generation has part ${part}`)}${where}`,
    )
  const old =
    readSet.image === undefined ? undefined : must(readSet.image.distinct[part], `an image has part ${part}`)
  if (tail.length === 0)
    return old === undefined ? emptyPartQuery(stage, part) : `SELECT ${columns} FROM ${old}`
  const merged = mergeQuery(stage, part, tail.join(' UNION ALL '))
  if (old === undefined) return merged
  const same = partKeyColumns(stage, part)
    .map(({ name }) => `o.${quoteIdentifier(name)} IS NOT DISTINCT FROM t.${quoteIdentifier(name)}`)
    .join(' AND ')
  return `WITH t AS MATERIALIZED (${merged}),
    again AS (SELECT o.* FROM ${old} AS o SEMI JOIN t ON ${same})
    SELECT ${columns} FROM ${old} AS o ANTI JOIN t ON ${same}
    UNION ALL
    ${mergeQuery(stage, part, `SELECT ${columns} FROM again UNION ALL SELECT ${columns} FROM t`)}`
}

async function finishImage(
  connection: DuckDBConnection,
  name: TableName,
  view: string,
  stage: GroupStage,
  cut: CommitSeq,
  mergedSql: string,
  distinct: Readonly<Record<string, string>>,
): Promise<Image> {
  const main = name(`${view}_image`)
  await run(connection, `CREATE TABLE ${main} AS ${withHash(stage, mergedSql)}`)
  const groups = Number(await queryValue(connection, `SELECT count(*) FROM ${main}`))
  if (groups >= INDEX_FROM_GROUPS && stage.keys.length > 0) {
    await run(connection, `CREATE INDEX ${main}_key ON ${main}(_h)`)
  }
  return { cut, main, distinct, groups }
}

function withHash(stage: GroupStage, sql: string): string {
  return `SELECT *, ${hashColumn(stage)} AS _h FROM (${sql})`
}

function columnNames(stage: GroupStage, part: string): string {
  return partColumns(stage, part)
    .map((column) => quoteIdentifier(column.name))
    .join(', ')
}

function sliceRows(stage: GroupStage, part: string, slices: readonly SliceInfo[]): string {
  const files = slices.filter((slice) => slice.part === part).map((slice) => quoteLiteral(slice.path))
  if (files.length === 0) return emptyPartQuery(stage, part)
  const columns = columnNames(stage, part)
  return `SELECT ${columns} FROM read_parquet([${files.join(', ')}])`
}
