/**
 * Why a report differs from an earlier one: the difference taken apart in sequence. Old logic at the first cut, plus
 * the late events, plus the other new events, then the new logic at the second cut; each step is a state rebuilt by
 * the past engine, so the parts are differences between neighbours and add up. No state.
 */

import { holdsLate } from '../../catalog/late-cuts.ts'
import { firstReport } from '../../catalog/reports.ts'
import { serving } from '../../catalog/versions.ts'
import { pairingOf } from '../../deploy/compare-columns.ts'
import type { WhyReport } from '../../deploy/types.ts'
import { whyParts } from '../../deploy/why-report.ts'
import { type WhyQuestion, whyStatements } from '../../deploy/why-sql.ts'
import type { PastState } from '../../engine/past.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { utcText } from '../../model/utc-text.ts'
import type { Moment } from '../../serve/core.ts'
import type { WhyRequest } from '../../serve/core-compare.ts'
import { must } from '../../std/assert.ts'
import type { ServerContext } from '../context.ts'
import { lateCutOf } from '../past/past-layers.ts'
import { lateAtOnce, lateByBatches } from './late-between.ts'
import { versionsOf } from './version-pair.ts'
import { watermarkAt } from './watermark-at.ts'

interface Report {
  readonly at: string | null
  /** The moment at which it was given, or could have been. */
  readonly us: number
  /** By view with a batch layer: T, where it is known what was shown. */
  readonly batches?: Readonly<Record<string, CommitSeq>>
  readonly cut: CommitSeq
  readonly version: VersionId
}

const TIMEOUT_MS = 30 * 60_000

export async function whyDifferent(context: ServerContext, request: WhyRequest): Promise<WhyReport> {
  const { view, key, limit, signal } = request
  versionsOf(context, view)
  const from = reportAt(context, view, request.from, 'first')
  const to = reportAt(context, view, request.to, 'last')
  if (to.cut < from.cut) {
    throw new RefoldError(
      'REQUEST_PARAMETER',
      `"to" stands at cut ${to.cut}, before "from" at cut ${from.cut}`,
      {
        hint: 'Give the earlier report as from.',
      },
    )
  }
  const asking = { timeoutMs: TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) }
  const { past } = context
  const arrivedCut = batchOf(context, { ...to, version: from.version }, view)
  const first = past.stateAt(view, from.version, from.cut, batchOf(context, from, view))
  const arrived = past.stateAt(view, from.version, to.cut, arrivedCut)
  const last = past.stateAt(view, to.version, to.cut, batchOf(context, to, view))
  const stream = streamOf(context, first)
  const hold = holdsLate(first.plan)
  const watermarkUs = hold ? undefined : await watermarkAt(context, stream.name, from.cut, asking)
  const late = hold
    ? lateByBatches(baseOf(context, first), arrived)
    : lateAtOnce(first, arrived, stream.time, watermarkUs)
  const question: WhyQuestion = {
    ...{ old: first.plan, new: last.plan, pairing: pairingOf(first.plan, last.plan), key, limit },
  }
  checkKey(question, view)
  const answers = await past.query({
    states: { ...{ step0: first, step1: late.added, step2: arrived, step3: last }, ...late.counted },
    statements: [
      ...whyStatements(question),
      { sql: 'SELECT l.n AS late, f.n AS fresh FROM counted_late AS l, counted_new AS f', limit: 1 },
    ],
    ...asking,
  })
  const texts = answers.map(({ json }) => json)
  const counted = JSON.parse(must(texts.pop(), 'the events are counted')) as readonly {
    readonly late: number
    readonly fresh: number
  }[]
  const { late: lateEvents, fresh: newEvents } = must(counted[0], 'the count is one row')
  const held = hold ? { lateCuts: { from: first.batch?.cut ?? 0, to: arrived.batch?.cut ?? 0 } } : {}
  return {
    ...{ view, from: shownReport(from), to: shownReport(to) },
    watermark: watermarkUs === undefined ? null : utcText(watermarkUs),
    ...{ lateEvents, newEvents, ...held },
    ...whyParts(question, texts),
  }
}

function streamOf(context: ServerContext, { plan }: PastState) {
  const name = plan.streams[0]
  return must(
    context.streams().find((stream) => stream.name === name),
    `stream "${name}" of a view is there`,
  )
}

/** Cut and version of a report. A cut may have been shown by two versions: `from` means the first, `to` the last. */
function reportAt(
  context: ServerContext,
  view: string,
  moment: Moment | undefined,
  which: 'first' | 'last',
): Report {
  if (moment?.kind === 'reported' || moment?.kind === 'time') {
    const { cut, versions, stalledAt, batches } = context.reports.at(moment.us)
    const version = versions[view]
    if (version === undefined) throw notReported(view, utcText(moment.us))
    return { at: utcText(moment.us), us: moment.us, batches, cut: stalledAt[view] ?? cut, version }
  }
  const durable = context.log.state().cut.commit
  if (moment === undefined) {
    const version = serving(context.catalog)[view]
    if (version === undefined) throw notReported(view, 'now')
    const cut = context.supervisor.viewProgress(view, version)?.cut ?? durable
    return { at: null, us: context.clock.nowMs() * 1000, cut: Math.min(cut, durable), version }
  }
  if (moment.cut > durable) {
    throw new RefoldError('CUT_NOT_REACHED', `the log stands at cut ${durable}, not at cut ${moment.cut}`)
  }
  const us = momentOfCut(context, moment.cut, which)
  const { versions, batches } = context.reports.at(us)
  const version = versions[view]
  if (version === undefined) throw notReported(view, `cut ${moment.cut}`)
  return { at: null, us, batches, cut: moment.cut, version }
}

/** A moment at which a cut was shown, in µs. */
function momentOfCut(context: ServerContext, cut: CommitSeq, which: 'first' | 'last'): number {
  const nowUs = context.clock.nowMs() * 1000
  // Cuts only grow from report to report, but for a late answer now and then.
  const us =
    which === 'first'
      ? firstReportUs(context, nowUs, (shown) => shown >= cut)
      : firstReportUs(context, nowUs, (shown) => shown > cut) - 1
  return Math.min(us, nowUs)
}

/** The first moment at which a cut that passes was shown; after now when none was. */
function firstReportUs(context: ServerContext, nowUs: number, passes: (cut: CommitSeq) => boolean): number {
  let low = firstReport(context.catalog)?.us ?? 0
  let high = nowUs + 1
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (passes(cutShownAt(context, middle))) high = middle
    else low = middle + 1
  }
  return low
}

/** -1 before the first report. */
function cutShownAt(context: ServerContext, us: number): CommitSeq {
  try {
    return context.reports.at(us).cut
  } catch (error) {
    if (error instanceof RefoldError && error.code === 'MOMENT_UNKNOWN') return -1
    throw error
  }
}

function notReported(view: string, when: string): RefoldError {
  return new RefoldError('MOMENT_UNKNOWN', `nothing was reported of view "${view}" at ${when}`)
}

/** The first report by slices that end at its batch's cut at the latest. */
function baseOf({ past }: ServerContext, first: PastState): PastState {
  const lateCut = first.batch?.cut ?? 0
  const { slices, border } = past.stateAt(first.view, first.version, Math.min(first.cut, lateCut), {
    lateCut,
  })
  return { ...first, slices, border }
}

/** Which batch the view stood on in a report. */
function batchOf(
  context: ServerContext,
  { version, cut, us, batches }: Report,
  view: string,
): { readonly lateCut?: CommitSeq } {
  const known = { us, ...(batches === undefined ? {} : { batches }) }
  const lateCut = lateCutOf(context, { view, version, cut }, known)
  return lateCut === undefined ? {} : { lateCut }
}

function shownReport({ at, cut, version }: Report): WhyReport['from'] {
  return { at, cut, version }
}

function checkKey({ key, pairing }: WhyQuestion, view: string): void {
  for (const name of Object.keys(key)) {
    if (pairing.keys.some((known) => known.name.toLowerCase() === name.toLowerCase())) continue
    const names = pairing.keys.map((known) => known.name)
    throw new RefoldError('COLUMN_UNKNOWN', `"${name}" is no key column of view "${view}"`, {
      hint: names.length === 0 ? 'Its rows have no key; ask without one.' : `Its key is ${names.join(', ')}.`,
    })
  }
}
