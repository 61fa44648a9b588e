/**
 * The late ledger of a view: its late events, found again in log and lake by the watermarks that their commits store,
 * each with what became of it. No state: it is a function of the log and of the batches in the catalog.
 */

import { batchThatTook, builtUpTo, holdsLate, lateStand } from '../../catalog/late-cuts.ts'
import { trimOf } from '../../catalog/trims.ts'
import { serving, type VersionRow } from '../../catalog/versions.ts'
import type { EventPosition } from '../../engine/engine.ts'
import type { CommitRange, CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { utcText } from '../../model/utc-text.ts'
import type { LateAnswer, LateEvent, LateRequest } from '../../serve/core-late.ts'
import { must } from '../../std/assert.ts'
import { eventsAt } from '../compare/row-events.ts'
import { versionsOf } from '../compare/version-pair.ts'
import type { ServerContext } from '../context.ts'
import { heldBack } from './held-back.ts'
import { lateEventsState } from './late-events-plan.ts'

interface FoundEvent extends EventPosition {
  readonly us: number
  readonly mark: number
  /** JSON; null where rows cannot be told. */
  readonly rows: string | null
}

export async function lateEvents(context: ServerContext, request: LateRequest): Promise<LateAnswer> {
  const row = liveVersion(context, request.view)
  const { view, version, plan } = row
  const hold = holdsLate(plan)
  const lateCut = hold ? lateStand(context.catalog, view, version).cut : null
  const to = context.supervisor.viewProgress(view, version)?.cut ?? row.sealed
  const held = hold ? heldBack(context, row, to) : null
  const common = {
    view,
    version,
    late: hold ? ('hold' as const) : ('correct' as const),
    cut: to,
    lateCut,
    held,
  }
  const from = await beginning(context, row, request, request.all ? 0 : (lateCut ?? 0))
  const stream = context.streams().find(({ name }) => name === plan.streams[0])
  if (stream?.time === undefined || from >= to) return { ...common, total: 0, events: [] }
  const { total, found, more } = await findLate(context, row, { from, to }, stream.time, request)
  const last = found.at(-1)
  return {
    ...common,
    total,
    events: await described(context, row, lateCut, found, request),
    ...(more && last !== undefined ? { next: { commit: last.commit, index: last.index } } : {}),
  }
}

function liveVersion(context: ServerContext, view: string): VersionRow {
  const known = versionsOf(context, view)
  const version = serving(context.catalog)[view]
  const row = known.find((one) => one.version === version)
  if (row === undefined) throw new RefoldError('VIEW_BUILDING', `view "${view}" is being built`)
  return row
}

/** The cut after which late events are looked for. */
async function beginning(
  context: ServerContext,
  { start, plan }: VersionRow,
  { since }: LateRequest,
  least: CommitSeq,
): Promise<CommitSeq> {
  const stream = must(plan.streams[0], 'a view reads a stream')
  const begin = Math.max(start, least, trimOf(context.catalog, stream)?.cut ?? 0)
  if (since === undefined) return begin
  if (since.kind === 'cut') return Math.max(begin, since.cut)
  const { timeMs } = since
  return await context.pins.with(async ({ lake, log }) => {
    const hot = await context.reader.cutBeforeTime(log, timeMs)
    if (hot > lake.through) return Math.max(begin, hot)
    const before = lake.files.filter(
      (file) => file.stream === stream && (file.times?.ingested[1] ?? Number.POSITIVE_INFINITY) < timeMs,
    )
    return Math.max(begin, ...before.map((file) => file.to))
  })
}

async function findLate(
  context: ServerContext,
  { view, version }: VersionRow,
  range: CommitRange,
  time: string,
  { after, limit, signal }: LateRequest,
): Promise<{ readonly total: number; readonly found: readonly FoundEvent[]; readonly more: boolean }> {
  const own = context.past.stateAt(view, version, range.to)
  const rest =
    after === undefined
      ? ''
      : ` WHERE "commit" > ${after.commit} OR ("commit" = ${after.commit} AND "index" > ${after.index})`
  const [counted, listed] = await context.past.query({
    states: { late: lateEventsState(own, range, time) },
    statements: [
      { sql: 'SELECT CAST(count(*) AS BIGINT) AS n FROM late', limit: 1 },
      { sql: `SELECT * FROM late${rest} ORDER BY "commit", "index"`, limit },
    ],
    ...(signal === undefined ? {} : { signal }),
  })
  const [count] = JSON.parse(must(counted, 'two answers').json) as readonly { readonly n: number }[]
  const { json, truncated } = must(listed, 'two answers')
  return { total: count?.n ?? 0, found: JSON.parse(json) as readonly FoundEvent[], more: truncated }
}

async function described(
  context: ServerContext,
  row: VersionRow,
  lateCut: CommitSeq | null,
  found: readonly FoundEvent[],
  { since }: LateRequest,
): Promise<readonly LateEvent[]> {
  const events = await eventsAt(context, must(row.plan.streams[0], 'a view reads a stream'), found)
  const texts = new Map(events.map((event) => [`${event.commit}.${event.index}`, event]))
  return found.flatMap(({ commit, index, us, mark, rows }): LateEvent[] => {
    const event = texts.get(`${commit}.${index}`)
    if (event === undefined || (since?.kind === 'time' && event.timeMs < since.timeMs)) return []
    return [
      {
        ...event,
        ...{ at: utcText(us), watermark: utcText(mark), lateMs: (mark - us) / 1000 },
        ...fate(context, row, lateCut, commit),
        ...(rows === null ? {} : { rows: JSON.parse(rows) as NonNullable<LateEvent['rows']> }),
      },
    ]
  })
}

/** What became of a late event. */
function fate(
  { catalog }: ServerContext,
  { view, version }: VersionRow,
  lateCut: CommitSeq | null,
  commit: CommitSeq,
): Pick<LateEvent, 'state' | 'batch'> {
  if (lateCut === null) return { state: 'corrected' }
  if (commit > lateCut) return { state: 'held' }
  if (commit <= builtUpTo(catalog, view, version).cut) return { state: 'built' }
  const batch = batchThatTook(catalog, view, version, commit)
  return batch === undefined ? { state: 'built' } : { state: 'batch', batch }
}
