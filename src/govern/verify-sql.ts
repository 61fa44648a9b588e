/**
 * The SQL that compares merged rows: what is served against what the log gives. Pure text. Both sides are SELECTs of
 * the stage's merged columns; the answer has a row for each group that differs, its keys as text, how many events each
 * side has of it, and the sum modulo 2 of the hashes of the events that only one of them has.
 */

import type { CommitRange } from '../model/cut.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { GroupStage, RowStage, StagePlan } from '../plan/plan.ts'
import {
  emptyPartQuery,
  mergedColumns,
  mergedQuery,
  mergeQuery,
  partColumns,
  partNames,
} from '../plan/queries.ts'
import { keysOf } from './verify-plans.ts'

/** A group that differs. */
export interface GroupDifference {
  readonly keys: Readonly<Record<string, string | null>>
  /** Events that each side has of the group; null: it does not have the group, or the plan does not count. */
  readonly served: number | null
  readonly right: number | null
  /** In decimal; '0' where both folded the same events. */
  readonly positions: string
}

export function differenceSql(stage: StagePlan, servedSql: string, rightSql: string): string {
  return stage.kind === 'rows'
    ? rowDifferences(stage, servedSql, rightSql)
    : groupDifferences(stage, servedSql, rightSql)
}

function groupDifferences(stage: GroupStage, servedSql: string, rightSql: string): string {
  const keys = stage.keys.map(({ name }) => quoteIdentifier(name))
  const values = mergedColumns(stage).filter(({ name }) => !stage.keys.some((key) => key.name === name))
  const differs = values.map(({ name, type }) => valueDiffers(stage, name, type))
  const there = (sql: string) => `(SELECT *, true AS "$there" FROM (${sql}))`
  const join =
    keys.length === 0
      ? `CROSS JOIN ${there(rightSql)} AS r`
      : `FULL JOIN ${there(rightSql)} AS r ON ${keys.map((key) => `s.${key} IS NOT DISTINCT FROM r.${key}`).join(' AND ')}`
  const keyTexts = keys.map(
    (key) => `CAST(CASE WHEN r."$there" THEN r.${key} ELSE s.${key} END AS VARCHAR) AS ${key}`,
  )
  const { tally } = stage.parts[0]
  const column = (side: string, name: string | undefined) =>
    name === undefined ? 'NULL' : `${side}.${quoteIdentifier(name)}`
  const hash = (side: string) => `coalesce(${column(side, tally?.positions)}, 0)`
  return (
    `SELECT ${[
      ...keyTexts,
      `CAST(${column('s', tally?.count)} AS BIGINT) AS "$served"`,
      `CAST(${column('r', tally?.count)} AS BIGINT) AS "$right"`,
      `CAST(xor(CAST(${hash('s')} AS BIGINT), CAST(${hash('r')} AS BIGINT)) AS VARCHAR) AS "$positions"`,
    ].join(', ')} FROM ${there(servedSql)} AS s ${join} ` +
    `WHERE s."$there" IS NULL OR r."$there" IS NULL${differs.map((text) => ` OR ${text}`).join('')}`
  )
}

/** Sums of DOUBLE depend on the order of addition: what explain states as their error is no difference. */
const TOLERANCE = '1e-9'

function valueDiffers(stage: GroupStage, name: string, type: string): string {
  const [served, right] = [`s.${quoteIdentifier(name)}`, `r.${quoteIdentifier(name)}`]
  const distinct = `${served} IS DISTINCT FROM ${right}`
  const column = stage.parts[0].aggregates.find((aggregate) => aggregate.name === name)
  const isSum = column === undefined || column.merge === 'sum'
  if (!isSum || (type !== 'DOUBLE' && type !== 'FLOAT')) return `(${distinct})`
  const near = `abs(${served} - ${right}) <= ${TOLERANCE} * greatest(abs(${served}), abs(${right}))`
  return `(${distinct} AND NOT coalesce(${near}, false))`
}

/** Rows are a bag: how often each is there, on either side. A position that both have is another row of that event. */
function rowDifferences(stage: RowStage, servedSql: string, rightSql: string): string {
  const columns = stage.columns.map(({ name }) => quoteIdentifier(name))
  const keys = keysOf(stage).map(({ name }) => quoteIdentifier(name))
  const list = columns.join(', ')
  const bag =
    `SELECT ${list}, sum("$n") AS "$n" FROM (SELECT ${list}, 1 AS "$n" FROM (${servedSql}) ` +
    `UNION ALL SELECT ${list}, -1 AS "$n" FROM (${rightSql})) GROUP BY ${list} HAVING sum("$n") <> 0`
  const texts = keys.map((key) => `CAST(${key} AS VARCHAR) AS ${key}`)
  return (
    `SELECT ${[...texts, ''].join(', ')}CAST(sum(greatest("$n", 0)) AS BIGINT) AS "$served", ` +
    `CAST(sum(greatest(-"$n", 0)) AS BIGINT) AS "$right", '0' AS "$positions" ` +
    `FROM (${bag})${keys.length === 0 ? '' : ` GROUP BY ${keys.join(', ')}`}`
  )
}

/** The merged rows of slice files, read as they are. */
export function sliceRowsSql(
  stage: StagePlan,
  files: readonly { readonly part: string; readonly path: string }[],
  condition: string | undefined,
): string {
  const parts: Record<string, string> = {}
  for (const part of partNames(stage)) {
    const own = files.filter((file) => file.part === part).map(({ path }) => quoteLiteral(path))
    const columns = partColumns(stage, part).map(
      ({ name, type }) => `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`,
    )
    const rows =
      own.length === 0
        ? emptyPartQuery(stage, part)
        : `SELECT ${columns.join(', ')} FROM read_parquet([${own.join(', ')}])`
    parts[part] = mergeQuery(stage, part, rows)
  }
  const where = condition === undefined ? '' : ` WHERE ${condition}`
  return `SELECT * FROM (${mergedQuery(stage, parts)})${where}`
}

/** Which events explain a difference; `events` names a state of positions. Each answers `[[commit, index], …]`. */
export function explainingEventsSql(events: string, positions: string, count: number): readonly string[] {
  const at = (side: string) => `{'commit': ${side}.c0, 'index': ${side}.c1}`
  const hash = `CAST(${quoteLiteral(positions)} AS BIGINT)`
  const one = `SELECT [${at('e')}] AS events FROM ${events} AS e WHERE e.c2 = ${hash}`
  const two =
    `SELECT [${at('a')}, ${at('b')}] AS events FROM ${events} AS a JOIN ${events} AS b ` +
    `ON a.c2 = xor(b.c2, ${hash}) WHERE a.c0 < b.c0 OR (a.c0 = b.c0 AND a.c1 < b.c1)`
  const commit =
    `SELECT list(${at('e')} ORDER BY c1) AS events FROM ${events} AS e GROUP BY c0 ` +
    `HAVING count(*) = ${count} AND bit_xor(c2) = ${hash}`
  const all =
    `SELECT list(${at('e')} ORDER BY c0, c1) AS events FROM ${events} AS e ` +
    `HAVING count(*) = ${count} AND bit_xor(c2) = ${hash}`
  if (count === 1) return [one]
  return count === 2 || count === 0 ? [two] : [commit, all]
}

/** How many events each commit has, and the sum modulo 2 of their positions' hashes. */
export function commitTallySql(events: string): string {
  return `SELECT c0 AS "commit", count(*) AS n, CAST(bit_xor(c2) AS VARCHAR) AS positions FROM ${events} GROUP BY c0 ORDER BY c0`
}

export interface CommitTally {
  readonly commit: number
  readonly n: number
  readonly positions: string
}

/** The first tick that did not fold what the log has in its range. */
export function faultyTick(
  from: number,
  ticks: readonly { readonly cut: number; readonly events: number; readonly positions: string }[],
  commits: readonly CommitTally[],
  upTo: number,
): CommitRange | undefined {
  let before = from
  let next = 0
  const ends = [...ticks, ...(ticks.at(-1)?.cut === upTo ? [] : [{ cut: upTo, events: 0, positions: '0' }])]
  for (const tick of ends) {
    let events = 0
    let positions = 0n
    for (let at = commits[next]; at !== undefined && at.commit <= tick.cut; at = commits[++next]) {
      if (at.commit <= before) continue
      events += at.n
      positions ^= BigInt(at.positions)
    }
    if (events !== tick.events || positions !== BigInt(tick.positions)) return { from: before, to: tick.cut }
    before = tick.cut
  }
  return undefined
}
