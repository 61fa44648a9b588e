/**
 * Folds a range of the log in bulk for a version: straight from lake files and hot segments, one statement per part,
 * one staged slice per part. No state beyond the list of skipped events.
 *
 * When the fold fails, the events on which it does are found by halving. With `onError: 'skip'` they are left out
 * and the fold runs again; else the job fails and names the first of them.
 */

import { join } from 'node:path'
import type { LateRule } from '../lake/late-rule.ts'
import { lakeRelation, logRelation, overlaps, splitRange } from '../lake/relation.ts'
import type { CommitRange } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { GroupStage, StagePlan } from '../plan/plan.ts'
import { plannedStream } from '../plan/planned-stream.ts'
import { foldQuery, foldTogether, mergeQuery, partNames } from '../plan/queries.ts'
import { assert, must } from '../std/assert.ts'
import { queryRows, queryValue, run } from './duckdb.ts'
import type { EventPosition, Job, JobResult, SkippedEvent, SliceInfo, StallInfo } from './engine.ts'
import { type FailingRange, failingPositions, LAST_INDEX } from './failing-positions.ts'
import { runCodeFold, stretchesOf } from './fold/run-code-fold.ts'
import { failureParts } from './functions/logic-failures.ts'
import { type HotFile, hotFilesOf } from './hot-files.ts'
import { hotWatermarks } from './hot-watermarks.ts'
import { sortedPart } from './job-compact.ts'
import { lateAfter, lateMark } from './late-mark.ts'
import { soleStage } from './merged-relation.ts'
import type { JobContext } from './run-in-worker.ts'
import { slicePath } from './slice-path.ts'
import { sliceTally } from './slice-tally.ts'
import { copyToParquet } from './staging.ts'

type FoldJob = Extract<Job, { kind: 'fold' }>

/** Skipping goes on no longer than this: a view that fails on everything is not worth its slices. */
const SKIPS_MAX = 10_000

/** The job failed on an event. */
export class FoldStalled extends Error {
  override readonly name = 'FoldStalled'
  readonly stall: StallInfo
  readonly error: RefoldError

  constructor(stall: StallInfo, error: RefoldError) {
    super(stall.message)
    this.stall = stall
    this.error = error
  }
}

interface Fold {
  readonly job: FoldJob
  readonly context: JobContext
  readonly stage: StagePlan
  readonly stream: StreamDef
  readonly hot: readonly HotFile[]
  /** For a view that holds late events back: what is left out. */
  readonly late?: LateRule
}

export async function runFoldJob(job: FoldJob, context: JobContext): Promise<JobResult> {
  const stage = soleStage(job.view.plan)
  const running = must(
    job.streams.find(({ name }) => name === stage.source.stream),
    `stream "${stage.source.stream}" is among the job's`,
  )
  const stream = plannedStream(job.view.plan, running)
  const hotRange = splitRange(job.range, job.sources.lake).hot
  const hot = await hotFilesOf(job.sources.log, hotRange, context.tempDir)
  const late = await lateRule({ job, stage }, hotRange, context.tempDir)
  const fold: Fold = { job, context, stage, stream, hot, ...late }
  const events = await countEvents(fold)
  context.report({ done: 0, total: events })
  if (stage.kind === 'group' && stage.code !== undefined) return await foldByCode(fold, stage, events)
  const found: SkippedEvent[] = []
  for (;;) {
    const known = [...job.view.skipped, ...found]
    try {
      const slices = await foldParts(fold, events, known)
      const within = job.view.skipped.filter(
        ({ commit }) => commit > job.range.from && commit <= job.range.to,
      )
      return { kind: 'fold', slices, events: events - within.length - found.length, skipped: found }
    } catch (error) {
      const skipped = await skipOrStall(fold, known, error)
      const again = skipped.some((at) =>
        known.some(({ commit, index }) => commit === at.commit && index === at.index),
      )
      assert(!again, 'an event that was left out does not fail the fold')
      found.push(...skipped)
      if (found.length > SKIPS_MAX) throw error
    }
  }
}

async function foldParts(
  fold: Fold,
  events: number,
  skipped: readonly EventPosition[],
): Promise<SliceInfo[]> {
  return await stageParts(
    fold,
    events,
    await partialsOf(fold, eventsOf(fold, fold.job.range, { skipped }), events),
  )
}

/** Folds by functions in TypeScript. They say themselves which events they fail on. */
async function foldByCode(fold: Fold, stage: GroupStage, events: number): Promise<JobResult> {
  const { job, context, stream, hot } = fold
  const { skipped } = job.view
  const { table, failures } = await runCodeFold(job.view, {
    ...{ context, stage, stream, range: job.range },
    stretches: stretchesOf(stream.name, job.range, job.sources, hot),
    events: (range) => eventsOf(fold, range, { skipped }),
    report: (share) => context.report({ done: Math.floor(events * share), total: events }),
  })
  const named: SkippedEvent[] = []
  for (const { commit, index, ...failure } of failures) {
    named.push({ ...(await placeOf(fold, { commit, index })), ...failure })
  }
  const [first] = named
  if (first !== undefined && job.view.onError === 'stall') {
    const { message, stack, code, ...position } = first
    const more = { ...(stack === undefined ? {} : { stack }), ...(code === undefined ? {} : { code }) }
    throw new FoldStalled({ position, message, ...more }, new RefoldError('LOGIC_FAILED', message))
  }
  const slices = await stageParts(fold, events, (part) => mergeQuery(stage, part, `SELECT * FROM ${table}`))
  const within = skipped.filter(({ commit }) => commit > job.range.from && commit <= job.range.to)
  return { kind: 'fold', slices, events: events - within.length - named.length, skipped: named }
}

async function stageParts(
  fold: Fold,
  events: number,
  partials: (part: string) => string,
): Promise<SliceInfo[]> {
  const { job, context, stage } = fold
  const { view, version } = job.view
  const names = partNames(stage)
  const slices: SliceInfo[] = []
  for (const part of names) {
    const path = slicePath(job.stagingDir, job.view, part, job.range)
    const sql = sortedPart(stage, part, partials(part))
    const staged = await copyToParquet(context.connection, sql, path)
    slices.push({
      view,
      version,
      stage: stage.name,
      part,
      from: job.range.from,
      to: job.range.to,
      path,
      ...staged,
      ...(await sliceTally(context.connection, stage, part, path)),
      ...lateMark(job.view, job.range),
    })
    context.report({ done: Math.floor((events * slices.length) / names.length), total: events })
  }
  return slices
}

const TOGETHER = '"$together"'
/** So many events to a row of both parts at least: with fewer, sorting the rows anew costs more than a second pass. */
const EVENTS_A_ROW = 8

/**
 * SQL of each part's partial rows. Parts that can be are folded in one pass, into a table, where events are many more
 * than its rows turn out to be; it is cut off and not used where they are not.
 */
async function partialsOf(
  { context, stage }: Fold,
  relation: string,
  events: number,
): Promise<(part: string) => string> {
  const { connection } = context
  const alone = (part: string) => foldQuery(stage, part, relation)
  const together = foldTogether(stage)
  if (together === undefined) return alone
  const most = Math.floor(events / EVENTS_A_ROW)
  const rows = `SELECT * FROM (${together.foldQuery(relation)}) LIMIT ${most + 1}`
  await run(connection, `CREATE OR REPLACE TEMP TABLE ${TOGETHER} AS ${rows}`)
  if (Number(await queryValue(connection, `SELECT count(*) FROM ${TOGETHER}`)) > most) {
    await run(connection, `DROP TABLE ${TOGETHER}`)
    return alone
  }
  return (part) =>
    part === 'main' || part === together.distinct
      ? together.partQuery(part, `SELECT * FROM ${TOGETHER}`)
      : alone(part)
}

function eventsOf(
  { job, stage, stream, hot, late }: Fold,
  range: CommitRange,
  options: { readonly system?: boolean; readonly skipped: readonly EventPosition[] },
): string {
  const { lake } = job.sources
  const hotFiles = hot.filter((file) => overlaps(file, range)).map(({ path }) => path)
  const skipped = options.skipped.filter(({ commit }) => commit > range.from && commit <= range.to)
  // The ingest time is not asked for here, and a constant spares the pass over the header lines.
  const ingestTime = () => 'CAST(NULL AS TIMESTAMP)'
  return logRelation(
    stream,
    stage.source.fields,
    range,
    { lake, hotFiles },
    {
      ...options,
      skipped,
      ingestTime,
      positions: stage.source.positions === true,
      ...(late === undefined ? {} : { late }),
    },
  )
}

/** A fold up to the cut of the batch takes late events like the others. */
async function lateRule(
  { job, stage }: Pick<Fold, 'job' | 'stage'>,
  hot: CommitRange,
  tempDir: string,
): Promise<Pick<Fold, 'late'>> {
  const { stream } = stage.source
  const after = lateAfter(job.view)
  if (after === undefined || job.range.to <= after) return {}
  const log = job.sources.log
  const marks = await hotWatermarks(log, hot, [stream], () => join(tempDir, 'watermarks.csv'))
  return { late: { take: 'out', after, watermark: marks.sql(stream) } }
}

/** Events of the stream in the range; whole files say it without being read. */
async function countEvents(fold: Fold): Promise<number> {
  const { job, context, stream, hot } = fold
  if (fold.late !== undefined) {
    const { skipped } = job.view
    const within = skipped.filter(({ commit }) => commit > job.range.from && commit <= job.range.to)
    const taken = eventsOf(fold, job.range, { skipped })
    return within.length + Number(await queryValue(context.connection, `SELECT count(*) FROM (${taken})`))
  }
  const { lake, hot: hotRange } = splitRange(job.range, job.sources.lake)
  const files = job.sources.lake.files.filter((file) => file.stream === stream.name && overlaps(file, lake))
  const whole = files.filter((file) => file.from >= lake.from && file.to <= lake.to)
  let events = whole.reduce((sum, file) => sum + file.rows, 0)
  const rest = files.filter((file) => !whole.includes(file))
  const count = async (relation: string): Promise<number> =>
    Number(await queryValue(context.connection, `SELECT count(*) FROM (${relation})`))
  if (rest.length > 0) events += await count(lakeRelation(stream, [], rest, lake))
  for (const file of hot.filter((candidate) => overlaps(candidate, hotRange))) {
    if (file.events !== undefined) events += file.events[stream.name] ?? 0
    else {
      const range = { from: file.from, to: file.to }
      const sources = { lake: { through: 0, files: [] }, hotFiles: [file.path] }
      events += await count(logRelation(stream, [], range, sources))
    }
  }
  return events
}

/** The events to leave out after `error`, or throws: what no event causes as it is, else the stall. */
async function skipOrStall(
  fold: Fold,
  known: readonly EventPosition[],
  error: unknown,
): Promise<readonly SkippedEvent[]> {
  if (!(error instanceof RefoldError) || !isEventsFault(error)) throw error
  const skip = fold.job.view.onError === 'skip'
  const search = failingRange(fold, known)
  const failing = await failingPositions(search, skip ? SKIPS_MAX : 1)
  const named: SkippedEvent[] = []
  for (const at of failing) {
    const alone = await search.failure({ commit: at.commit, index: at.index - 1 }, at)
    // One that fails only in company has no failure of its own to tell.
    named.push({ ...(await placeOf(fold, at)), ...failureParts(alone ?? error) })
  }
  const first = named[0]
  if (first === undefined) throw error
  if (skip) return named
  const { message, stack, code, ...position } = first
  const more = { ...(stack === undefined ? {} : { stack }), ...(code === undefined ? {} : { code }) }
  throw new FoldStalled({ position, message, ...more }, error)
}

/** Whether DuckDB failed on a value, and not on the query, a file or want of memory. */
function isEventsFault(error: RefoldError): boolean {
  if (error.code === 'LOGIC_FAILED') return true
  return (
    error.code === 'QUERY_FAILED' &&
    /^(Conversion|Out of Range|Invalid Input|Invalid|Constraint) Error/.test(error.message) &&
    !error.message.includes('Malformed JSON')
  )
}

interface FoldSearch extends FailingRange {
  /** How the fold of a stretch fails, if it does. */
  failure(after: EventPosition, upTo: EventPosition): Promise<RefoldError | undefined>
}

function failingRange(fold: Fold, known: readonly EventPosition[]): FoldSearch {
  const { connection } = fold.context
  const failure = (after: EventPosition, upTo: EventPosition) => failureWithin(fold, known, after, upTo)
  return {
    range: fold.job.range,
    failure,
    folds: async (after, upTo) => (await failure(after, upTo)) === undefined,
    async commits(range) {
      const all = eventsOf(fold, range, { system: true, skipped: known })
      const rows = await queryRows(connection, `SELECT DISTINCT _commit AS c FROM (${all}) ORDER BY c`)
      return rows.map((row) => Number(row['c']))
    },
    async indexes(commit) {
      const all = eventsOf(fold, { from: commit - 1, to: commit }, { system: true, skipped: known })
      const rows = await queryRows(connection, `SELECT _index AS i FROM (${all}) ORDER BY i`)
      return rows.map((row) => Number(row['i']))
    },
  }
}

async function failureWithin(
  fold: Fold,
  known: readonly EventPosition[],
  after: EventPosition,
  upTo: EventPosition,
): Promise<RefoldError | undefined> {
  const { stage, context } = fold
  const from = after.index === LAST_INDEX ? after.commit : after.commit - 1
  const all = eventsOf(fold, { from, to: upTo.commit }, { system: true, skipped: known })
  // Written out, since DuckDB makes a BETWEEN of two row comparisons and then refuses it.
  const events =
    `SELECT * EXCLUDE (_partition, _offset, _commit, _index, _ingested_at) FROM (${all}) ` +
    `WHERE (_commit > ${after.commit} OR (_commit = ${after.commit} AND _index > ${after.index})) ` +
    `AND (_commit < ${upTo.commit} OR (_commit = ${upTo.commit} AND _index <= ${upTo.index}))`
  for (const part of partNames(stage)) {
    try {
      // Hashing makes DuckDB compute every column; a count could be answered without that.
      await run(
        context.connection,
        `SELECT bit_xor(hash(COLUMNS(*))) FROM (${foldQuery(stage, part, events)})`,
      )
    } catch (error) {
      if (error instanceof RefoldError && isEventsFault(error)) return error
      throw error
    }
  }
  return undefined
}

async function placeOf(fold: Fold, at: EventPosition): Promise<StallInfo['position']> {
  const all = eventsOf(fold, { from: at.commit - 1, to: at.commit }, { system: true, skipped: [] })
  const rows = await queryRows(
    fold.context.connection,
    `SELECT _partition AS p, _offset AS o FROM (${all}) WHERE _index = ${at.index}`,
  )
  const row = must(rows[0], 'the failing event is in the range')
  return { ...at, stream: fold.stream.name, partition: Number(row['p']), offset: Number(row['o']) }
}
