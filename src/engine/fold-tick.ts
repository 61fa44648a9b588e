/**
 * One tick: folds the events of a range into the open generations of views that stand at the same cut, in one
 * transaction, so that all of them reach the next cut together or none does. When the transaction fails, each view is
 * tried alone: those that can go on do, and the one that fails names the first event on which it does (law: one bad
 * event stops one view at most).
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { StagePlan } from '../plan/plan.ts'
import { plannedStream } from '../plan/planned-stream.ts'
import { foldQuery, partNames } from '../plan/queries.ts'
import { must } from '../std/assert.ts'
import { queryRows, run } from './duckdb.ts'
import type { EventPosition, StallInfo } from './engine.ts'
import type { LiveFolds, StagedFold } from './fold/live-folds.ts'
import { CodeStalled, isCodeFold, noteSkips, positionOf, stageFolds, stallOf } from './fold/tick-folds.ts'
import { failureParts } from './functions/logic-failures.ts'
import { lateAfter } from './late-mark.ts'
import { type LiveView, openGeneration } from './live-view.ts'
import { hashColumn, soleStage } from './merged-relation.ts'
import type { TickRelationOptions, TickSource } from './tick-source.ts'
import type { WorkMark } from './work-mark.ts'

/** How long a view waits before it tries again after a failure that no event causes, such as want of memory. */
const RETRY_MS = 2_000
const TICK_CUTS_KEPT = 20_000

export interface TickContext {
  readonly connection: DuckDBConnection
  readonly streams: ReadonlyMap<string, StreamDef>
  readonly mark: WorkMark
  /** Folds in TypeScript; left out where there are none. */
  readonly folds?: LiveFolds
  readonly nowMs: () => number
}

/** Folds `source` into all of `views`, which stand at its beginning. Never throws for what an event or a view does. */
export async function foldTick(
  context: TickContext,
  views: readonly LiveView[],
  source: TickSource,
): Promise<void> {
  if (views.length === 0) return
  try {
    await foldTogether(context, views, source)
  } catch (error) {
    const only = views.length === 1 ? views[0] : undefined
    if (only === undefined) for (const view of views) await foldTick(context, [view], source)
    else {
      await stallOrSkip(context, only, source, error)
      context.mark.end('fold')
    }
  }
}

async function foldTogether(
  context: TickContext,
  views: readonly LiveView[],
  source: TickSource,
): Promise<void> {
  const { connection } = context
  const appended = new Map<LiveView, number>()
  const staged = await stageCode(context, views, source)
  await run(connection, 'BEGIN')
  try {
    const shared = await materialiseShared(
      context,
      views.filter((view) => !staged.has(view)),
      source,
    )
    for (const view of views) {
      const stage = soleStage(view.spec.plan)
      const skipped = skippedIn(view, source)
      beginFold(context, view, source)
      const byCode = staged.get(view)
      if (byCode?.sql === '') {
        appended.set(view, 0)
        continue
      }
      const events =
        byCode !== undefined
          ? byCode.sql
          : skipped.length === 0
            ? (shared.get(view) ?? relationFor(context, view, source, []))
            : relationFor(context, view, source, skipped)
      appended.set(view, await appendFold(connection, view, stage, events, source.through))
    }
    context.mark.end('fold')
    await run(connection, 'COMMIT')
  } catch (error) {
    await run(connection, 'ROLLBACK')
    await abortFolds(context, views)
    throw error
  }
  for (const [view, { failures }] of staged) {
    if (failures.length > 0) noteSkips(view, failures, await positions(context, view, source))
    await context.folds?.commit(view)
  }
  for (const [view, rows] of appended) {
    openGeneration(view).rows += rows
    view.readSet = { ...view.readSet, cut: source.through }
    view.tickCuts.push(source.through)
    if (view.tickCuts.length > 2 * TICK_CUTS_KEPT) view.tickCuts.splice(0, TICK_CUTS_KEPT)
    view.stalled = undefined
  }
}

/** Partial rows of the folds in TypeScript among the views. */
async function stageCode(
  context: TickContext,
  views: readonly LiveView[],
  source: TickSource,
): Promise<ReadonlyMap<LiveView, StagedFold>> {
  try {
    return await stageFolds(views, (view) => {
      beginFold(context, view, source)
      const events = relationFor(context, view, source, skippedIn(view, source))
      const folds = must(context.folds, 'an engine with folds in TypeScript can run them')
      return folds.stage(
        context.connection,
        view,
        streamOf(context, view),
        events,
        source.through,
        source.bytes,
      )
    })
  } catch (error) {
    await abortFolds(context, views)
    throw error
  }
}

async function abortFolds({ folds }: TickContext, views: readonly LiveView[]): Promise<void> {
  for (const view of views) if (isCodeFold(view)) await folds?.abort(view)
}

function beginFold({ mark }: TickContext, { spec }: LiveView, source: TickSource): void {
  mark.begin({ kind: 'fold', view: spec.view, version: spec.version, to: source.through })
}

/** Views that read a stream's fields in the same way, late events out or not. */
interface SharedRead {
  readonly stream: StreamDef
  readonly late: Pick<TickRelationOptions, 'withoutLateAfter'>
  readonly views: LiveView[]
  readonly fields: Set<string>
  folds: number
}

/** Decodes a stream's events once where several folds read them alike; gives the relation's SQL by view. */
async function materialiseShared(
  context: TickContext,
  views: readonly LiveView[],
  source: TickSource,
): Promise<Map<LiveView, string>> {
  const reads = new Map<string, SharedRead>()
  for (const view of views) {
    const stage = soleStage(view.spec.plan)
    const running = context.streams.get(stage.source.stream)
    const stream = streamOf(context, view)
    // A plan from before its stream changed reads in a way of its own.
    const late = lateOption(view, source)
    const key = (stream === running ? stream.name : JSON.stringify(stream)) + JSON.stringify(late)
    const read = reads.get(key) ?? { stream, late, views: [], fields: new Set(), folds: 0 }
    reads.set(key, read)
    read.views.push(view)
    for (const field of stage.source.fields) read.fields.add(field)
    read.folds += partNames(stage).length
  }
  const shared = new Map<LiveView, string>()
  let tables = 0
  for (const { stream, late, fields, views: readers, folds } of reads.values()) {
    if (folds < 2) continue
    const table = `tick_${tables++}`
    const positions = readers.some((view) => readsPositions(view))
    const relation = source.relation(stream, [...fields], { system: false, positions, skipped: [], ...late })
    await run(context.connection, `CREATE OR REPLACE TEMP TABLE ${table} AS ${relation}`)
    for (const view of readers) shared.set(view, `SELECT * FROM temp.${table}`)
  }
  return shared
}

/** The view's stream, as its plan reads it. */
function streamOf(context: TickContext, view: LiveView): StreamDef {
  const { plan } = view.spec
  const { stream } = soleStage(plan).source
  return plannedStream(plan, must(context.streams.get(stream), `stream ${stream} is known to the engine`))
}

function relationFor(
  context: TickContext,
  view: LiveView,
  source: TickSource,
  skipped: readonly EventPosition[],
): string {
  const stage = soleStage(view.spec.plan)
  const options = { system: false, positions: readsPositions(view), skipped, ...lateOption(view, source) }
  return source.relation(streamOf(context, view), stage.source.fields, options)
}

/** The stream of which a view holds late events back, if it does. */
export function heldStream({ spec }: LiveView): string | undefined {
  const { source } = soleStage(spec.plan)
  return source.late === 'hold' ? source.stream : undefined
}

/** Views of different batches read alike once their ticks are after both. */
function lateOption(view: LiveView, source: TickSource): Pick<TickRelationOptions, 'withoutLateAfter'> {
  const after = lateAfter(view.spec)
  return after === undefined ? {} : { withoutLateAfter: Math.max(after, source.from) }
}

function readsPositions(view: LiveView): boolean {
  return soleStage(view.spec.plan).source.positions === true
}

function skippedIn(view: LiveView, source: TickSource): EventPosition[] {
  return view.skipped.filter((position) => position.commit > source.from && position.commit <= source.through)
}

/** Appends one fold's partial rows to the open generation; gives their number. */
async function appendFold(
  connection: DuckDBConnection,
  view: LiveView,
  stage: StagePlan,
  events: string,
  cut: CommitSeq,
): Promise<number> {
  const generation = openGeneration(view)
  let rows = 0
  for (const part of partNames(stage)) {
    const table = must(generation.tables[part], `the open generation has a table for part ${part}`)
    const result = await run(
      connection,
      `INSERT INTO ${table} SELECT *, ${hashColumn(stage)}, ${cut} FROM (${foldQuery(stage, part, events)})`,
    )
    rows += result.rowsChanged
  }
  return rows
}

async function stallOrSkip(
  context: TickContext,
  view: LiveView,
  source: TickSource,
  error: unknown,
): Promise<void> {
  const message = error instanceof Error ? error.message : String(error)
  beginFold(context, view, source)
  if (error instanceof RefoldError && (error.code === 'ENGINE_MEMORY' || error.code === 'LOGIC_MISSING')) {
    const first = (await positions(context, view, source))[0]
    if (first === undefined) throw error
    view.stalled = { position: first, message }
    view.retryAtMs = context.nowMs() + RETRY_MS
    return
  }
  if (isCodeFold(view)) {
    await stallCode(context, view, source, error)
    return
  }
  const found = await firstFailing(context, view, source)
  // The failure did not come again: whatever it was, the next try decides.
  if (found === undefined) {
    view.retryAtMs = context.nowMs() + RETRY_MS
    return
  }
  const { position } = found
  const stall: StallInfo = { position, ...failureParts(found.error) }
  if (view.spec.onError === 'skip') {
    view.skipped.push({ commit: position.commit, index: position.index })
    view.unreportedSkips.push(stall)
    await foldTick(context, [view], source)
    return
  }
  view.stalled = stall
  view.retryAtMs = Number.POSITIVE_INFINITY
}

/** A fold in TypeScript names the event that it stops at; where it cannot run at all, it waits and tries again. */
async function stallCode(
  context: TickContext,
  view: LiveView,
  source: TickSource,
  error: unknown,
): Promise<void> {
  const all = await positions(context, view, source)
  if (error instanceof CodeStalled) {
    view.stalled = stallOf(error.failure, positionOf(error.failure, all))
    view.retryAtMs = Number.POSITIVE_INFINITY
    return
  }
  const first = all[0]
  if (first === undefined) throw error
  view.stalled = { position: first, message: error instanceof Error ? error.message : String(error) }
  view.retryAtMs = context.nowMs() + RETRY_MS
}

/** Finds, by halving, the first event without which the fold of what comes before it succeeds. */
async function firstFailing(
  context: TickContext,
  view: LiveView,
  source: TickSource,
): Promise<{ readonly position: StallInfo['position']; readonly error: unknown } | undefined> {
  const all = await positions(context, view, source)
  const failsUpTo = (count: number) =>
    failureUpTo(context, view, source, must(all[count - 1], 'the range has so many events'))
  let good = 0
  let bad = all.length
  let error = bad === 0 ? undefined : await failsUpTo(bad)
  if (error === undefined) return undefined
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    const failure = await failsUpTo(middle)
    if (failure === undefined) good = middle
    else {
      bad = middle
      error = failure
    }
  }
  return { position: must(all[bad - 1], 'it is one of the events'), error }
}

async function positions(
  context: TickContext,
  view: LiveView,
  source: TickSource,
): Promise<StallInfo['position'][]> {
  const stream = streamOf(context, view)
  const late = lateOption(view, source)
  const options = { system: true, positions: false, skipped: skippedIn(view, source), ...late }
  const relation = source.relation(stream, [], options)
  const rows = await queryRows(
    context.connection,
    `SELECT _commit, _index, _partition, _offset FROM (${relation}) ORDER BY _commit, _index`,
  )
  return rows.map((row) => ({
    stream: stream.name,
    commit: Number(row['_commit']),
    index: Number(row['_index']),
    partition: Number(row['_partition']),
    offset: Number(row['_offset']),
  }))
}

/** How the fold of the events up to and including `last` fails, if it does; leaves nothing behind. */
async function failureUpTo(
  context: TickContext,
  view: LiveView,
  source: TickSource,
  last: EventPosition,
): Promise<unknown> {
  const stage = soleStage(view.spec.plan)
  const relation = source.relation(streamOf(context, view), stage.source.fields, {
    system: true,
    positions: readsPositions(view),
    skipped: skippedIn(view, source),
    ...lateOption(view, source),
  })
  const events = `SELECT * EXCLUDE (_commit, _index, _partition, _offset, _ingested_at) FROM (${relation})
    WHERE _commit < ${last.commit} OR (_commit = ${last.commit} AND _index <= ${last.index})`
  await run(context.connection, 'BEGIN')
  try {
    await appendFold(context.connection, view, stage, events, source.through)
    return undefined
  } catch (error) {
    return error
  } finally {
    await run(context.connection, 'ROLLBACK')
  }
}
