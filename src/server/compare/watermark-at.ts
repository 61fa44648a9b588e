/**
 * The watermark of a stream at any cut: the greatest event time of the events up to it, less the lateness that the
 * stream stated when they came. No state.
 *
 * For recent commits the log's own value is known. For older ones it is computed from the events, a period of each
 * lateness by itself, which gives the same: the log only ever raises it by accepted events (`src/log/open-frame.ts`).
 */

import { schemaHistory } from '../../catalog/streams.ts'
import { trimOf } from '../../catalog/trims.ts'
import type { PastState } from '../../engine/past.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { quoteIdentifier } from '../../model/schema.ts'
import type { ViewPlan } from '../../plan/plan.ts'
import type { ServerContext } from '../context.ts'
import type { AskOptions } from '../past/past.ts'
import { countingState } from './counting-state.ts'

/** Microseconds; undefined without a time field, or before the first event. */
export async function watermarkAt(
  context: ServerContext,
  stream: string,
  cut: CommitSeq,
  options: AskOptions = {},
): Promise<number | undefined> {
  const known = context.history.at(cut)
  if (known?.commit === cut && known.watermarksUs[stream] !== undefined) return known.watermarksUs[stream]
  const periods = periodsOf(context, stream, cut)
  if (periods.length === 0) return undefined
  const states = Object.fromEntries(
    periods.map(({ from, to, time }, index) => {
      const column = { name: 'us', type: 'BIGINT', merge: 'max', emptySql: 'NULL' } as const
      const sql = `epoch_us(max(${quoteIdentifier(time)}))`
      return [
        `period${index}`,
        countingState(streamState(stream, cut), { from, to }, [time], [{ ...column, sql }]),
      ]
    }),
  )
  const statements = periods.map((_, index) => ({ sql: `SELECT us FROM period${index}`, limit: 1 }))
  const answers = await context.past.query({ states, statements, ...options })
  const marks = answers.flatMap(({ json }, index) => {
    const us = (JSON.parse(json) as readonly { readonly us: number | null }[])[0]?.us ?? null
    return us === null ? [] : [us - (periods[index]?.latenessMs ?? 0) * 1000]
  })
  return marks.length === 0 ? undefined : Math.max(...marks)
}

interface Period {
  readonly from: CommitSeq
  readonly to: CommitSeq
  readonly latenessMs: number
  readonly time: string
}

/** Ranges of one lateness and one time field, from where the log still holds the stream's events. */
function periodsOf(context: ServerContext, stream: string, cut: CommitSeq): readonly Period[] {
  const history = schemaHistory(context.catalog).filter((version) => version.stream === stream)
  const begin = trimOf(context.catalog, stream)?.cut ?? 0
  const periods: Period[] = []
  history.forEach(({ since, def }, index) => {
    const from = Math.max(begin, since)
    const to = Math.min(cut, history[index + 1]?.since ?? cut)
    const last = periods.at(-1)
    if (def.time === undefined || to <= from) return
    if (last?.to === from && last.latenessMs === def.latenessMs && last.time === def.time) {
      periods[periods.length - 1] = { ...last, to }
    } else periods.push({ from, to, latenessMs: def.latenessMs, time: def.time })
  })
  return periods
}

/** The stream as a state without a view. */
function streamState(stream: string, cut: CommitSeq): PastState {
  const plan: ViewPlan = {
    ...{ format: 1, view: stream, sql: '', streams: [stream], columns: [], inexact: [] },
    stages: [
      {
        ...{ kind: 'rows', name: 'rows', foldSql: '', columns: [] },
        source: { kind: 'stream', stream, fields: [] },
      },
    ],
    finish: { sql: '', ordered: false, limited: false, keyColumns: {} },
  }
  return { view: stream, version: `stream ${stream}`, plan, slices: [], border: 0, cut, skipped: [] }
}
