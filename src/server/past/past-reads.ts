/**
 * Reads of the past: a moment and a version, from what a reader wrote, to a cut and states, and these to the past
 * engine. No state.
 */

import { historyTrimmed, trims } from '../../catalog/trims.ts'
import { readVersion, type Serving, versions } from '../../catalog/versions.ts'
import type { LayerName, Rows, SqlRead, ViewRead } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { type ErrorBody, RefoldError, toErrorBody } from '../../model/errors.ts'
import { utcText } from '../../model/utc-text.ts'
import type { Moment, ReadOptions } from '../../serve/core.ts'
import { nearestName } from '../../std/nearest-name.ts'
import type { ServerContext } from '../context.ts'
import { systemTableColumns } from '../system-tables.ts'
import { lateCutOf, layerState, namesLayers, type PastVersion } from './past-layers.ts'

/** A moment, found: which cut and which versions. */
export interface PastPoint {
  readonly cut: CommitSeq
  readonly versions: Serving
  readonly stalledAt: Readonly<Record<string, CommitSeq>>
  /** Microseconds, where a time is asked for. */
  readonly us?: number
  /** Microseconds, where a report is asked for. */
  readonly reportedUs?: number
  /** By view with a batch layer: T, where it is known what was shown. */
  readonly batches?: Readonly<Record<string, CommitSeq>>
}

export type PastAnswer = Rows & {
  readonly cut: CommitSeq
  readonly versions: Readonly<Record<string, VersionId>>
}

const VERSION_DIGITS_MIN = 12

export async function pointAt(context: ServerContext, moment: Moment, serving: Serving): Promise<PastPoint> {
  const newest = context.log.state().cut.commit
  switch (moment.kind) {
    case 'cut':
      if (moment.cut > newest) {
        throw new RefoldError('MOMENT_UNKNOWN', `cut ${moment.cut} lies ahead: the log ends at cut ${newest}`)
      }
      return { cut: moment.cut, versions: serving, stalledAt: {} }
    case 'time':
      return { cut: await cutAt(context, moment.us), versions: serving, stalledAt: {}, us: moment.us }
    case 'reported': {
      const { cut, versions: reported, stalledAt, batches } = context.reports.at(moment.us)
      return { cut, versions: reported, stalledAt, us: moment.us, reportedUs: moment.us, batches }
    }
  }
}

/** The cut after the last commit that was taken in at or before a time. */
export async function cutAt(context: ServerContext, us: number): Promise<CommitSeq> {
  const nowMs = context.clock.nowMs()
  const timeMs = Math.floor(us / 1000)
  if (timeMs > nowMs) {
    throw new RefoldError('MOMENT_UNKNOWN', `${utcText(us)} lies ahead: here it is ${utcText(nowMs * 1000)}`)
  }
  return await context.pins.with(async ({ log, lake }) => {
    const hot = await context.reader.cutBeforeTime(log, timeMs + 1)
    // The hot log may begin within the lake; then its first cut says only that the time lies before it.
    const first = log.segments[0]?.base ?? 0
    if (hot > first || lake.through === 0) return hot
    return (await context.lakeEvents.lastCommit(lake, timeMs)) ?? 0
  })
}

/** The version that a reader means by its first digits. */
export function versionNamed(context: ServerContext, view: string, prefix: string): VersionId {
  const known = versionIds(context, view)
  if (prefix.length >= VERSION_DIGITS_MIN) {
    const found = known.find((version) => version.startsWith(prefix))
    if (found !== undefined) return found
  }
  const short = prefix.length < VERSION_DIGITS_MIN
  throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no version "${prefix}"`, {
    ...(short ? { hint: `Give its first ${VERSION_DIGITS_MIN} digits or more.` } : {}),
  })
}

function versionIds(context: ServerContext, view: string): readonly VersionId[] {
  return context.catalog
    .all('SELECT version FROM versions WHERE view = ? ORDER BY created_ms DESC', view)
    .map((row) => String(row.version))
}

export async function readPastView(
  context: ServerContext,
  request: Omit<ViewRead, 'timeoutMs'>,
  point: PastPoint,
  options: ReadOptions,
): Promise<PastAnswer> {
  const { view, version: pinned, layer, ...read } = request
  const state = stateOfView(context, view, pinned, point, layer)
  const rows = await context.past.read(state, read, timing(options))
  const cut = layer === 'batch' ? point.cut : state.cut
  return { ...rows, cut, versions: { [view]: state.version } }
}

/** The state that a read of a view at a point is of. */
export function stateOfView(
  context: ServerContext,
  view: string,
  pinned: VersionId | undefined,
  point: PastPoint,
  layer?: LayerName,
): PastState {
  const version = pinned ?? point.versions[view]
  if (version === undefined) throw notThere(context, view, point)
  const cut = pinned === undefined ? (point.stalledAt[view] ?? point.cut) : point.cut
  const wanted = { view, version, cut }
  return layer === undefined ? stateOf(context, wanted, point) : layerState(context, wanted, point, layer)
}

export async function readPastSql(
  context: ServerContext,
  request: Pick<SqlRead, 'sql' | 'limit'>,
  point: PastPoint,
  options: ReadOptions,
): Promise<PastAnswer> {
  const states: Record<string, PastState> = {}
  const refused: Record<string, ErrorBody> = refusedStreams(context, point)
  const system: Record<string, SqlRead['system'][string]> = {}
  for (const [name, columns] of Object.entries(systemTableColumns())) {
    system[name] = { columns, rows: [] }
    refused[`refold.${name}`] = toErrorBody(
      new RefoldError('SQL_PAST_SYSTEM', `table "refold.${name}" cannot be read as it was`),
    )
  }
  const layers = namesLayers(request.sql) ? (['batch', 'speed'] as const) : []
  for (const [view, version] of Object.entries(point.versions)) {
    const cut = point.stalledAt[view] ?? point.cut
    const wanted = { view, version, cut }
    const add = (name: string, state: () => PastState) => {
      try {
        states[name] = state()
      } catch (error) {
        const plan = readVersion(context.catalog, view, version)?.plan
        if (plan === undefined) return
        refused[name] = toErrorBody(error)
        states[name] = { view, version, plan, slices: [], border: cut, cut, skipped: [] }
      }
    }
    add(view, () => stateOf(context, wanted, point))
    for (const layer of layers) add(`${layer}.${view}`, () => layerState(context, wanted, point, layer))
  }
  const read = {
    cut: point.cut,
    states,
    sql: { ...request, system, functions: context.functions() },
    refused,
  }
  const { views, ...rows } = await context.past.sql(read, timing(options))
  const named = new Set(views.map((name) => name.slice(name.indexOf('.') + 1)))
  const used = Object.entries(point.versions).filter(([view]) => named.has(view))
  return { ...rows, cut: point.cut, versions: Object.fromEntries(used) }
}

/** A state of a reader's choice; one that begins later than the cut has no answer for it. */
function stateOf(context: ServerContext, wanted: PastVersion, point: PastPoint): PastState {
  const { view, version, cut } = wanted
  const start = readVersion(context.catalog, view, version)?.start ?? 0
  if (cut < start) {
    throw new RefoldError(
      'MOMENT_UNKNOWN',
      `version "${version.slice(0, 12)}" of view "${view}" begins at cut ${start}, after cut ${cut}`,
    )
  }
  const lateCut = lateCutOf(context, wanted, point)
  return context.past.stateAt(view, version, cut, lateCut === undefined ? {} : { lateCut })
}

/** What a stream was before it was trimmed, or what was reported of it then, can not be counted again. */
function refusedStreams(context: ServerContext, { reportedUs, cut }: PastPoint): Record<string, ErrorBody> {
  const refused: Record<string, ErrorBody> = {}
  for (const trim of trims(context.catalog)) {
    if (reportedUs === undefined ? trim.cut <= cut : trim.timeMs * 1000 < reportedUs) continue
    const when = reportedUs === undefined ? `up to cut ${cut}` : `as reported at ${utcText(reportedUs)}`
    const what = `reading stream "${trim.stream}" ${when}`
    refused[trim.stream] = toErrorBody(historyTrimmed(what, trim))
  }
  return refused
}

function notThere(
  context: ServerContext,
  view: string,
  { reportedUs, versions: then }: PastPoint,
): RefoldError {
  const when = reportedUs === undefined ? '' : ` that answered at ${utcText(reportedUs)}`
  const near = nearestName(view, Object.keys(then))
  const known = versions(context.catalog).some((row) => row.view === view)
  const hint =
    near === undefined
      ? known
        ? 'Name one of its versions with version=.'
        : undefined
      : `Did you mean "${near}"?`
  return new RefoldError('VIEW_UNKNOWN', `there is no view "${view}"${when}`, {
    ...(hint === undefined ? {} : { hint }),
  })
}

function timing({ timeoutMs, signal }: ReadOptions): { timeoutMs?: number; signal?: AbortSignal } {
  return { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal === undefined ? {} : { signal }) }
}
