/**
 * Compares two versions of a view at one cut, in the past engine: how many rows differ, in which columns, by how much,
 * and why. Both versions are rebuilt at that cut (law: equal cuts), so live reads and ticks are not touched. No state.
 *
 * Whether events or logic make a row differ is told by running both logics over the events that neither version leaves
 * out: where they then agree, the events made the difference. Versions with the same events need no such run.
 */

import { historyTrimmed, trimmedBeyond } from '../../catalog/trims.ts'
import { readVersion } from '../../catalog/versions.ts'
import type { PlannedFunction } from '../../define/function-def.ts'
import type { ExpectDef } from '../../define/types.ts'
import { pairingOf } from '../../deploy/compare-columns.ts'
import { type RuleSql, ruleSql } from '../../deploy/compare-rules.ts'
import { type CompareQuestion, compareStatements } from '../../deploy/compare-sql.ts'
import { compareSummary } from '../../deploy/compare-summary.ts'
import type { CompareSummary } from '../../deploy/types.ts'
import type { EventPosition } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import { openSqlSyntax } from '../../engine/sql-syntax.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { ServerContext } from '../context.ts'

export interface CompareVersions {
  readonly view: string
  readonly from: VersionId
  readonly to: VersionId
  readonly cut: CommitSeq
  /** Rules of the project that asks: the first that takes a row makes it expected. */
  readonly expect?: readonly ExpectDef[]
  /** Also fold both versions again from the log, so that damage is told apart. */
  readonly folded: boolean
  readonly sampleRows: number
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Folding all of history may take a while. */
const TIMEOUT_MS = 30 * 60_000

export async function compareVersions(
  context: ServerContext,
  request: CompareVersions,
): Promise<CompareSummary> {
  const { view, from, to, cut, folded } = request
  const { past } = context
  const older = past.stateAt(view, from, cut)
  // Of two that hold late events back: as if both stood on one batch.
  const newer = past.stateAt(view, to, cut, older.batch === undefined ? {} : { lateCut: older.batch.cut })
  const states: Record<string, PastState> & Record<'old_rows' | 'new_rows', PastState> = {
    old_rows: older,
    new_rows: newer,
  }
  if (folded) {
    states['old_again'] = past.stateAt(view, from, cut, { fromLog: true })
    states['new_again'] = past.stateAt(view, to, cut, { fromLog: true })
  }
  try {
    return await askCompare(context, request, states, sameEvents(context, older, newer))
  } catch (error) {
    // What the two have in common may be gone from the log, or be more than one of the logics can fold.
    const isOfEvents =
      error instanceof RefoldError && (error.code === 'HISTORY_TRIMMED' || error.code === 'QUERY_FAILED')
    if (!isOfEvents) throw error
    const summary = await askCompare(context, request, states, undefined)
    const note = `rows that differ by events count as new logic, because the events of both versions cannot be folded by both: ${error.message}`
    return { ...summary, notes: [note] }
  }
}

async function askCompare(
  context: ServerContext,
  request: CompareVersions,
  states: Readonly<Record<'old_rows' | 'new_rows', PastState>> & Readonly<Record<string, PastState>>,
  events: SameEvents | undefined,
): Promise<CompareSummary> {
  const { view, from, to, cut, folded, sampleRows, signal } = request
  const { plan: older } = states.old_rows
  const { plan: newer } = states.new_rows
  const pairing = pairingOf(older, newer)
  const isWhole = pairing.kind === 'rows'
  const functions = [...(newer.functions ?? []), ...context.functions()]
  const rules = await boundRules(request.expect ?? [], functions, {
    old: isWhole ? pairing.columns.map((column) => column.old) : older.columns,
    new: isWhole ? pairing.columns.map((column) => column.new) : newer.columns,
  })
  const question: CompareQuestion = {
    ...{ pairing, old: older, new: newer, rules, folded, sampleRows },
    ...(events === undefined ? {} : { events: events.names }),
  }
  const answers = await context.past.query({
    states: { ...states, ...events?.states },
    statements: compareStatements(question),
    timeoutMs: request.timeoutMs ?? TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
  })
  const texts = answers.map(({ json }) => json)
  return compareSummary({ view, from, to, cut }, question, texts)
}

async function boundRules(
  rules: readonly ExpectDef[],
  functions: readonly PlannedFunction[],
  columns: Parameters<typeof ruleSql>[1],
): Promise<readonly RuleSql[]> {
  if (rules.length === 0) return []
  const opened = await openSqlSyntax()
  const syntax = opened.withFunctions(functions)
  try {
    return await Promise.all(rules.map((rule) => ruleSql(rule, columns, syntax)))
  } finally {
    opened.close()
  }
}

interface SameEvents {
  readonly names: { readonly old: string; readonly new: string }
  /** Those that are not the versions' own states. */
  readonly states: Readonly<Record<string, PastState>>
}

/** Both logics over the events of both; undefined when both versions have the same events. */
function sameEvents(context: ServerContext, older: PastState, newer: PastState): SameEvents | undefined {
  const start = Math.max(startOf(context, older), startOf(context, newer))
  const skipped = distinct([...older.skipped, ...newer.skipped]).filter(({ commit }) => commit > start)
  const states: Record<string, PastState> = {}
  const stateOf = (own: PastState, ownName: string, name: string): string => {
    if (startOf(context, own) === start && own.skipped.length === skipped.length) return ownName
    states[name] = overEvents(context, own, start, skipped)
    return name
  }
  const names = {
    old: stateOf(older, 'old_rows', 'old_same'),
    new: stateOf(newer, 'new_rows', 'new_same'),
  }
  return Object.keys(states).length === 0 ? undefined : { names, states }
}

function startOf(context: ServerContext, { view, version, cut }: PastState): CommitSeq {
  return Math.min(cut, readVersion(context.catalog, view, version)?.start ?? 0)
}

/** A version's logic over other events than its own: slices serve as far as both are the same. */
function overEvents(
  context: ServerContext,
  own: PastState,
  start: CommitSeq,
  skipped: readonly EventPosition[],
): PastState {
  const { view, version, plan, cut } = own
  const known = new Set(own.skipped.map(({ commit, index }) => `${commit}.${index}`))
  const first = Math.min(
    ...skipped.filter(({ commit, index }) => !known.has(`${commit}.${index}`)).map(({ commit }) => commit),
  )
  if (startOf(context, own) === start) {
    const before = context.past.stateAt(view, version, Math.min(cut, Math.max(start, first - 1)))
    const trim = trimmedBeyond(context.catalog, plan.streams, before.border)
    if (trim === undefined) return { ...own, slices: before.slices, border: before.border, skipped }
  }
  const trim = trimmedBeyond(context.catalog, plan.streams, start)
  if (trim !== undefined && start < cut) {
    throw historyTrimmed(`comparing view "${view}" over the events of both versions`, trim)
  }
  return { ...own, slices: [], border: start, skipped }
}

function distinct(positions: readonly EventPosition[]): readonly EventPosition[] {
  const known = new Map(positions.map((at) => [`${at.commit}.${at.index}`, at]))
  return [...known.values()].sort((a, b) => a.commit - b.commit || a.index - b.index)
}
