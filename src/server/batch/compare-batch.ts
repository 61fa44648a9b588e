/**
 * Holds a batch against what was served at its cut, before it is published: how many rows differ and why, and of the
 * first ones both sides. The past engine does it, in a process of its own. No state.
 *
 * Rows of a view with one definition that differ though both sides fold the same events are damage. Rows that differ by
 * exactly the late events that the speed layer had held back differ because of those. Two definitions may differ: in
 * columns that are declared approximate, or in what they say.
 */

import { batchCut } from '../../catalog/batches.ts'
import { type Divergence, type DivergentRow, recordDivergence } from '../../catalog/divergence.ts'
import { holdsLate, lateCut } from '../../catalog/late-cuts.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import type { CapturedView, SliceInfo } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import { countsQuery, differingTable, sampleQuery } from '../../govern/divergence-sql.ts'
import { capturedPlan, keyCondition, keysOf, mergedPlan, rowsPlan } from '../../govern/verify-plans.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { type JsonValue, quoteIdentifier, quoteLiteral } from '../../model/schema.ts'
import { BATCH_PART } from '../../plan/batch-columns.ts'
import type { ViewPlan } from '../../plan/plan.ts'
import { finishQuery, mergedColumns } from '../../plan/queries.ts'
import { must } from '../../std/assert.ts'
import { randomSeed } from '../../std/random.ts'
import type { ServerContext } from '../context.ts'

export interface CompareRequest {
  /** Of the batch, which is running. */
  readonly batch: number
  readonly row: VersionRow
  /** T. */
  readonly cut: CommitSeq
  /** What was served at T, in a staged file. */
  readonly captured: CapturedView
  /** What the batch has made of everything up to T; files of the staging folder among them. */
  readonly slices: readonly SliceInfo[]
  readonly signal: AbortSignal
}

export interface BatchComparison {
  /** Rows that differ. */
  readonly differing: number
  /** Some of them differ although both sides fold the same events in the same way: what was served is damaged. */
  readonly damaged: boolean
}

/** Undefined where nothing was compared. */
export type CompareBatch = (
  context: ServerContext,
  request: CompareRequest,
) => Promise<BatchComparison | undefined>

/** Rows of which both sides are kept. */
const SAMPLE_ROWS = 50
const TIMEOUT_MS = 60 * 60_000

export const compareBatch: CompareBatch = async (context, request) => {
  try {
    return await compare(context, request)
  } catch (error) {
    // A batch that cannot be compared is right all the same.
    if (request.signal.aborted || !(error instanceof RefoldError) || error.code === 'SLICE_CORRUPT')
      throw error
    const { view } = request.row
    context.logger.error('batch was not compared', { view, batch: request.batch, reason: error.message })
    return undefined
  }
}

async function compare(context: ServerContext, request: CompareRequest): Promise<BatchComparison> {
  const beganMs = context.clock.monotonicMs()
  const { batch, row, signal } = request
  const states = statesOf(context, request)
  const first = [
    { sql: differingTable(row.plan, 'late' in states), limit: 1 },
    { sql: countsQuery, limit: 100 },
    { sql: 'SELECT CAST(count(*) AS BIGINT) AS n FROM computed', limit: 1 },
    { sql: sampleQuery, limit: SAMPLE_ROWS },
  ]
  const ask = async (statements: readonly { readonly sql: string; readonly limit: number }[]) => {
    const answers = await context.past.query({ states, statements, timeoutMs: TIMEOUT_MS, signal })
    return answers.map(({ json }) => JSON.parse(json) as readonly Readonly<Record<string, JsonValue>>[])
  }
  const [, counts = [], all = [], found = []] = await ask(first)
  const sides = await ask(found.flatMap((one) => sideStatements(row.plan, one)))
  const sample = found.map((one, index): DivergentRow => {
    const [served, computed] = [sides[2 * index]?.[0] ?? null, sides[2 * index + 1]?.[0] ?? null]
    return {
      what: one.$what as DivergentRow['what'],
      cause: String(one.$cause),
      key: keyOf(row.plan, one),
      served,
      computed,
    }
  })
  const divergence = summaryOf(counts, Number(all[0]?.n ?? 0), sample, context.clock.monotonicMs() - beganMs)
  recordDivergence(context.catalog, batch, divergence, sample)
  const { changed, added, removed, causes } = divergence
  const differing = changed + added + removed
  if (differing > 0) {
    context.logger.warn('batch differs from what was served', { view: row.view, batch, differing, ...causes })
  }
  return { differing, damaged: (causes['damage'] ?? 0) > 0 }
}

function statesOf(
  context: ServerContext,
  { row, cut, captured, slices }: CompareRequest,
): Readonly<Record<'served' | 'computed', PastState>> & Readonly<Record<string, PastState>> {
  const { view, version, plan } = row
  // States of other batches are never taken for those of this one.
  const tag = `${version} batch ${randomSeed()}`
  const common = { view, border: cut, cut, skipped: [], batch: { cut } }
  const stage = must(plan.stages[0], 'a plan has a stage').name
  const { path, rows, bytes, checksum } = captured
  const file = { view, version, stage, part: 'rows', from: 0, to: cut, path, rows, bytes, checksum }
  const served = {
    ...{ ...common, version: `${tag} served`, slices: [file] },
    plan: plan.batch === undefined ? capturedPlan(plan) : rowsPlan(plan),
  }
  if (plan.batch !== undefined) {
    const own = slices.filter(({ part }) => part === BATCH_PART).map((slice) => ({ ...slice, part: 'rows' }))
    return { served, computed: { ...common, version: `${tag} computed`, slices: own, plan: rowsPlan(plan) } }
  }
  const computed = { ...common, version: `${tag} computed`, slices, plan: mergedPlan(plan) }
  const late = lateState(context, row, cut, `${tag} late`)
  return late === undefined ? { served, computed } : { served, computed, late }
}

/** The late events that this batch is the first to take. */
function lateState({ catalog, past }: ServerContext, row: VersionRow, cut: CommitSeq, version: string) {
  if (!holdsLate(row.plan)) return undefined
  const held = Math.max(
    lateCut(catalog, row.view, row.version),
    batchCut(catalog, row.view, row.version),
    row.start,
  )
  const border = Math.min(held, cut)
  const { skipped } = past.stateAt(row.view, row.version, cut)
  return {
    view: row.view,
    version,
    plan: mergedPlan(row.plan),
    slices: [],
    border,
    cut,
    skipped,
    onlyLate: true,
  } as const
}

/** The row on either side, finished as readers see it, without what depends on other rows. */
function sideStatements(plan: ViewPlan, found: Readonly<Record<string, JsonValue>>) {
  const stage = must(plan.stages[0], 'a plan has a stage')
  if (plan.batch !== undefined) {
    const conditions = plan.batch.key.map(({ column }) => condition(column, found[column] ?? null))
    const where = ['true', ...conditions].join(' AND ')
    return ['served', 'computed'].map((side) => ({ sql: `SELECT * FROM ${side} WHERE ${where}`, limit: 1 }))
  }
  const keys = Object.fromEntries(keysOf(stage).map(({ name }) => [name, textOf(found[name])]))
  const where = keyCondition(stage, [keys]) ?? 'true'
  const columns = mergedColumns(stage).map(({ name }) => quoteIdentifier(name))
  return ['served', 'computed'].map((side) => ({
    sql: finishQuery(plan, `SELECT ${columns.join(', ')} FROM ${side} WHERE ${where}`),
    limit: 1,
  }))
}

function condition(column: string, value: JsonValue): string {
  const name = quoteIdentifier(column)
  return value === null ? `${name} IS NULL` : `CAST(${name} AS VARCHAR) = ${quoteLiteral(String(value))}`
}

function textOf(value: JsonValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value)
}

/** Under the view's own names where it shows them. */
function keyOf(plan: ViewPlan, found: Readonly<Record<string, JsonValue>>): JsonValue {
  const names = Object.entries(plan.finish.keyColumns)
  const own = Object.entries(found).filter(([name]) => name !== '$what' && name !== '$cause')
  return Object.fromEntries(
    own.map(([key, value]) => [
      names.find(([, name]) => name === key)?.[0] ?? key.replace(/^\$/, ''),
      textOf(value),
    ]),
  )
}

function summaryOf(
  counts: readonly Readonly<Record<string, JsonValue>>[],
  rows: number,
  sample: readonly DivergentRow[],
  tookMs: number,
): Divergence {
  const sum = (test: (count: (typeof counts)[number]) => boolean) =>
    counts.filter(test).reduce((total, { n }) => total + Number(n), 0)
  const causes = [...new Set(counts.map(({ cause }) => String(cause)))]
  return {
    rows,
    changed: sum(({ what }) => what === 'changed'),
    added: sum(({ what }) => what === 'added'),
    removed: sum(({ what }) => what === 'removed'),
    causes: Object.fromEntries(causes.map((cause) => [cause, sum((count) => count.cause === cause)])),
    largest: largestDifferences(sample),
    tookMs: Math.round(tookMs),
  }
}

/** Decimals are texts in rows; a text that is no number on either side is none. */
function largestDifferences(sample: readonly DivergentRow[]): Readonly<Record<string, number>> {
  const largest: Record<string, number> = {}
  for (const { served, computed } of sample) {
    const columns = { ...asObject(served), ...asObject(computed) }
    for (const column of Object.keys(columns)) {
      const [before, after] = [asObject(served)[column], asObject(computed)[column]].map(numberOf)
      if (before === undefined || after === undefined || before === after) continue
      largest[column] = Math.max(largest[column] ?? 0, Math.abs(after - before))
    }
  }
  return largest
}

function asObject(value: JsonValue): Readonly<Record<string, JsonValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, JsonValue>>)
    : {}
}

function numberOf(value: JsonValue | undefined): number | undefined {
  if (typeof value === 'number') return value
  return typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : undefined
}
