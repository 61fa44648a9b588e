/**
 * Locates what differs: to the slice whose range, folded again, gives other rows, or to a tick that no slice holds yet;
 * to the group's key; and, by the sums of position hashes, to the event itself. No state.
 *
 * Why the sums name the event: served and right differ in exactly the hashes of the events that only one side has. One
 * such event has that hash; several are looked for as a pair, as a commit, or as all events of the group in the range.
 */

import type { SliceInfo } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import type { FindingKind, FindingPlace, FoundEvent, VerifyFinding } from '../../govern/types.ts'
import { keyCondition, mergedPlan, positionsPlan, soleStage } from '../../govern/verify-plans.ts'
import {
  type CommitTally,
  commitTallySql,
  differenceSql,
  explainingEventsSql,
  faultyTick,
  type GroupDifference,
  sliceRowsSql,
} from '../../govern/verify-sql.ts'
import type { CommitRange } from '../../model/cut.ts'
import type { JsonValue } from '../../model/schema.ts'
import { quoteIdentifier } from '../../model/schema.ts'
import { finishQuery, mergedColumns } from '../../plan/queries.ts'
import { eventsAt } from '../compare/row-events.ts'
import { slicesByRange } from '../slices-by-range.ts'
import { DETAILS_MAX, toDifference, VERIFY_TIMEOUT_MS, type VerifyRun } from './verify-run.ts'

/** Events of a finding that are named. */
const POSITIONS_MAX = 100

type Position = { readonly commit: number; readonly index: number }

/** Slice files that are not what was published, each with the groups that it changes where it still reads. */
export async function damagedSlices(
  run: VerifyRun,
  damaged: readonly SliceInfo[],
): Promise<readonly VerifyFinding[]> {
  const findings: VerifyFinding[] = []
  for (const slice of damaged) {
    const { from, to, path } = slice
    const place: FindingPlace = { kind: 'slice', path: nameOf(run, path), from, to }
    const told = `slice "${nameOf(run, path)}" of cuts ${from} to ${to} does not match its checksum`
    const range = run.slices.filter((other) => other.from === from && other.to === to)
    const groups =
      range.length === 0 ? undefined : await rangeDifferences(run, range, undefined).catch(() => undefined)
    if (groups === undefined) {
      findings.push({ kind: 'damaged slice', place, text: `${told}; it does not read` })
    } else if (groups.length === 0) {
      findings.push({ kind: 'damaged slice', place, text: `${told}; its rows are right all the same` })
    }
    for (const group of groups ?? []) {
      const key = keyOf(run, group)
      const rows = await finishedRows(run, group, rangeRows(run, range))
      const text = `${told}, and its row${keyText(key)} differs`
      findings.push({ kind: 'damaged slice', place, ...(key === undefined ? {} : { key }), ...rows, text })
    }
  }
  return findings
}

/** A finding for each group and place at which it differs. */
export async function locateFaults(
  run: VerifyRun,
  groups: readonly GroupDifference[],
  damaged: readonly SliceInfo[],
): Promise<readonly VerifyFinding[]> {
  if (groups.length === 0) return []
  const found: VerifyFinding[] = []
  const open = new Map(groups.map((group) => [JSON.stringify(group.keys), group]))
  const condition = keyCondition(
    soleStage(run.row.plan),
    [...open.values()].map(({ keys }) => keys),
  )
  const bad = new Set(damaged.map(({ path }) => path))
  const explained = new Set<string>()
  for (const slices of slicesByRange(run.slices)) {
    const [first] = slices
    if (first === undefined || slices.some(({ path }) => bad.has(path))) continue
    for (const group of await rangeDifferences(run, slices, condition)) {
      const main = slices.find(({ part }) => part === 'main') ?? first
      const place: FindingPlace = {
        kind: 'slice',
        path: nameOf(run, main.path),
        from: main.from,
        to: main.to,
      }
      found.push(await findingOf(run, group, place, main))
      explained.add(JSON.stringify(group.keys))
    }
  }
  const tick = [...open.keys()].every((key) => explained.has(key)) ? undefined : await badTick(run)
  for (const [key, group] of open) {
    if (explained.has(key)) continue
    const place: FindingPlace = tick === undefined ? { kind: 'memory' } : { kind: 'tick', ...tick }
    found.push(await findingOf(run, group, place, tick ?? { from: run.from, to: run.cut }))
  }
  return found
}

async function findingOf(
  run: VerifyRun,
  group: GroupDifference,
  place: FindingPlace,
  range: CommitRange,
): Promise<VerifyFinding> {
  const isRows = soleStage(run.row.plan).kind === 'rows'
  const { served, right } = group
  const events = (served ?? 0) - (right ?? 0)
  const positions = isRows ? rowPosition(group) : await explainingEvents(run, group, range, Math.abs(events))
  const sameEvents = isRows ? (served ?? 0) > 0 && (right ?? 0) > 0 : events === 0
  const kind: FindingKind = sameEvents ? 'wrong row' : events < 0 ? 'skipped' : 'doubled'
  const key = isRows ? undefined : keyOf(run, group)
  const named = await withContent(run, positions)
  return {
    kind,
    place,
    ...(key === undefined ? {} : { key }),
    ...(sameEvents ? {} : { events }),
    ...(named.length === 0 ? {} : { positions: named }),
    ...(await finishedRows(run, group)),
    text: `${whatText(kind, group, events, named)}${keyText(key)}, ${placeText(place)}`,
  }
}

function whatText(
  kind: FindingKind,
  group: GroupDifference,
  events: number,
  named: readonly FoundEvent[],
): string {
  const [one] = named
  const which = named.length === 1 && one !== undefined ? ` (commit ${one.commit}, index ${one.index})` : ''
  const many = Math.abs(events)
  const what = many === 1 ? `an event${which}` : `${many} events`
  if (kind === 'skipped') return `${what} of the log ${many === 1 ? 'is' : 'are'} missing`
  if (kind === 'doubled') return `${what} ${many === 1 ? 'was' : 'were'} taken once too often`
  return group.positions === '0'
    ? 'the right events were folded, and the row is another'
    : 'as many events were folded as the log has, but not the same ones'
}

function placeText(place: FindingPlace): string {
  switch (place.kind) {
    case 'slice':
      return `in slice "${place.path}" of cuts ${place.from} to ${place.to}`
    case 'tick':
      return `in a tick of cuts ${place.from} to ${place.to}`
    case 'memory':
      return 'in no slice: in what the engine holds in memory'
  }
}

function keyText(key: Readonly<Record<string, string | null>> | undefined): string {
  if (key === undefined) return ''
  const values = Object.entries(key).map(([name, value]) => `${name} = ${value ?? 'NULL'}`)
  return values.length === 0 ? '' : ` at ${values.join(', ')}`
}

/** Keys under the view's own names where it shows them. */
function keyOf(
  run: VerifyRun,
  { keys }: GroupDifference,
): Readonly<Record<string, string | null>> | undefined {
  const names = Object.entries(run.row.plan.finish.keyColumns)
  const renamed = Object.entries(keys).map(([key, value]) => {
    return [names.find(([, own]) => own === key)?.[0] ?? key, value] as const
  })
  return renamed.length === 0 ? undefined : Object.fromEntries(renamed)
}

/** Groups whose rows in these slices of one range are not what the log gives for it. */
async function rangeDifferences(
  run: VerifyRun,
  slices: readonly SliceInfo[],
  condition: string | undefined,
): Promise<readonly GroupDifference[]> {
  const stage = soleStage(run.row.plan)
  const range = rangeState(run, slices, condition)
  const sql = differenceSql(stage, sliceRowsSql(stage, slices, condition), 'SELECT * FROM again')
  const order = keyNames(run).length === 0 ? '' : ` ORDER BY ${keyNames(run).join(', ')}`
  const [answer] = await ask(run, { again: range }, [{ sql: `${sql}${order}`, limit: DETAILS_MAX }])
  return (answer ?? []).map((row) => toDifference(run, row))
}

function keyNames(run: VerifyRun): readonly string[] {
  const stage = soleStage(run.row.plan)
  return stage.kind === 'group' ? stage.keys.map((_, index) => String(index + 1)) : []
}

/** The events of one range alone, folded from the log; as far as they are gone, the base that stands for them. */
function rangeState(run: VerifyRun, [slice]: readonly SliceInfo[], condition: string | undefined): PastState {
  const { from, to } = slice ?? { from: run.from, to: run.from }
  const { again } = run.states
  const version = `${run.tag} range ${condition ?? ''}`
  const own = { ...again, plan: mergedPlan(run.row.plan, condition), version, cut: to }
  // A fold in TypeScript goes on from the states before it; others fold a range by itself.
  const before = run.slices.filter((other) => other.to <= from)
  return from < run.from ? own : { ...own, slices: [], before, border: from }
}

interface Sides {
  readonly states: Readonly<Record<string, PastState>>
  readonly served: string
}

function rangeRows(run: VerifyRun, slices: readonly SliceInfo[]): Sides {
  const stage = soleStage(run.row.plan)
  return {
    states: { again: rangeState(run, slices, undefined) },
    served: sliceRowsSql(stage, slices, undefined),
  }
}

/** The group's row on both sides, finished as readers see it, without what depends on other rows. */
async function finishedRows(
  run: VerifyRun,
  group: GroupDifference,
  sides: Sides = { states: run.states, served: 'SELECT * FROM served' },
): Promise<{ readonly served: JsonValue; readonly right: JsonValue }> {
  const { plan } = run.row
  const stage = soleStage(plan)
  const condition = keyCondition(stage, [group.keys]) ?? 'true'
  const columns = mergedColumns(stage).map(({ name }) => quoteIdentifier(name))
  const finished = (rows: string) =>
    finishQuery(plan, `SELECT ${columns.join(', ')} FROM (${rows}) WHERE ${condition}`)
  const [served, right] = await ask(run, sides.states, [
    { sql: finished(sides.served), limit: 1 },
    { sql: finished('SELECT * FROM again'), limit: 1 },
  ])
  return { served: (served?.[0] as JsonValue) ?? null, right: (right?.[0] as JsonValue) ?? null }
}

/** A row without grouping is told apart by its event. */
function rowPosition({ keys }: GroupDifference): readonly Position[] {
  const { $commit: commit, $index: index } = keys
  return commit === undefined || index === undefined ? [] : [{ commit: Number(commit), index: Number(index) }]
}

/** The events of the group in the range that one side has and the other has not. */
async function explainingEvents(
  run: VerifyRun,
  group: GroupDifference,
  range: CommitRange,
  count: number,
): Promise<readonly Position[]> {
  const state = positionsState(run, range, keyCondition(soleStage(run.row.plan), [group.keys]))
  if (state === undefined || group.positions === '0') return []
  const statements = explainingEventsSql('events', group.positions, count)
  const answers = await ask(
    run,
    { events: state },
    statements.map((sql) => ({ sql, limit: 2 })),
  )
  // More than one explanation explains nothing.
  const only = answers.find((rows) => rows.length === 1)?.[0]
  return ((only?.events ?? []) as unknown as readonly Position[]).slice(0, POSITIONS_MAX)
}

function positionsState(
  run: VerifyRun,
  { from, to }: CommitRange,
  condition: string | undefined,
): PastState | undefined {
  const { plan } = run.row
  if (plan.events === undefined) return undefined
  const border = Math.max(from, run.from)
  const version = `${run.tag} positions ${condition ?? ''}`
  const own = { ...run.states.again, version, slices: [], border, cut: to }
  return { ...own, plan: positionsPlan(plan, plan.events, condition) }
}

/** The first tick that no slice holds yet and that did not fold what the log has. */
async function badTick(run: VerifyRun): Promise<CommitRange | undefined> {
  const { captured, cut } = run
  if (captured === undefined || captured.from >= cut || soleStage(run.row.plan).kind === 'rows')
    return undefined
  const state = positionsState(run, { from: captured.from, to: cut }, undefined)
  if (state === undefined) return undefined
  const statement = { sql: commitTallySql('events'), limit: Number.MAX_SAFE_INTEGER - 1 }
  const [commits = []] = await ask(run, { events: state }, [statement])
  return faultyTick(captured.from, captured.ticks, commits as unknown as readonly CommitTally[], cut)
}

async function withContent(run: VerifyRun, positions: readonly Position[]): Promise<readonly FoundEvent[]> {
  const stream = run.row.plan.streams[0] ?? ''
  if (positions.length === 0) return []
  const events = await eventsAt(run.context, stream, positions).catch(() => [])
  return positions.map(({ commit, index }): FoundEvent => {
    const event = events.find((one) => one.commit === commit && one.index === index)
    if (event === undefined) return { stream, commit, index }
    const { partition, offset, json } = event
    return { stream, commit, index, partition, offset, event: JSON.parse(json) as JsonValue }
  })
}

async function ask(
  run: VerifyRun,
  states: Readonly<Record<string, PastState>>,
  statements: readonly { readonly sql: string; readonly limit: number }[],
): Promise<readonly (readonly Readonly<Record<string, unknown>>[])[]> {
  const { signal } = run
  const answers = await run.context.past.query({ states, statements, timeoutMs: VERIFY_TIMEOUT_MS, signal })
  return answers.map(({ json }) => JSON.parse(json) as Readonly<Record<string, unknown>>[])
}

/** As the catalog has it: relative to the data folder. */
function nameOf({ context }: VerifyRun, path: string): string {
  const { root } = context.folder
  return path.startsWith(root) ? path.slice(root.length).replace(/^[/\\]/, '') : path
}
