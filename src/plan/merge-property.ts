/**
 * A generated check of merge rules: whether merging is associative, (a ⊕ b) ⊕ c = a ⊕ (b ⊕ c), over random rows of the
 * view's column types. Pure but for the syntax seam; the same rules are always tried with the same rows.
 *
 * Why it matters: the speed layer's rows are merged onto the batch layer's, left to right in the order of the log, and
 * the boundary between the two moves with each batch. With an associative merge it is all one where it stands. That
 * left and right may be swapped is not asked: the latest value is a good rule.
 */

import { createHash } from 'node:crypto'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { mergeSql } from './merge-rules.ts'
import type { Column, MergeRule } from './plan.ts'
import type { SqlSyntax } from './sql-syntax.ts'
import { isFloat } from './storage-types.ts'

/** Rows of three that are tried; most rules that are not associative fail on the first few. */
const TRIPLES = 300
/** Doubles are computed, not counted: so much of the larger of both may differ. */
const TOLERANCE = 1e-6

export interface Counterexample {
  readonly column: string
  /** Values of the three rows in the columns that the rule reads, as text. */
  readonly rows: readonly (readonly [name: string, value: string | null])[]
  readonly left: string | null
  readonly right: string | null
}

/**
 * The first three rows on which merging a column by its rule is not associative; undefined when none was found. NULL is
 * tried in that column alone: in others, such as counts, it may be no value that there ever is. Throws when the rule
 * fails on every row.
 */
export async function counterexample(
  columns: readonly Column[],
  key: readonly string[],
  merge: readonly MergeRule[],
  rule: MergeRule,
  syntax: SqlSyntax,
): Promise<Counterexample | undefined> {
  const random = randomOf(JSON.stringify([columns, key, merge, rule]))
  const triples = Array.from({ length: TRIPLES }, () => tripleOf(columns, key, rule.column, random))
  const { found, error } = await tryTriples({ columns, merge, rule, syntax }, triples)
  if (error !== undefined) throw error
  return found
}

interface Attempt {
  readonly columns: readonly Column[]
  readonly merge: readonly MergeRule[]
  readonly rule: MergeRule
  readonly syntax: SqlSyntax
}

interface Tried {
  readonly found?: Counterexample
  readonly error?: unknown
}

/** Values that a rule overflows on prove nothing: they are left out, one by one. */
async function tryTriples(attempt: Attempt, triples: readonly Triple[]): Promise<Tried> {
  try {
    return await compare(attempt, triples)
  } catch (error) {
    if (triples.length === 1) return { error }
    const half = triples.length >> 1
    const first = await tryTriples(attempt, triples.slice(0, half))
    if (first.found !== undefined) return first
    const second = await tryTriples(attempt, triples.slice(half))
    return first.error === undefined && second.error !== undefined ? {} : second
  }
}

async function compare(
  { columns, merge, rule, syntax }: Attempt,
  triples: readonly Triple[],
): Promise<Tried> {
  const header = ['"$n"', ...columns.map(({ name }) => quoteIdentifier(name))].join(', ')
  const rowsOf = (side: 0 | 1 | 2) => {
    const rows = triples.map((triple, n) => `(${[n, ...triple[side]].join(', ')})`)
    return `SELECT * FROM (VALUES ${rows.join(', ')}) AS v(${header})`
  }
  const merged = (left: string, right: string) => {
    const list = columns.map(({ name, type }) => {
      const own = merge.find(({ column }) => column === name)
      const as = quoteIdentifier(name)
      return own === undefined ? `speed.${as}` : `CAST(${mergeSql(own)} AS ${type}) AS ${as}`
    })
    return `SELECT batch."$n", ${list.join(', ')} FROM ${left} AS batch JOIN ${right} AS speed ON batch."$n" = speed."$n"`
  }
  const own = quoteIdentifier(rule.column)
  const type = columns.find(({ name }) => name === rule.column)?.type ?? ''
  const read = merge.filter((one) => one === rule || (rule.kind === 'sql' && mentions(rule.sql, one.column)))
  const names = read.flatMap(({ column }) =>
    ['a', 'b', 'c'].map((side) => `${side}.${quoteIdentifier(column)}`),
  )
  const values = [`l.${own}`, `r.${own}`, ...names].map((value, at) => `${value} AS v${at}`)
  const [row] = await syntax.rows(
    `WITH a AS MATERIALIZED (${rowsOf(0)}), b AS MATERIALIZED (${rowsOf(1)}), c AS MATERIALIZED (${rowsOf(2)}),
      ab AS MATERIALIZED (${merged('a', 'b')}), bc AS MATERIALIZED (${merged('b', 'c')}),
      l AS MATERIALIZED (${merged('ab', 'c')}), r AS MATERIALIZED (${merged('a', 'bc')})
    SELECT ${values.join(', ')} FROM l JOIN r ON l."$n" = r."$n"
      JOIN a ON a."$n" = l."$n" JOIN b ON b."$n" = l."$n" JOIN c ON c."$n" = l."$n"
      WHERE ${differ(`l.${own}`, `r.${own}`, type)} ORDER BY l."$n" LIMIT 1`,
  )
  if (row === undefined) return {}
  const [left = null, right = null, ...texts] = row
  const rows = read.flatMap(({ column }, at) =>
    ['a', 'b', 'c'].map((side, index) => [`${side}.${column}`, texts[at * 3 + index] ?? null] as const),
  )
  return { found: { column: rule.column, rows, left, right } }
}

function mentions(sql: string, column: string): boolean {
  return sql.toLowerCase().includes(column.toLowerCase())
}

/** What is not finite, as a quotient by 0, proves nothing: a mean that is weighted by counts is a good rule. */
function differ(left: string, right: string, type: string): string {
  if (!isFloat(type)) return `${left} IS DISTINCT FROM ${right}`
  const far = `abs(${left} - ${right}) > ${TOLERANCE} * greatest(1, abs(${left}), abs(${right}))`
  const finite = `coalesce(isfinite(${left}), true) AND coalesce(isfinite(${right}), true)`
  return `(${left} IS DISTINCT FROM ${right} AND ${finite} AND coalesce(${far}, true))`
}

// ---- random rows ------------------------------------------------------------------------------------------------

/** Values of each column of three rows, as SQL. */
type Triple = readonly [readonly string[], readonly string[], readonly string[]]
type Random = () => number

/** Numbers in [0, 1) that the text decides. */
function randomOf(seed: string): Random {
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** All three have the same key, as rows that are merged do. */
function tripleOf(
  columns: readonly Column[],
  key: readonly string[],
  nullable: string,
  random: Random,
): Triple {
  const keys = new Map(columns.map(({ name, type }) => [name, randomValue(type, 0, random)]))
  const row = () =>
    columns.map(({ name, type }) => {
      const own = key.includes(name) ? keys.get(name) : undefined
      return own ?? randomValue(type, name === nullable ? NULLS : 0, random)
    })
  return [row(), row(), row()]
}

/** Share of NULLs. */
const NULLS = 0.1
const WORDS = ['', 'a', 'b', 'ab', 'Zürich', '10', '9', 'true']

/** SQL of a value of a type; NULL for types that no value is made of. */
function randomValue(type: string, nulls: number, random: Random): string {
  const value = random() < nulls ? 'NULL' : plainValue(type, random)
  return `CAST(${value} AS ${type})`
}

function plainValue(type: string, random: Random): string {
  const below = (limit: number) => Math.floor(random() * limit)
  if (type.endsWith('[]')) {
    const items = Array.from({ length: below(4) }, () => randomValue(type.slice(0, -2), 0, random))
    return `[${items.join(', ')}]`
  }
  const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(type)
  if (decimal !== null) {
    const [precision, scale] = [Number(decimal[1]), Number(decimal[2])]
    const whole = below(10 ** Math.min(4, Math.max(0, precision - scale - 1)))
    const fraction =
      scale === 0 ? '' : `.${String(below(10 ** Math.min(scale, 6))).padStart(Math.min(scale, 6), '0')}`
    return quoteLiteral(`${random() < 0.4 ? '-' : ''}${whole}${fraction}`)
  }
  if (/^U(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(type)) return String(below(40))
  if (/^(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(type)) return String(below(81) - 40)
  switch (type) {
    case 'DOUBLE':
    case 'FLOAT':
      return String((below(801) - 400) / 4)
    case 'BOOLEAN':
      return random() < 0.5 ? 'true' : 'false'
    case 'VARCHAR':
      return quoteLiteral(WORDS[below(WORDS.length)] ?? '')
    case 'BLOB':
      return quoteLiteral(`\\x${below(256).toString(16).padStart(2, '0').toUpperCase()}`)
    case 'UUID':
      return quoteLiteral(`00000000-0000-4000-8000-${String(below(1000)).padStart(12, '0')}`)
    case 'DATE':
      return `DATE '2024-01-01' + ${below(1000)}`
    case 'TIME':
      return `make_time(${below(24)}, ${below(60)}, ${below(60)})`
    case 'INTERVAL':
      return `to_seconds(${below(2000) - 1000})`
    default:
      return type.startsWith('TIMESTAMP')
        ? `TIMESTAMP '2024-01-01' + to_seconds(${below(100_000_000)})`
        : 'NULL'
  }
}
