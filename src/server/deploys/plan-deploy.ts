/**
 * The plan of a deploy: a project against what runs. It reads catalog and log and changes nothing, so it may be asked
 * as often as one likes; for a project that runs already it is empty. No state.
 */

import { relative } from 'node:path'
import { baseCut } from '../../catalog/bases.ts'
import { lakeManifest } from '../../catalog/lake.ts'
import { measuredBuilds } from '../../catalog/measured-builds.ts'
import { runOf } from '../../catalog/runs.ts'
import { slicesOf } from '../../catalog/slices.ts'
import { trimOf } from '../../catalog/trims.ts'
import {
  type NewVersion,
  readVersion,
  serving,
  tickingStates,
  type VersionRow,
} from '../../catalog/versions.ts'
import { wholeVersionOf } from '../../define/identity.ts'
import type { ProjectDef } from '../../define/types.ts'
import { checkChanges } from '../../deploy/plan-checks.ts'
import { estimateBuild, type MeasuredBuild } from '../../deploy/plan-estimate.ts'
import { expectReasons } from '../../deploy/plan-expect.ts'
import { settingReasons, versionReasons, type WantedView } from '../../deploy/plan-reasons.ts'
import { runChange, runReasons, runText } from '../../deploy/plan-run.ts'
import { streamChanges } from '../../deploy/plan-streams.ts'
import { type HistoryPiece, sizeOf, streamHistory } from '../../deploy/stream-history.ts'
import type { BuildEstimate, DeployPlan, Reason, RunChange, ViewChange } from '../../deploy/types.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import type { StreamDef } from '../../model/schema.ts'
import { checkedViews } from '../checked-project.ts'
import type { ServerContext } from '../context.ts'
import { newestDefinitions } from './deployed-project.ts'

/** Input is measured over the commits of the last minutes. */
const RATE_WINDOW_MS = 10 * 60_000
/** A burst says little about what arrives all day. */
const RATE_SECONDS_MIN = 10
const BUILDS_KEPT_IN_MIND = 10

/** Throws ProjectMistakes when the project cannot run on this data folder. */
export async function planDeploy(context: ServerContext, project: ProjectDef): Promise<DeployPlan> {
  const wanted = await checkedViews(project, context.catalog)
  return planOf(context, project, wanted)
}

/** The same for views that were planned already. */
export function planOf(
  context: ServerContext,
  project: ProjectDef,
  wanted: readonly NewVersion[],
): DeployPlan {
  const pointers = serving(context.catalog)
  const facts = logFacts(context)
  const deployed = newestDefinitions(context.catalog)
  const has = (streams: readonly StreamDef[], name: string) => streams.some((stream) => stream.name === name)
  // A stream may run on only because a version reads it that is still warm: nothing is left to do about it.
  const running = context
    .streams()
    .filter(({ name }) => deployed === undefined || has(deployed.streams, name) || has(project.streams, name))
  const streams = streamChanges(running, project.streams)
  const views = [
    ...wanted.flatMap((view) => {
      const rules = ({ views: defs }: ProjectDef) => defs.find(({ name }) => name === view.view)?.expect
      const expect = deployed === undefined ? [] : expectReasons(rules(deployed), rules(project))
      return viewChange(context, facts, project, view, { from: pointers[view.view], expect })
    }),
    ...Object.entries(pointers)
      .filter(([view]) => !wanted.some((one) => one.view === view))
      .map(([view, from]): ViewChange => {
        const text = 'the project no longer has it'
        const run = ofNoProof(runChange(runOf(context.catalog, view), { kind: 'kappa' }))
        return { view, change: 'removed', from, reasons: [{ what: 'setting', text }], ...run }
      }),
  ]
  const { commit } = context.log.state().cut
  const checks = deployed === undefined ? [] : checkChanges(deployed.checks ?? [], project.checks)
  return {
    ...{ cut: commit, streams, views },
    ...(checks.length === 0 ? {} : { checks }),
    empty: streams.length === 0 && views.length === 0 && checks.length === 0,
  }
}

/** What the pointer and the newest definitions say of a view. */
interface Deployed {
  readonly from: VersionId | undefined
  readonly expect: readonly Reason[]
}

function viewChange(
  context: ServerContext,
  facts: LogFacts,
  project: ProjectDef,
  wanted: NewVersion,
  { from, expect }: Deployed,
): readonly ViewChange[] {
  const { view, version: to } = wanted
  const old = from === undefined ? undefined : readVersion(context.catalog, view, from)
  const run = runChange(runOf(context.catalog, view), wanted.run ?? { kind: 'kappa' })
  if (old === undefined) {
    const reasons: Reason[] = [{ what: 'sql', text: `it reads stream "${wanted.plan.streams.join('", "')}"` }]
    if (run !== undefined) reasons.push({ what: 'run', text: `it runs as ${runText(run.to)}` })
    const cost = costOf(context, facts, wanted, undefined)
    return [{ view, change: 'new', to, reasons, ...ofNoProof(run), ...cost }]
  }
  const next = wantedView(project, wanted)
  const settings = [...settingReasons(old, next), ...(run === undefined ? [] : runReasons(run)), ...expect]
  if (old.version === to || logicOf(old) === to) {
    if (settings.length === 0) return []
    const stays = { view, change: 'changed', from: old.version, to: old.version, reasons: settings } as const
    const cost = run === undefined ? {} : { run, ...proofCost(context, facts, old, run) }
    return [{ ...stays, ...cost }]
  }
  const reasons = [...versionReasons(old, next), ...settings]
  const cost = costOf(context, facts, wanted, old)
  return [{ view, change: 'changed', from: old.version, to, reasons, ...ofNoProof(run), ...cost }]
}

/** A change beside which a version is built, or goes: nothing more has to be shown. */
function ofNoProof(run: RunChange | undefined): Pick<ViewChange, 'run'> {
  return run === undefined ? {} : { run: { ...run, proof: 'none' } }
}

/** The version with the same logic over all of history: a project says nothing of where a history begins. */
function logicOf({ identity, version }: VersionRow): VersionId {
  const { format, sql, reads } = identity
  if (format === undefined || sql === undefined || reads === undefined) return version
  return wholeVersionOf({ ...identity, format, sql, reads })
}

function wantedView(project: ProjectDef, wanted: NewVersion): WantedView {
  const place = project.views.find(({ name }) => name === wanted.view)?.sqlPlace.file ?? ''
  const file = relative(project.root, place).replaceAll('\\', '/')
  return { sql: wanted.sql, onError: wanted.onError, identity: wanted.identity ?? {}, file }
}

interface LogFacts {
  readonly measured: readonly MeasuredBuild[]
  pieces(stream: string): readonly HistoryPiece[]
  inputRate(stream: string): number
}

function logFacts(context: ServerContext): LogFacts {
  const sources = { lake: lakeManifest(context.catalog), log: context.log.manifest() }
  return {
    measured: measuredBuilds(context.catalog, BUILDS_KEPT_IN_MIND),
    pieces: (stream) => streamHistory(sources, stream),
    inputRate: (stream) => inputRate(context, stream),
  }
}

/** Accepted events/s of a stream over the last minutes of which the commits are known. */
function inputRate({ history, log, clock }: ServerContext, stream: string): number {
  const nowMs = clock.nowMs()
  const before = history.since(nowMs - RATE_WINDOW_MS)
  if (before === undefined) return 0
  const now = log.state().counts[stream]?.accepted ?? 0
  const seconds = Math.max(RATE_SECONDS_MIN, (nowMs - before.timeMs) / 1000)
  return Math.max(0, now - (before.counts[stream]?.accepted ?? now)) / seconds
}

function costOf(
  context: ServerContext,
  facts: LogFacts,
  wanted: NewVersion,
  old: VersionRow | undefined,
): { readonly estimate: BuildEstimate } & Pick<ViewChange, 'trimmed'> {
  const { catalog } = context
  const stream = wanted.plan.streams[0] ?? ''
  // A batch definition reads all of its streams.
  const read = wanted.plan.batch?.streams.map((one) => one.stream) ?? [stream]
  const pieces = read.flatMap((name) => facts.pieces(name))
  const same = readVersion(catalog, wanted.view, wanted.version)
  const own = same === undefined ? 0 : foldedOf(context, same)
  const sealed = Math.max(own, baseCut(catalog, wanted.view, wanted.version) ?? 0)
  const events = pieces.reduce((sum, piece) => sum + piece.events, 0)
  const estimate = estimateBuild({
    pieces,
    sealed,
    measured: facts.measured,
    inputRate: facts.inputRate(stream),
    sliceBytesPerEvent: old === undefined || events === 0 ? 0 : sliceBytes(context, old) / events,
  })
  const trim = trimOf(catalog, stream)
  const lost = trim !== undefined && trim.cut > sealed
  return { estimate, ...(lost ? { trimmed: { cut: trim.cut, events: trim.events } } : {}) }
}

/** All of a version's history is folded once more. */
function proofCost(
  context: ServerContext,
  facts: LogFacts,
  old: VersionRow,
  { proof }: RunChange,
): Pick<ViewChange, 'estimate'> {
  if (proof === 'none') return {}
  const stream = old.plan.streams[0] ?? ''
  const begins = Math.max(old.start, baseCut(context.catalog, old.view, old.version) ?? 0)
  const pieces = facts.pieces(stream).filter(({ to }) => to > begins)
  const { events } = sizeOf(pieces, { from: begins, to: Number.MAX_SAFE_INTEGER })
  const estimate = estimateBuild({
    pieces,
    sealed: begins,
    measured: facts.measured,
    inputRate: facts.inputRate(stream),
    sliceBytesPerEvent: proof === 'refold' || events === 0 ? 0 : sliceBytes(context, old) / events,
  })
  return { estimate: { ...estimate, reusedEvents: 0 } }
}

/** A version that ticks, such as one that a rollback left warm, has folded everything, though not all is in slices. */
function foldedOf({ log }: ServerContext, { state, sealed }: VersionRow): CommitSeq {
  if (state === 'failed') return 0
  return tickingStates.includes(state) ? log.state().cut.commit : sealed
}

/** Bytes of a version's slices, put as if they reached the log's end. */
function sliceBytes({ catalog, log }: ServerContext, version: VersionRow): number {
  const slices = slicesOf(catalog, version.view, version.version)
  const bytes = slices.reduce((sum, slice) => sum + slice.bytes, 0)
  return (bytes * log.state().cut.commit) / Math.max(1, version.sealed)
}
