/**
 * The plan of a deploy: a project against what runs. It reads catalog and log and changes nothing, so it may be asked
 * as often as one likes; for a project that runs already it is empty. No state.
 */

import { relative } from 'node:path'
import { baseCut } from '../../catalog/bases.ts'
import { lakeManifest } from '../../catalog/lake.ts'
import { measuredBuilds } from '../../catalog/measured-builds.ts'
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
import { settingReasons, versionReasons, type WantedView } from '../../deploy/plan-reasons.ts'
import { streamChanges } from '../../deploy/plan-streams.ts'
import { type HistoryPiece, streamHistory } from '../../deploy/stream-history.ts'
import type { BuildEstimate, DeployPlan, ViewChange } from '../../deploy/types.ts'
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
    ...wanted.flatMap((view) => viewChange(context, facts, project, view, pointers[view.view])),
    ...Object.entries(pointers)
      .filter(([view]) => !wanted.some((one) => one.view === view))
      .map(([view, from]): ViewChange => {
        const text = 'the project no longer has it'
        return { view, change: 'removed', from, reasons: [{ what: 'setting', text }] }
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

function viewChange(
  context: ServerContext,
  facts: LogFacts,
  project: ProjectDef,
  wanted: NewVersion,
  from: VersionId | undefined,
): readonly ViewChange[] {
  const { view, version: to } = wanted
  const old = from === undefined ? undefined : readVersion(context.catalog, view, from)
  if (old === undefined) {
    const text = `it reads stream "${wanted.plan.streams.join('", "')}"`
    const cost = costOf(context, facts, wanted, undefined)
    return [{ view, change: 'new', to, reasons: [{ what: 'sql', text }], ...cost }]
  }
  const next = wantedView(project, wanted)
  const settings = settingReasons(old, next)
  if (old.version === to || logicOf(old) === to) {
    if (settings.length === 0) return []
    return [{ view, change: 'changed', from: old.version, to: old.version, reasons: settings }]
  }
  const reasons = [...versionReasons(old, next), ...settings]
  const cost = costOf(context, facts, wanted, old)
  return [{ view, change: 'changed', from: old.version, to, reasons, ...cost }]
}

/** The version with the same logic over all of history: a project says nothing of where a history begins. */
function logicOf({ identity, version }: VersionRow): VersionId {
  const { format, sql, reads } = identity
  if (format === undefined || sql === undefined || reads === undefined) return version
  return wholeVersionOf({ format, sql, reads })
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
  const pieces = facts.pieces(stream)
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

/** Bytes of a version's slices, put as if they reached the log's end. */
/** A version that ticks, such as one that a rollback left warm, has folded everything, though not all is in slices. */
function foldedOf({ log }: ServerContext, { state, sealed }: VersionRow): CommitSeq {
  if (state === 'failed') return 0
  return tickingStates.includes(state) ? log.state().cut.commit : sealed
}

function sliceBytes({ catalog, log }: ServerContext, version: VersionRow): number {
  const slices = slicesOf(catalog, version.view, version.version)
  const bytes = slices.reduce((sum, slice) => sum + slice.bytes, 0)
  return (bytes * log.state().cut.commit) / Math.max(1, version.sealed)
}
